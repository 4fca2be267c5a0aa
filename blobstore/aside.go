package blobstore

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/zrsd/zrsd/zodb"
)

// SetAside moves the blob of a lost transaction into the folder .<label>, durably, as <oid>.<tid>.blob with 16 digits
// each. Where there is no such blob it only makes sure that there is none after a crash: it may have been moved by a
// process that was killed before it had synced the folder.
func (s *Store) SetAside(oid zodb.Oid, tid zodb.Tid, label string) error {
	if s.readOnly {
		return zodb.ErrReadOnly
	}
	from := s.path(oid, tid)
	if _, err := s.fs.Stat(from); errors.Is(err, fs.ErrNotExist) {
		if err := s.folders.sync(filepath.Dir(from)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	folder := filepath.Join(s.dir, "."+label)
	err := s.folders.make(folder)
	if err == nil {
		err = s.moveBlob(from, filepath.Join(folder, fmt.Sprintf("%v.%v%s", oid, tid, suffix)))
	}
	for _, dir := range []string{folder, filepath.Dir(from)} {
		if err == nil {
			err = s.folders.sync(dir)
		}
	}
	if err != nil {
		return fmt.Errorf("set aside blob of oid %v tid %v: %w", oid, tid, err)
	}
	return nil
}
