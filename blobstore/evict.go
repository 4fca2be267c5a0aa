package blobstore

import (
	"fmt"
	"path/filepath"

	"github.com/zrsd/zrsd/zodb"
)

// Evict removes a blob that is somewhere else, too, and the folders that become empty. It is not synced: a blob that
// comes back in a crash is the same.
func (s *Store) Evict(oid zodb.Oid, tid zodb.Tid) error {
	if s.readOnly {
		return zodb.ErrReadOnly
	}
	if err := s.fs.Remove(s.path(oid, tid)); err != nil {
		return fmt.Errorf("remove blob of oid %v tid %v, which is somewhere else: %w", oid, tid, err)
	}
	s.leave(filepath.Dir(s.path(oid, tid)))
	return nil
}

// leave removes a folder if it is empty, and those above it that become so. What cannot be removed is not empty, or has
// no effect. No blob is published meanwhile, see prune; while one is, the folder stays, so that none ever waits for the
// other.
func (s *Store) leave(dir string) {
	above, err := foldersAbove(s.dir, dir)
	if err != nil || !s.publishing.TryLock() {
		return
	}
	defer s.publishing.Unlock()
	for _, next := range above {
		if s.fs.Remove(dir) != nil {
			return
		}
		dir = next
	}
}

// Came returns when a blob at a path of Walk was written, in nanoseconds since 1970; 0 where that is not known.
func (s *Store) Came(path string) int64 {
	info, err := s.fs.Stat(path)
	if err != nil {
		return 0
	}
	return info.ModTime().UnixNano()
}
