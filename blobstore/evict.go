package blobstore

import (
	"fmt"
	"io/fs"

	"github.com/zrsd/zrsd/zodb"
)

// Evict removes a blob that is somewhere else, too. It is not synced: a blob that comes back in a crash is the same.
// Its folder stays: a commit that has just published the blob may still have to sync it.
func (s *Store) Evict(oid zodb.Oid, tid zodb.Tid) error {
	if s.readOnly {
		return zodb.ErrReadOnly
	}
	_, had, err := s.unname(oid, tid)
	if err == nil && !had {
		err = fs.ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("remove blob of oid %v tid %v, which is somewhere else: %w", oid, tid, err)
	}
	return nil
}

// Came returns when a blob at a path of Walk was written, in nanoseconds since 1970; 0 where that is not known.
func (s *Store) Came(path string) int64 {
	info, err := s.fs.Stat(path)
	if err != nil {
		return 0
	}
	return info.ModTime().UnixNano()
}
