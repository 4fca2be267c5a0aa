package filestorage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A Snapshot is a Data.fs as it was at one moment: what is in [0, End) does not change. Its file stays open, and on the
// disk, when a pack puts another in its place. Its methods may be called concurrently, Close when no other is called.
type Snapshot struct {
	src  *source
	end  int64
	last zodb.Tid
	once sync.Once
	err  error
}

// Snapshot returns the present data file, as far as it is committed. The caller closes it.
func (s *Storage) Snapshot() (*Snapshot, error) { return snapshotOf(s.source()), nil }

// Snapshot is that of a Storage.
func (a *Attached) Snapshot() (*Snapshot, error) {
	src, err := a.acquire()
	if err != nil {
		return nil, fmt.Errorf("snapshot of %s: %w", a.path, err)
	}
	return snapshotOf(src), nil
}

func snapshotOf(src *source) *Snapshot {
	end, last := src.get()
	return &Snapshot{src: src, end: end, last: last}
}

// End is the offset after the last transaction, 4 where there is none.
func (n *Snapshot) End() int64 { return n.end }

// Last is the tid of the last transaction, 0 where there is none.
func (n *Snapshot) Last() zodb.Tid { return n.last }

// ReadAt reads what is before End. At End it returns io.EOF.
func (n *Snapshot) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= n.end {
		return 0, io.EOF
	}
	want := min(int64(len(p)), n.end-off)
	got, err := n.src.file.ReadAt(p[:want], off)
	switch {
	case int64(got) < want:
		return got, fmt.Errorf("read %d bytes of %s at %d: %w", want, n.src.path, off+int64(got), readError(err))
	case got < len(p):
		return got, io.EOF
	}
	return got, nil
}

// EndsAt reports whether the transaction with this tid ends at pos; with tid 0, whether pos is where the first one
// begins. What is not a transaction there is no error.
func (n *Snapshot) EndsAt(ctx context.Context, tid zodb.Tid, pos int64) (bool, error) {
	if err := context.Cause(ctx); err != nil {
		return false, err
	}
	if tid == 0 || pos <= magicLen || pos > n.end {
		return tid == 0 && pos == magicLen, nil
	}
	c := scan{file: n.src.file, path: n.src.path, size: n.end}
	var h txnHeader
	if _, err := c.before(pos, &h); err != nil {
		if noRecord(err) {
			return false, nil
		}
		return false, fmt.Errorf("transaction %v before offset %d of %s: %w", tid, pos, n.src.path, readError(err))
	}
	return h.Tid == tid && h.Status != zodb.StatusCheckpoint, nil
}

// Renew takes what was committed since, of the same file, and reports whether that is still the file of the storage.
// When a pack has put another in its place, it has its last end then, and does not grow any more. Nobody else may use
// the snapshot meanwhile.
func (n *Snapshot) Renew() (current bool, err error) {
	ended := n.src.ended() // first: what ends it comes after the last change
	n.end, n.last = n.src.get()
	switch {
	case errors.Is(ended, errReplaced):
		return false, nil
	case ended != nil:
		return false, fmt.Errorf("snapshot of %s: %w", n.src.path, ended)
	}
	return true, nil
}

// Number is that of the file on its disk, which no other file there has; 0: the disk has none.
func (n *Snapshot) Number() (uint64, error) {
	info, err := vfs.LookAt(n.src.file)
	if err != nil {
		return 0, fmt.Errorf("look at %s: %w", n.src.path, err)
	}
	return vfs.Number(info), nil
}

// Close lets go of the file.
func (n *Snapshot) Close() error {
	n.once.Do(func() { n.err = n.src.release() })
	return n.err
}
