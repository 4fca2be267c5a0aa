package blobtools

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// ErrPacked says that what was read of a Data.fs is not what it is any more.
var ErrPacked = errors.New("the Data.fs was packed or replaced meanwhile: call the command again")

// A Revision is one that is a blob, and has to have a file.
type Revision struct {
	Oid zodb.Oid
	Tid zodb.Tid
	Pos int64 // of its record
}

func (r *Revision) compare(oid zodb.Oid, tid zodb.Tid) int {
	return cmp.Or(cmp.Compare(r.Oid, oid), cmp.Compare(r.Tid, tid))
}

// Records are what a Data.fs has of blobs. Close them after use. They are for one goroutine.
type Records struct {
	Blobs []Revision // sorted by oid and tid, each once
	Last  zodb.Tid   // of the last transaction

	disk  vfs.FS
	path  string
	file  fs.FileInfo
	in    *filestorage.Inspector
	now   *filestorage.Offsets // the last record of each object
	some  []mark               // every markEvery-th transaction
	down  bool                 // tids go down somewhere
	count int64                // transactions
}

// markEvery is how many transactions lie between those whose place is remembered.
const markEvery = 64

type mark struct {
	tid zodb.Tid
	pos int64
}

// ReadRecords reads the Data.fs at path once. progress may be nil.
func ReadRecords(ctx context.Context, disk vfs.FS, path string, progress func(done, total int64)) (*Records, error) {
	r := &Records{disk: vfs.OrOS(disk), path: path, now: filestorage.NewOffsets()}
	var err error
	if r.file, err = r.disk.Stat(path); err != nil {
		return nil, fmt.Errorf("look at %s: %w", path, err)
	}
	if r.in, err = filestorage.Inspect(r.disk, path); err != nil {
		return nil, err
	}
	if err := r.read(ctx, progress); err != nil {
		return nil, fmt.Errorf("read the records of %s: %w", path, errors.Join(err, r.in.Close()))
	}
	slices.SortFunc(r.Blobs, func(a, b Revision) int { return a.compare(b.Oid, b.Tid) })
	r.Blobs = slices.CompactFunc(r.Blobs, func(a, b Revision) bool { return a.compare(b.Oid, b.Tid) == 0 })
	return r, nil
}

// Close closes the file.
func (r *Records) Close() error { return r.in.Close() }

func (r *Records) read(ctx context.Context, progress func(done, total int64)) error {
	for txn, err := range r.in.Transactions() {
		if err := errors.Join(err, context.Cause(ctx)); err != nil {
			return err
		}
		if r.count%markEvery == 0 {
			r.some = append(r.some, mark{txn.Meta.Tid, txn.Pos})
		}
		r.count++
		r.down = r.down || txn.Meta.Tid < r.Last
		r.Last = max(r.Last, txn.Meta.Tid)
		if err := r.readTransaction(txn); err != nil {
			return err
		}
		if progress != nil {
			progress(r.in.Pos(), r.in.Size())
		}
	}
	return nil
}

func (r *Records) readTransaction(txn *filestorage.RawTransaction) error {
	for rec, err := range r.in.Records() {
		if err != nil {
			return err
		}
		if txn.Meta.Status == zodb.StatusUndone { // counts as absent
			continue
		}
		r.now.Set(rec.Oid, rec.Pos)
		blob, err := r.in.IsBlob(rec)
		if err != nil {
			return err
		}
		if blob {
			r.Blobs = append(r.Blobs, Revision{rec.Oid, txn.Meta.Tid, rec.Pos})
		}
	}
	return nil
}

// find returns the place of a revision in Blobs; -1: it is no blob of this storage.
func (r *Records) find(oid zodb.Oid, tid zodb.Tid) int {
	i, found := slices.BinarySearchFunc(r.Blobs, tid, func(x Revision, tid zodb.Tid) int { return x.compare(oid, tid) })
	if !found {
		return -1
	}
	return i
}

// hasObject reports whether the Data.fs has a record of an object, and whether one of its records is a blob.
func (r *Records) hasObject(oid zodb.Oid) (known, blob bool) {
	i, _ := slices.BinarySearchFunc(r.Blobs, oid, func(x Revision, oid zodb.Oid) int { return cmp.Compare(x.Oid, oid) })
	return r.now.Get(oid) != 0, i < len(r.Blobs) && r.Blobs[i].Oid == oid
}

// of returns the transaction that has written a revision.
func (r *Records) of(rev *Revision) (*zodb.TxnMeta, error) {
	rec, err := r.in.RecordAt(rev.Pos)
	if err != nil {
		return nil, err
	}
	r.in.SkipTo(rec.Tloc)
	txn, err := r.in.Next()
	if err != nil {
		return nil, err
	}
	return &txn.Meta, nil
}

// transaction returns the transaction of a tid; nil: the Data.fs has none, as far as its tids rise.
func (r *Records) transaction(tid zodb.Tid) (*zodb.TxnMeta, error) {
	i, exact := slices.BinarySearchFunc(r.some, tid, func(m mark, tid zodb.Tid) int { return cmp.Compare(m.tid, tid) })
	if r.down || i == 0 && !exact {
		return nil, nil //nolint:nilnil // there is none
	}
	if !exact {
		i--
	}
	r.in.SkipTo(r.some[i].pos)
	for txn, err := range r.in.Transactions() {
		switch {
		case err != nil:
			return nil, err
		case txn.Meta.Tid == tid:
			return &txn.Meta, nil
		case txn.Meta.Tid > tid:
			return nil, nil //nolint:nilnil // there is none
		}
	}
	return nil, nil //nolint:nilnil // there is none
}

// unchanged is ErrPacked when another file has the name by now.
func (r *Records) unchanged() error {
	info, err := r.disk.Stat(r.path)
	if err == nil && !vfs.SameFile(info, r.file) {
		err = ErrPacked
	}
	return err
}
