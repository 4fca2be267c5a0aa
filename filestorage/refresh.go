package filestorage

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// Refresh has a read-only storage see what another process has finished since, also in the file that a pack has put in
// place of its own. It is not for storages that are open for writing, which see all that there is.
//
// On an error the storage stays what it was, or has the transactions before the damage that the error names.
func (s *Storage) Refresh(ctx context.Context) error {
	if !s.readOnly {
		return nil
	}
	select {
	case s.commit <- struct{}{}: // nobody commits: it is the lock of this
	case <-s.closed:
		return zodb.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.commit }()
	at, err := s.fs.Stat(s.path)
	if err == nil && vfs.SameFile(at, s.id) {
		err = s.extend(ctx, at.Size())
	} else if err == nil {
		err = s.reopen(ctx)
	}
	if err != nil {
		return fmt.Errorf("look for what is new in %s: %w", s.path, err)
	}
	return nil
}

// extend takes what is finished after the commit point, in a file of this size.
func (s *Storage) extend(ctx context.Context, size int64) error {
	end, last := s.get()
	if size < end {
		return fmt.Errorf("it had %d bytes of transactions, and has %d bytes now: transactions were cut off; open it "+
			"again", end, size)
	}
	c := newScan(ctx, s.file, s.path, size)
	c.pos, c.last = end, last
	err := c.run()
	s.view.Lock()
	defer s.view.Unlock()
	for oid, pos := range c.index.all() {
		s.index.set(oid, pos)
	}
	if c.pos > end {
		s.advance(c.pos, c.last)
	}
	return err
}

// reopen takes the file that is at the path now.
func (s *Storage) reopen(ctx context.Context) (err error) {
	e := newEdition(s.path)
	if e.file, err = s.fs.OpenFile(s.path, os.O_RDONLY, 0); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.file.Close())
		}
	}()
	if e.id, err = e.file.Stat(); err != nil {
		return err
	}
	c := newScan(ctx, e.file, s.path, max(e.id.Size(), magicLen))
	s.startFromIndex(c)
	if err := c.run(); err != nil {
		return err
	}
	_, last := s.get()
	if c.last < last {
		return fmt.Errorf("another file was put there, whose last transaction is %v, before %v that was here: open it "+
			"again", c.last, last)
	}
	e.index, e.commitPoint = c.index, newCommitPoint(c.pos, c.last)
	old := s.openDataFile
	s.view.Lock()
	s.openDataFile = e
	s.view.Unlock()
	old.close(errReplaced)
	old.release()
	return nil
}
