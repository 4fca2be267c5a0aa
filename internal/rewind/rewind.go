package rewind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// A Storage is a storage that no process has open.
type Storage struct {
	FS    vfs.FS
	Data  string // path of the Data.fs
	Blobs string // path of the blob directory; empty: that of FindBlobs
	// BlobsElsewhere says that the blobs are in the directory of another node: they are neither set aside nor removed.
	BlobsElsewhere bool
	Logger         hclog.Logger
}

// Begin notes in the state file that the storage is to be rewound. Finish does it, now or later.
func (s *Storage) Begin(plan *state.Rewind) error {
	keep, err := state.Open(s.FS, s.Data)
	if err != nil {
		return err
	}
	return s.Note(keep, plan)
}

// Note is Begin for a caller that has the Keeper of the state file. The storage may be open.
func (s *Storage) Note(keep *state.Keeper, plan *state.Rewind) error {
	n, err := s.free(plan.First)
	if err != nil {
		return err
	}
	return keep.Update(func(id *state.State) error {
		if id.Rewind != nil {
			return fmt.Errorf("%s is being rewound to %v already: finish that first", s.Data, id.Rewind.Last)
		}
		noted := *plan
		noted.Nth = n
		id.Rewind = &noted
		return nil
	})
}

// Finish does what Begin noted, all of it or what an interruption has left, and returns where the transactions lie that
// were taken out; nil when nothing was to be done. Until it has returned without an error the storage must not be
// used. The errors are those of opening the storage, and of the disk: then it can be called again.
func (s *Storage) Finish(ctx context.Context) (*Fragment, error) {
	keep, err := state.Open(s.FS, s.Data)
	if err != nil {
		return nil, err
	}
	id := keep.State()
	if id == nil || id.Rewind == nil {
		return nil, nil //nolint:nilnil // nothing was to be done
	}
	plan := id.Rewind
	f := nthFragment(s.Data, plan.First, plan.Nth)
	s.Logger.Info("rewinding: setting aside transactions that the primary never had", "from", plan.First, "to",
		plan.Until, "into", f.Data)
	if err := s.takeOut(ctx, &f, id, plan); err != nil {
		return nil, fmt.Errorf("rewinding %s to %v: %w", s.Data, plan.Last, err)
	}
	err = keep.Update(func(id *state.State) error {
		id.BecomeSecondaryOf(plan.Follow)
		id.Epochs, id.Rewind, id.Waits = plan.Epochs, nil, nil
		if plan.Begun > id.Epoch().Number {
			id.MaxEpochBegun = max(id.MaxEpochBegun, plan.Begun)
		}
		if plan.Why != "" {
			id.Remember(state.SetAside{
				First: plan.First, Until: plan.Until, Last: plan.Last, File: f.Data, Why: plan.Why,
				At: time.Now().UTC().Format(time.RFC3339),
			})
		}
		id.Chain.Forget(plan.Last)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("rewinding %s to %v: %w", s.Data, plan.Last, err)
	}
	s.Logger.Warn("rewound", "last_tid", plan.Last, "fragment", f.Data, "warning", warning.SetAside)
	return &f, nil
}

// takeOut does steps 1 to 3 of the package comment.
func (s *Storage) takeOut(ctx context.Context, f *Fragment, id *state.State, plan *state.Rewind) error {
	var blobs *blobstore.Store
	opt := filestorage.Options{FS: s.FS, MustExist: true, Logger: s.Logger}
	dir := s.Blobs
	if dir == "" && !s.BlobsElsewhere {
		dir = FindBlobs(s.FS, s.Data)
	}
	if dir != "" {
		var err error
		if blobs, err = blobstore.Open(dir, blobstore.Options{FS: s.FS}); err != nil {
			return err
		}
		opt.Blobs = blobs
	}
	st, err := filestorage.Open(ctx, s.Data, opt)
	if err != nil {
		return err
	}
	if err := s.split(ctx, st, f, id, plan); err != nil {
		return errors.Join(err, st.Close())
	}
	if blobs == nil {
		return nil
	}
	return s.removeBlobs(ctx, blobs, f)
}

// split makes the fragment and cuts it off, and closes the storage if it succeeds.
func (s *Storage) split(ctx context.Context, st *filestorage.Storage, f *Fragment, id *state.State,
	plan *state.Rewind) error {
	switch last := st.LastTid(); {
	case last == plan.Last: // it was cut off before
		return st.Close()
	case last != plan.Until:
		return fmt.Errorf("its last transaction is %v, and %v was the last one to remove: the file has changed since",
			last, plan.Until)
	}
	if !s.BlobsElsewhere {
		if err := NeedsBlobs(ctx, st, plan.Last); err != nil {
			return err
		}
	}
	m, err := ReadManifest(s.FS, f.Manifest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = f.build(ctx, s.FS, st, id.StorageID, plan.Last)
	case err == nil && !m.isOf(id.StorageID, plan):
		err = fmt.Errorf("%s lists what another rewind has set aside: move it away, with the files beside it",
			f.Manifest)
	}
	if err != nil {
		return fmt.Errorf("setting aside: %w", err)
	}
	return st.Cut(ctx, plan.Last)
}

// removeBlobs removes the blobs that are in the fragment.
func (s *Storage) removeBlobs(ctx context.Context, blobs *blobstore.Store, f *Fragment) (err error) {
	kept, err := blobstore.Open(f.Blobs, blobstore.Options{FS: s.FS})
	if err != nil {
		return err
	}
	st, err := filestorage.Open(ctx, f.Data, filestorage.Options{
		FS: s.FS, Blobs: kept, ReadOnly: true, MustExist: true,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for txn, err := range st.Transactions(ctx, 0) {
		if err == nil {
			err = removeBlobsOf(blobs, txn)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func removeBlobsOf(blobs *blobstore.Store, txn zodb.Transaction) error {
	for rec, err := range zodb.Records(txn) {
		if err == nil && rec.Blob != nil {
			err = blobs.Remove(rec.Oid, rec.Tid)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Empty reports whether all transactions of a storage after last have no records and never had any: taking them out
// loses no data. A transaction that a pack has written may have had some.
func Empty(ctx context.Context, st *filestorage.Storage, last zodb.Tid) (bool, error) {
	records, packed, err := holds(ctx, st, last, true)
	return !records && !packed, err
}

// Holds looks at all transactions of a storage after last: whether there is a record, and whether there is a
// transaction that is not as it was committed, because a pack has written it.
func Holds(ctx context.Context, st *filestorage.Storage, last zodb.Tid) (records, packed bool, err error) {
	return holds(ctx, st, last, false)
}

// holds stops at the first of both where brief.
func holds(ctx context.Context, st *filestorage.Storage, last zodb.Tid, brief bool) (records, packed bool, err error) {
	for txn, err := range st.Transactions(ctx, last) {
		if err != nil {
			return false, false, fmt.Errorf("looking for records after %v: %w", last, err)
		}
		packed = packed || txn.Meta().Status != zodb.StatusCommitted
		switch _, err := txn.NextRecord(); {
		case err == nil:
			records = true
		case !errors.Is(err, io.EOF):
			return false, false, fmt.Errorf("looking for records after %v: %w", last, err)
		}
		if brief && (records || packed) {
			break
		}
	}
	return records, packed, nil
}
