package filestorage

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// ErrNotEmpty says that a storage has transactions already.
var ErrNotEmpty = errors.New("the storage has transactions: only an empty storage can change its magic")

// Magic returns the first four bytes of the file.
func (s *Storage) Magic() zodb.Magic {
	s.view.RLock()
	defer s.view.RUnlock()
	return s.magic
}

// SetMagic changes the first four bytes of the file of an empty storage, durably. A copy must have the magic of the
// original, which is not always known when the file is created. Errors: ErrNotEmpty, zodb.ErrReadOnly, zodb.ErrClosed,
// *FailedError.
func (s *Storage) SetMagic(m zodb.Magic) error {
	if err := s.setMagic(m); err != nil {
		return fmt.Errorf("change the magic of %s to %s: %w", s.path, m, err)
	}
	return nil
}

func (s *Storage) setMagic(m zodb.Magic) error {
	switch {
	case !m.Known():
		return errors.New("unknown magic")
	case s.readOnly:
		return zodb.ErrReadOnly
	}
	if err := s.lockCommit(context.Background()); err != nil {
		return err
	}
	defer func() { <-s.commit }()
	if s.writer.end != magicLen {
		return ErrNotEmpty
	}
	if _, err := s.file.WriteAt(m[:], 0); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return s.fail(fmt.Errorf("sync: %w", err))
	}
	s.view.Lock()
	defer s.view.Unlock()
	s.magic = m
	return nil
}
