package blobstore

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// Restore brings back a blob that is missing, also while another process has the directory open. It never takes the
// place of a file: where one is, the error is fs.ErrExist. right looks at the content once it was copied, and an error
// of it keeps the blob out. No symbolic link in the directory is followed.
//
// The content is durable under a temporary name in the folder of the object before the blob has its own, which is made
// by a link, and is durable when Restore returns.
func (s *Store) Restore(oid zodb.Oid, tid zodb.Tid, content io.Reader, right func() error) error {
	if s.readOnly {
		return zodb.ErrReadOnly
	}
	if err := s.restore(oid, tid, content, right); err != nil {
		return fmt.Errorf("restore blob of oid %v tid %v: %w", oid, tid, err)
	}
	return nil
}

func (s *Store) restore(oid zodb.Oid, tid zodb.Tid, content io.Reader, right func() error) error {
	s.publishing.RLock()
	defer s.publishing.RUnlock()
	final := s.path(oid, tid)
	folder := filepath.Dir(final)
	if err := s.withoutLinks(folder); err != nil {
		return err
	}
	if err := s.folders.make(folder); err != nil {
		return err
	}
	temp := filepath.Join(folder, tryPrefix+hex.EncodeToString(random(tokenNameBytes)))
	err := s.fill(temp, content, right)
	if err == nil {
		err = s.nameNew(temp, final)
	}
	if err == nil {
		err = s.folders.sync(folder)
	}
	if err == nil {
		err = s.nameMissed(oid, tid, final)
	}
	return errors.Join(err, vfs.RemoveIfThere(s.fs, temp))
}

// withoutLinks reports a symbolic link in the place of a folder of the directory.
func (s *Store) withoutLinks(folder string) error {
	above, err := foldersAbove(s.dir, folder)
	if err != nil {
		return err
	}
	for _, dir := range append([]string{folder}, above[:max(len(above)-1, 0)]...) {
		if to := vfs.LinkTarget(s.fs, dir); to != "" {
			return &FolderError{dir, fmt.Errorf("%w: it is a symbolic link to %s", vfs.ErrNotPlain, to)}
		}
	}
	return nil
}

// fill makes a durable file without the right to write.
func (s *Store) fill(path string, content io.Reader, right func() error) error {
	f, err := s.fs.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	err = copyTo(f, content)
	if err == nil {
		err = right()
	}
	var info fs.FileInfo
	if err == nil {
		info, err = f.Stat()
	}
	if err == nil {
		err = errors.Join(vfs.Chmod(s.fs, f, readOnly(info)), f.Sync())
	}
	return errors.Join(err, f.Close())
}

// nameNew gives a file a name that nothing has.
func (s *Store) nameNew(path, name string) error {
	err := s.fs.Link(path, name)
	if !noLinks(err) {
		return err
	}
	if _, err := s.fs.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, &fs.PathError{Op: "rename", Path: name, Err: fs.ErrExist})
	}
	return s.fs.Rename(path, name)
}
