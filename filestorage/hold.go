package filestorage

import (
	"context"
	"fmt"
	"sync"

	"github.com/zrsd/zrsd/zodb"
)

// Hold waits for the transaction in progress, keeps others from beginning until release is called, and returns when
// all that was committed is durable and visible: LastTid is final then. Release may be called more than once.
//
// Errors: zodb.ErrReadOnly, zodb.ErrClosed, *FailedError, the context's cause. Nothing is held then.
func (s *Storage) Hold(ctx context.Context) (release func(), err error) {
	if s.readOnly {
		return nil, fmt.Errorf("hold the commits of %s: %w", s.path, zodb.ErrReadOnly)
	}
	if err := s.lockCommit(ctx); err != nil {
		return nil, fmt.Errorf("hold the commits of %s: %w", s.path, err)
	}
	if err := s.queue.room(ctx, 1); err != nil {
		<-s.commit
		return nil, fmt.Errorf("hold the commits of %s: %w", s.path, err)
	}
	return sync.OnceFunc(func() { <-s.commit }), nil
}

// SkipOids leaves n oids out: those that another node may have given to clients which have not used them yet.
func (s *Storage) SkipOids(n uint64) { s.maxOid.Add(n) }

// SkipTids leaves n tids out: new transactions get tids above the last one and these. 1<<32 of them are a minute. It
// waits for the transaction in progress; the errors are those of Hold.
func (s *Storage) SkipTids(ctx context.Context, n uint64) error {
	release, err := s.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	w := &s.writer
	w.begun = max(w.begun, w.last) + zodb.Tid(n)
	return nil
}
