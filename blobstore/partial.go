package blobstore

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// partialName is the marker of a directory that has a part of the blobs.
const partialName = ".cache.zrsd"

const partialText = "This directory is a blob cache: what is not here is on other nodes or in an object store.\n"

// PartialMarker is the path of the marker in a directory.
func PartialMarker(dir string) string { return filepath.Join(dir, partialName) }

// MarkPartial notes durably that blobs which are not here may be elsewhere, because they were evicted. It has to be
// noted before the first one is. Who has brought all of them back removes PartialMarker.
func (s *Store) MarkPartial() error {
	if is, err := s.Partial(); is || err != nil {
		return err
	}
	path := PartialMarker(s.dir)
	err := vfs.WriteFileAtomic(s.fs, path, ".tmp", func(f vfs.File) error {
		_, err := f.WriteAt([]byte(partialText), 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("note in %s whether the directory is a blob cache: %w", path, err)
	}
	return nil
}

// Partial reports whether blobs that are not here may be elsewhere.
func (s *Store) Partial() (bool, error) {
	_, err := s.fs.Stat(PartialMarker(s.dir))
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	}
	return false, fmt.Errorf("look whether blob directory %s is a blob cache: %w", s.dir, err)
}

// IsMarker reports whether a file at the top of a blob directory is one of those by which a Store knows it.
func IsMarker(name string) bool { return name == markerName || name == partialName }

// An EvictedError says that a blob is not in a directory which is, or was, a blob cache.
type EvictedError struct {
	Dir string
	Oid zodb.Oid
	Tid zodb.Tid
}

func (e *EvictedError) Error() string {
	return fmt.Sprintf("blob of oid %v tid %v was evicted from blob cache %s: a node of the same storage or its "+
		"object store may have it; read it by way of a running node, or bring it back with zrsd blobs pull or zrsd "+
		"blobs recover",
		e.Oid, e.Tid, e.Dir)
}

// A Cached is a directory in which a part of the blobs is, for who only reads, and can ask nobody for the others.
type Cached struct{ *Store }

// AsCache returns the directory as one in which a part of the blobs is.
func (s *Store) AsCache() Cached { return Cached{s} }

// OpenBlob is that of the Store, but a blob that is not there may exist: *EvictedError.
func (c Cached) OpenBlob(oid zodb.Oid, tid zodb.Tid) (vfs.File, error) {
	f, err := c.Store.OpenBlob(oid, tid)
	if missing := (*zodb.POSKeyError)(nil); errors.As(err, &missing) {
		return nil, &EvictedError{c.Dir(), oid, tid}
	}
	return f, err
}

// Stat is that of the Store, likewise.
func (c Cached) Stat(oid zodb.Oid, tid zodb.Tid) (int64, error) {
	size, err := c.Store.Stat(oid, tid)
	if missing := (*zodb.POSKeyError)(nil); errors.As(err, &missing) {
		return 0, &EvictedError{c.Dir(), oid, tid}
	}
	return size, err
}
