package filestorage

import (
	"context"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// Cut removes every transaction after last from the storage, which must have last, and closes it: it must be opened
// again. Blobs are not changed. The cost depends on the records that are removed, and includes a save of the index.
//
//  1. save the index as it was after last: it belongs to the file as it is, of which the rest would be scanned, and to
//     the file as it will be
//  2. cut the file off, and sync it
//
// A crash leaves the storage as it was, or cut. Nobody else may use it; iterators get zodb.ErrClosed. After an error
// only Close is left, which saves nothing.
func (s *Storage) Cut(ctx context.Context, last zodb.Tid) error {
	if s.readOnly {
		return fmt.Errorf("cut %s: %w", s.path, zodb.ErrReadOnly)
	}
	release, err := s.Hold(ctx)
	if err != nil {
		return fmt.Errorf("cut %s after %v: %w", s.path, last, err)
	}
	at, err := s.endOf(ctx, last)
	if err != nil {
		release()
		return fmt.Errorf("cut %s after %v: %w", s.path, last, err)
	}
	s.closing.Do(func() {
		close(s.closed)
		s.left.end()
		s.packing <- struct{}{}
		s.queue.close()
		s.closeErr = s.cut(at)
	})
	return s.closeErr
}

// endOf returns where the transaction with this tid ends.
func (s *Storage) endOf(ctx context.Context, tid zodb.Tid) (int64, error) {
	if tid == 0 {
		return magicLen, nil
	}
	src := s.source()
	defer src.release() //nolint:errcheck // only reads
	p, err := src.headerCursor()
	if err == nil {
		err = p.seek(ctx, tid-1)
	}
	switch {
	case err != nil:
		return 0, err
	case p.atEnd() || p.txn.Tid != tid:
		return 0, fmt.Errorf("transaction %v: %w", tid, zodb.ErrNoTid)
	}
	return p.after(), nil
}

func (s *Storage) cut(at int64) (err error) {
	defer func() {
		s.present().close(zodb.ErrClosed)
		if e := s.release(); err == nil {
			err = e
		}
	}()
	s.indexSaver.pause()
	if err := s.checkOwn(); err != nil {
		return err
	}
	if err := saveIndex(s.fs, s.path+indexSuffix, s.present().entriesAt(at), at); err != nil {
		return err
	}
	if err := s.file.Truncate(at); err != nil {
		return fmt.Errorf("cut %s at %d: %w", s.path, at, err)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("cut %s at %d: %w", s.path, at, err)
	}
	return nil
}

// Predecessor returns the tid of the revision of an object before the transaction tid, 0 when there is none.
func (s *Storage) Predecessor(oid zodb.Oid, tid zodb.Tid) (zodb.Tid, error) {
	e := s.hold()
	defer e.release()
	pos, _ := e.index.get(oid)
	end, _ := e.get()
	for pos != 0 {
		r, err := e.record(oid, pos, end)
		if err != nil {
			return 0, fmt.Errorf("the revision of oid %v before %v: %w", oid, tid, err)
		}
		if r.Tid < tid {
			return r.Tid, nil
		}
		pos = r.Prev
	}
	return 0, nil
}
