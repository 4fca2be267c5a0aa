package filestorage

import (
	"context"
	"errors"
	"iter"

	"github.com/zrsd/zrsd/zodb"
)

// A BlobPacker is a blob directory from which a pack removes blobs. One that is none, such as one that belongs to
// another storage, keeps all.
type BlobPacker interface {
	// PlanRemoval notes durably which revisions are to be removed once the Data.fs has no record of them any more, or
	// with keepOld moved to the directory with .old, which is to have all the others too.
	PlanRemoval(revisions iter.Seq2[zodb.Oid, zodb.Tid], keepOld bool) error
	// CancelRemoval drops the plan.
	CancelRemoval() error
	// FinishRemoval carries the plan out, except for revisions that are still needed, and drops it. Where there is none
	// it does nothing. It can be repeated after an error.
	FinishRemoval(ctx context.Context, needed func(zodb.Oid, zodb.Tid) (bool, error)) error
}

// hasRevision reports whether there is a record of oid with this tid.
func (s *Storage) hasRevision(oid zodb.Oid, tid zodb.Tid) (bool, error) {
	found := false
	err := s.history(oid, func(_ *edition, r record, _ int64) (more bool, err error) {
		found = r.Tid == tid
		return r.Tid > tid, nil
	})
	if missing := (*zodb.POSKeyError)(nil); errors.As(err, &missing) {
		return false, nil
	}
	return found, err
}

// eachDropped yields the revisions of blobs that are not kept.
func (p *packer) eachDropped(yield func(zodb.Oid, zodb.Tid) bool) {
	for _, d := range p.dropped {
		if !yield(d.oid, d.tid) {
			return
		}
	}
}
