package repozo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/internal/vfs"
)

// VerifyOptions say what to verify.
type VerifyOptions struct {
	FS    vfs.FS // nil: the real disk
	Dir   string
	Quick bool                 // sizes only
	Log   func(string, ...any) // may be nil
}

// Verify looks whether the newest chain of a repository is what its .dat file says, and can be restored: each file
// there, of the right length and checksum, one beginning where the other ends. *VerifyError says what is wrong.
func Verify(ctx context.Context, opt VerifyOptions) error {
	r := &repository{vfs.OrOS(opt.FS), opt.Dir}
	list, err := r.chain("")
	if err != nil {
		return err
	}
	lines, err := r.lines(list[0])
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return &VerifyError{r.datPath(list[0]), "it is missing: the backup was interrupted; the next one " +
				"completes it"}
		}
		return err
	}
	if err := r.contiguous(list, lines); err != nil {
		return err
	}
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(runtime.GOMAXPROCS(0))
	for _, l := range lines {
		work.Go(func() error {
			if opt.Log != nil {
				opt.Log("Verifying %s", r.path(l.name))
			}
			return r.verify(ctx, l, opt.Quick)
		})
	}
	return work.Wait()
}

// contiguous looks whether the lines are those of all pieces, one after the other.
func (r *repository) contiguous(list []*piece, lines []*line) error {
	var end int64
	for _, l := range lines {
		if l.begin != end {
			return &VerifyError{r.datPath(list[0]), fmt.Sprintf("%s begins at %d, and what is before it ends at %d",
				l.name, l.begin, end)}
		}
		end = l.end
	}
	for _, p := range list {
		if p.line == nil {
			return &VerifyError{r.path(p.name), "the .dat file has no line of it: the backup was interrupted; the " +
				"next one completes it"}
		}
	}
	return nil
}

func (r *repository) verify(ctx context.Context, l *line, quick bool) error {
	p := &piece{name: l.name}
	f, err := r.open(p)
	if errors.Is(err, fs.ErrNotExist) {
		return &VerifyError{r.path(l.name), "it is missing"}
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	var size int64
	checksum := l.sum
	if quick {
		size, err = r.size(ctx, p)
	} else {
		size, checksum, err = sum(ctx, f, nil)
	}
	if err != nil {
		return r.damaged(p, err)
	}
	return r.compare(l, size, checksum)
}

// size returns the length of a piece before gzip.
func (r *repository) size(ctx context.Context, p *piece) (int64, error) {
	if p.zipped() {
		f, err := r.open(p)
		if err != nil {
			return 0, err
		}
		defer f.Close() //nolint:errcheck // only read
		return length(ctx, f)
	}
	info, err := r.disk.Stat(r.path(p.name))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (r *repository) compare(l *line, size int64, checksum string) error {
	unzipped := ""
	if filepath.Ext(l.name) == ".fsz" || filepath.Ext(l.name) == ".deltafsz" {
		unzipped = " (when uncompressed)"
	}
	switch {
	case size != l.end-l.begin:
		return &VerifyError{r.path(l.name), fmt.Sprintf("it is %d bytes%s, should be %d bytes", size, unzipped,
			l.end-l.begin)}
	case checksum != l.sum:
		return &VerifyError{r.path(l.name), fmt.Sprintf("it has checksum %s%s instead of %s", checksum, unzipped,
			l.sum)}
	}
	return nil
}
