package blobstore

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/zrsd/zrsd/zodb"
)

// Remove removes a published blob, durably. Where there is no such blob it does nothing.
func (s *Store) Remove(oid zodb.Oid, tid zodb.Tid) error {
	if s.readOnly {
		return zodb.ErrReadOnly
	}
	path := s.path(oid, tid)
	err := s.fs.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = s.folders.sync(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("remove blob of oid %v tid %v: %w", oid, tid, err)
	}
	return nil
}
