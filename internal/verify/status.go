package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
)

const statusSuffix = ".verify.zrsd"

// StatusFormat is the version of the file with a Status.
const StatusFormat = 1

// A Status is what there is to know about the passes over a storage. It is also what is in the file beside the Data.fs,
// for who cannot ask the process.
type Status struct {
	Format  int        `json:"format"`
	Name    string     `json:"name"`      // of the node
	Path    string     `json:"path"`      // of the Data.fs
	Written time.Time  `json:"written"`   // when this was true
	Running *Running   `json:"running"`   // the pass under way; nil: there is none
	Next    *time.Time `json:"next_pass"` // when the next one is due; nil: passes are made by hand only
	Last    *Pass      `json:"last_pass"` // the last one that came to its end; nil: there was none
	Failed  *Pass      `json:"failed"`    // the last one that did not, if it was after that
	Totals  Totals     `json:"totals"`    // since the process began
}

// Running is how far a pass is.
type Running struct {
	Since time.Time `json:"since"`
	Done  int64     `json:"done_bytes"` // of the data file
	Total int64     `json:"total_bytes"`
}

// Totals are counts over all passes since the process began; for the words see Pass.
type Totals struct {
	Passes    int64 `json:"passes"` // that came to their end
	Attempted int64 `json:"attempted"`
	Success   int64 `json:"success"`
	Failure   int64 `json:"failure"`
	NoChange  int64 `json:"no_change"`
	HashMatch int64 `json:"hashmatch"`
	Diff      int64 `json:"diff"`
	Empty     int64 `json:"empty"`
	Removed   int64 `json:"removed"`
	Damages   int64 `json:"damages"`
	Healed    int64 `json:"healed"`
	Kept      int64 `json:"quarantined"`
	Bytes     int64 `json:"bytes"` // read: of data files and blobs
}

// add counts a pass.
func (t *Totals) add(p *Pass) {
	if p.Error == nil {
		t.Passes++
	}
	t.Attempted += p.Attempted
	t.Success += p.Success
	t.Failure += p.Failure
	t.NoChange += p.NoChange
	t.HashMatch += p.HashMatch
	t.Diff += p.Diff
	t.Empty += p.Empty
	t.Removed += p.Removed
	t.Damages += p.Damages
	t.Bytes += p.Bytes + p.BlobBytes
}

// LoadStatus reads the file of the data file at path. The error wraps fs.ErrNotExist when there is none.
func LoadStatus(disk vfs.FS, path string) (*Status, error) {
	b, err := vfs.ReadFile(vfs.OrOS(disk), path+statusSuffix, maxOwnFile)
	if err != nil {
		return nil, err
	}
	s := new(Status)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("read %s: %w", path+statusSuffix, err)
	}
	if s.Format != StatusFormat {
		return nil, fmt.Errorf("read %s: it has format %d, not %d", path+statusSuffix, s.Format, StatusFormat)
	}
	return s, nil
}

// save replaces the file.
func (s *Status) save(disk vfs.FS) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(disk, s.Path+statusSuffix, append(b, '\n'))
}

// statusBefore returns what the file has of the time before this process, or an empty one.
func statusBefore(disk vfs.FS, path string) (*Status, error) {
	s, err := LoadStatus(disk, path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if s == nil {
		s = &Status{}
	}
	s.Format, s.Path, s.Running, s.Totals = StatusFormat, path, nil, Totals{}
	return s, err
}
