package heal

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// errClosed says that something can be healed only where the storage is open.
var errClosed = errors.New("the storage is not open")

// SuspectOf is where damage of the data file at path is that a reader has met; ok is false where an error is about
// nothing of the kind.
func SuspectOf(path string, err error) (s verify.Suspect, ok bool) {
	var corrupt *zodb.CorruptError
	var lost *filestorage.UnreadableError
	switch {
	case errors.As(err, &corrupt) && corrupt.File == path:
		return verify.Suspect{From: corrupt.Pos, To: corrupt.Pos + 1,
			Found: "want " + corrupt.Want + ", got " + corrupt.Got}, true
	case errors.As(err, &lost) && lost.File == path:
		from := lost.Pos - lost.Pos%sectorLen
		return verify.Suspect{From: from, To: from + sectorLen,
			Found: "the disk does not give it: " + lost.Err.Error()}, true
	}
	return s, false
}

// A ClosedFile is the Target of a data file that cannot be opened because of its damage.
type ClosedFile struct {
	FS     vfs.FS
	Path   string
	Logger hclog.Logger
}

// Repair is Target.
func (c *ClosedFile) Repair(ctx context.Context, r *filestorage.Repair) error {
	return filestorage.RepairFile(ctx, c.FS, c.Path, c.Logger, r)
}

// RepairBlob is Target.
func (c *ClosedFile) RepairBlob(*filestorage.BlobRepair) error { return errClosed }

// HasRevision is Target.
func (c *ClosedFile) HasRevision(zodb.Oid, zodb.Tid) (bool, error) { return false, errClosed }

// Reindex is Target.
func (c *ClosedFile) Reindex(context.Context) (int, error) { return 0, errClosed }

// Boundary returns where the last transaction begins, at or before pos, that leads there from the front of the file.
func (c *ClosedFile) Boundary(ctx context.Context, pos int64) (int64, error) {
	in, err := filestorage.Inspect(c.FS, c.Path)
	if err != nil {
		return firstTransaction, nil // its magic is damaged
	}
	defer in.Close() //nolint:errcheck // only read
	last := int64(firstTransaction)
	for txn, err := range in.Transactions() {
		if err := context.Cause(ctx); err != nil {
			return 0, fmt.Errorf("look for the transaction at %d: %w", pos, err)
		}
		if err != nil || txn.Pos > pos {
			break
		}
		last = txn.Pos
		if txn.End() <= pos {
			last = txn.End()
		}
	}
	return last, nil
}
