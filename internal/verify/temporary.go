package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/state"
)

// DefaultReclaimAge is how old a temporary file has to be before a pass removes it.
const DefaultReclaimAge = 7 * 24 * time.Hour

// temporary are what the names of files beside a Data.fs end with while they are written. Who writes one again removes
// what was left: these may not be written again for long. Those of this package that each pass writes are not among
// them.
var temporary = []string{
	state.Suffix + ".tmp", digestsSuffix + ".tmp", ".index.index_tmp",
}

// reclaim removes temporary files of zrsd that nobody has written to for a long time.
func (p *pass) reclaim() {
	if p.opt.ReclaimAge <= 0 || p.opt.Dry {
		return
	}
	before := p.opt.Now().Add(-p.opt.ReclaimAge)
	for _, suffix := range temporary {
		path := p.opt.Path + suffix
		info, err := p.opt.FS.Stat(path)
		if err == nil && info.Mode().IsRegular() && info.ModTime().Before(before) {
			if err = p.opt.FS.Remove(path); err == nil {
				p.result.Removed++
			}
		}
		p.reclaimed(err)
	}
	if p.opt.BlobPath != "" {
		removed, err := blobstore.Reclaim(p.opt.FS, p.opt.BlobPath, before)
		p.result.Removed += int64(removed)
		p.reclaimed(err)
	}
}

func (p *pass) reclaimed(err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.found(check.Finding{Severity: check.Warning, Kind: KindOwnFile,
			Text: fmt.Sprintf("cannot remove an old temporary file: %v", err)})
	}
}
