package blobstore

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// ErrAnother says that a directory is not the one in which a token was put, as far as can be seen from here.
var ErrAnother = errors.New("the primary's token is not in it")

// A Shared is a blob directory that a storage on another machine fills, through another mount of it. Nothing here ever
// writes in it: no marker, no folder, no lock. It is what a storage needs of a blob directory, except for what only the
// other one can do: it has no methods to remove blobs, so that a pack of the storage leaves them to the primary. Its
// methods may be called concurrently.
type Shared struct {
	fs   vfs.FS
	dir  string
	view atomic.Pointer[view]
}

// A view is a shared directory as it was when it was looked at.
type view struct {
	*Store
	id fs.FileInfo
}

// OpenShared opens the shared directory at dir, which must be there and have a layout: an empty one is the sign of a
// file system that is not mounted. A nil disk is the real one.
func OpenShared(dir string, disk vfs.FS) (*Shared, error) {
	s := &Shared{fs: vfs.OrOS(disk), dir: vfs.CleanPath(dir)}
	if err := s.look(); err != nil {
		return nil, err
	}
	return s, nil
}

// look takes the directory for what it is now.
func (s *Shared) look() error {
	id, err := s.fs.Stat(s.dir)
	if err != nil {
		return fmt.Errorf("look at shared blob directory %s: %w", s.dir, err)
	}
	store, err := Open(s.dir, Options{FS: s.fs, ReadOnly: true})
	if err != nil {
		return err
	}
	if store.blank {
		return fmt.Errorf("shared blob directory %s has no %s file: check that it is mounted, and start the primary "+
			"first", s.dir, markerName)
	}
	if is, err := store.Partial(); err != nil {
		return err
	} else if is {
		return fmt.Errorf("shared blob directory %s is, or was, a blob cache: blobs that were evicted are not in it; "+
			"give this node a directory of its own", s.dir)
	}
	s.view.Store(&view{store, id})
	return nil
}

// Dir returns the directory given to OpenShared.
func (s *Shared) Dir() string { return s.dir }

// Verify is nil when the token is in the directory, which then counts as the one to look into. ErrAnother may be the
// work of a network file system that shows new files late.
func (s *Shared) Verify(name string, digest [sha256.Size]byte) error {
	if !isTokenName(name) {
		return fmt.Errorf("%q is not the name of a token", name)
	}
	got, err := readToken(s.fs, s.dir, name)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && got != digest:
		return ErrAnother
	case err != nil:
		return fmt.Errorf("read the primary's token in blob directory %s: %w", s.dir, err)
	}
	return s.look()
}

// OpenBlob opens the blob of a revision. It is a *zodb.POSKeyError with Blob set when there is none, and a *GoneError
// when that is not known because the directory is not there.
func (s *Shared) OpenBlob(oid zodb.Oid, tid zodb.Tid) (vfs.File, error) {
	v := s.view.Load()
	f, err := v.OpenBlob(oid, tid)
	return f, s.missing(v, err)
}

// Stat returns the size of the blob of a revision, in bytes, with the same errors as OpenBlob.
func (s *Shared) Stat(oid zodb.Oid, tid zodb.Tid) (int64, error) {
	v := s.view.Load()
	size, err := v.Stat(oid, tid)
	return size, s.missing(v, err)
}

// missing reports a blob as missing only if the directory is still there.
func (s *Shared) missing(v *view, err error) error {
	if key := (*zodb.POSKeyError)(nil); !errors.As(err, &key) {
		return err
	}
	if id, statErr := s.fs.Stat(s.dir); statErr != nil || !vfs.SameFile(id, v.id) {
		return &GoneError{s.dir}
	}
	return err
}

// Stage refuses: blobs come into the directory by way of the primary only.
func (s *Shared) Stage(oid zodb.Oid, tid zodb.Tid, _ io.Reader) (zodb.StagedBlob, error) {
	return nil, s.refused(fmt.Sprintf("stage blob of oid %v tid %v", oid, tid))
}

// Draft refuses, as Stage does.
func (s *Shared) Draft() (zodb.BlobDraft, error) { return nil, s.refused("begin a blob") }

// AdoptDraft refuses, as Stage does.
func (s *Shared) AdoptDraft(string) (zodb.BlobDraft, error) {
	return nil, s.refused("take over a blob")
}

// KeepParts does nothing: there are none.
func (s *Shared) KeepParts(bool) {}

// Part refuses, as Stage does.
func (s *Shared) Part(oid zodb.Oid, tid zodb.Tid) (zodb.BlobPart, error) {
	return nil, s.refused(fmt.Sprintf("begin blob of oid %v tid %v", oid, tid))
}

func (s *Shared) refused(what string) error {
	return fmt.Errorf("%s: blob directory %s is the primary's: %w", what, s.dir, zodb.ErrReadOnly)
}

// SetAside does nothing: a transaction that is lost here is not lost on the primary, and its blob belongs to it.
func (s *Shared) SetAside(zodb.Oid, zodb.Tid, string) error { return nil }

// Empty is true whatever is in the directory: blobs of the primary are no sign of a Data.fs that was here.
func (s *Shared) Empty() (bool, error) { return true, nil }
