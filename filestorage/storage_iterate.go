package filestorage

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// Transactions ranges over the committed transactions after the one with the tid after, 0: over all. What comes is as
// with Iterate and zodb.Transactions.
func (s *Storage) Transactions(ctx context.Context, after zodb.Tid) iter.Seq2[zodb.Transaction, error] {
	return transactions(ctx, s, after, false)
}

// Follow is Transactions that waits at the end for more commits, until ctx ends or the storage is closed, which comes
// as an error: the context's cause, or zodb.ErrClosed.
func (s *Storage) Follow(ctx context.Context, after zodb.Tid) iter.Seq2[zodb.Transaction, error] {
	return transactions(ctx, s, after, true)
}

// transactions ranges over what an iterator of st returns, which lives as long as that.
func transactions(
	ctx context.Context, st interface {
		Iterate(after zodb.Tid, follow bool) (zodb.Iterator, error)
	}, after zodb.Tid, follow bool,
) iter.Seq2[zodb.Transaction, error] {
	return func(yield func(zodb.Transaction, error) bool) {
		it, err := st.Iterate(after, follow)
		if err != nil {
			yield(nil, err)
			return
		}
		defer it.Close() //nolint:errcheck // it has only read
		zodb.Transactions(ctx, it)(yield)
	}
}

// Iterate returns an iterator that begins after the transaction with the tid after, or, where there is none, with the
// first whose tid is above. When follow is set it waits at the end for more commits; Close of the storage ends that
// with zodb.ErrClosed. The caller closes it.
//
// Transactions and records are reused: what Next and NextRecord return, readers included, is void after the next call
// of either. Transactions of status 'u' are among them. Records of blobs carry the blob where there is one. Damage that
// the iterator meets is a *zodb.CorruptError.
func (s *Storage) Iterate(after zodb.Tid, follow bool) (zodb.Iterator, error) {
	src := s.source()
	it, err := iterate(src, after, follow)
	if err != nil {
		return nil, fmt.Errorf("iterate %s after %v: %w", s.path, after, errors.Join(err, src.release()))
	}
	return it, nil
}

// IterateRecords is Iterate without blobs, for who does not need them: they are not opened, so that no trouble with
// them is in the way.
func (s *Storage) IterateRecords(after zodb.Tid, follow bool) (zodb.Iterator, error) {
	src := s.sourceOf(s.hold(), nil)
	it, err := iterate(src, after, follow)
	if err != nil {
		return nil, fmt.Errorf("iterate %s after %v: %w", s.path, after, errors.Join(err, src.release()))
	}
	return it, nil
}

// Find looks for the transaction with this tid. If there is none the error wraps zodb.ErrNoTid, and Before and After of
// the result are its neighbours.
func (s *Storage) Find(ctx context.Context, tid zodb.Tid) (Found, error) {
	src := s.source()
	found, err := src.find(ctx, tid)
	return found, errors.Join(err, src.release())
}

// Count returns how many committed transactions have tids above after, and the tid of the last of them, after itself
// when there is none. It reads headers only, but all of them.
func (s *Storage) Count(ctx context.Context, after zodb.Tid) (transactions int64, upTo zodb.Tid, err error) {
	src := s.source()
	transactions, upTo, err = src.count(ctx, after)
	return transactions, upTo, errors.Join(err, src.release())
}

// source returns the storage as iterators see it, for the caller to release. When a pack has replaced the file, they go
// on with the next one.
func (s *Storage) source() *source {
	if s.blobs == nil {
		return s.sourceOf(s.hold(), nil)
	}
	return s.sourceOf(s.hold(), s.blobs.OpenBlob)
}

// sourceOf takes over what holds e. Whatever comes of the source has the same openBlob.
func (s *Storage) sourceOf(e *openDataFile, openBlob func(zodb.Oid, zodb.Tid) (vfs.File, error)) *source {
	return &source{
		commitPoint: e.commitPoint, file: e.file, path: e.path, openBlob: openBlob,
		index:     func() *index { return e.index },
		successor: func(context.Context) (*source, error) { return s.sourceOf(s.hold(), openBlob), nil },
		release:   func() error { e.release(); return nil },
		share: func() *source {
			e.holders.Add(1)
			return s.sourceOf(e, openBlob)
		},
	}
}
