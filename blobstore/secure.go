package blobstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zrsd/zrsd/zodb"
)

// Secure makes the content and the name of a published blob durable, for one that another process published and may not
// have synced. Where there is no such blob it does nothing.
func (s *Store) Secure(oid zodb.Oid, tid zodb.Tid) error {
	path := s.path(oid, tid)
	f, err := s.fs.OpenFile(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err == nil {
		err = s.folders.sync(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("make blob of oid %v tid %v durable: %w", oid, tid, err)
	}
	return nil
}
