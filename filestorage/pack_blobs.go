package filestorage

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A BlobPacker is a blob directory from which a pack removes blobs. One that is none, such as one that belongs to
// another storage, keeps all.
type BlobPacker interface {
	// TryRemoval finds out, before anything is changed, whether PlanRemoval and FinishRemoval can do their work.
	TryRemoval(keepOld bool) error
	// PlanRemoval notes durably which revisions are to be removed once the Data.fs has no record of them any more, or
	// with keepOld moved to the directory with .old, which is to have all the others too.
	PlanRemoval(revisions iter.Seq2[zodb.Oid, zodb.Tid], keepOld bool) error
	// CancelRemoval drops the plan.
	CancelRemoval() error
	// FinishRemoval carries the plan out, as far as it can, except for revisions that are still needed, and drops it.
	// Where there is none it does nothing. It can be repeated after an error.
	FinishRemoval(ctx context.Context, needed func(zodb.Oid, zodb.Tid) (bool, error)) error
}

// tryWays refuses a pack that could not do its work at the end. What an earlier pack has left comes first; what of it
// cannot be done becomes a part of this one's work, unless it is to keep the old state, which would be mixed then.
func (p *packer) tryWays(ctx context.Context) error {
	if err := p.tryLink(); err != nil || p.blobs == nil {
		return err
	}
	err := p.blobs.FinishRemoval(ctx, p.s.hasRevision)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && p.opt.KeepOld:
		return fmt.Errorf(
			"nothing was changed: finish the earlier pack first: %w; or pack without keeping the old file and "+
				"blobs (zrsd pack --no-keep-old, pack-keep-old false)",
			err,
		)
	case err != nil:
		p.s.log.Warn("cannot finish the cleanup of an earlier pack; this pack takes it over", "error", err)
	}
	return p.blobs.TryRemoval(p.opt.KeepOld)
}

// tryLink gives the Data.fs the second name that it gets at the end, for a moment and under another one.
func (p *packer) tryLink() error {
	if !p.opt.KeepOld {
		return nil
	}
	disk, name := p.s.fs, p.s.path+oldSuffix+".try"
	err := vfs.RemoveIfThere(disk, name)
	if err == nil {
		err = disk.Link(p.s.path, name)
	}
	if err == nil {
		err = disk.Remove(name)
	}
	if err != nil {
		return fmt.Errorf(
			"nothing was changed: the old file cannot be kept as %s: %w; pack without keeping it (zrsd pack "+
				"--no-keep-old, pack-keep-old false)",
			p.s.path+oldSuffix,
			err,
		)
	}
	return nil
}

// hasRevision reports whether there is a record of oid with this tid.
func (s *Storage) hasRevision(oid zodb.Oid, tid zodb.Tid) (bool, error) {
	found := false
	err := s.history(oid, func(_ *openDataFile, r record, _ int64) (more bool, err error) {
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
