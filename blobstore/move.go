package blobstore

import (
	"errors"
	"io"
	"syscall"

	"github.com/zrsd/zrsd/internal/vfs"
)

// moveBlob renames a blob, or copies it where the new name is on another file system. The name that was is gone only
// when the new one has all of the content.
func (s *Store) moveBlob(from, to string) error {
	if s.sameFile(from, to) { // of which a rename takes neither away
		return s.fs.Remove(from)
	}
	err := s.fs.Rename(from, to)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	if err := s.copyBlob(from, to); err != nil {
		return err
	}
	return s.fs.Remove(from)
}

func (s *Store) sameFile(a, b string) bool {
	one, errOne := s.fs.Stat(a)
	other, errOther := s.fs.Stat(b)
	return errOne == nil && errOther == nil && vfs.SameFile(one, other)
}

// copyBlob makes a durable copy under a name of its own first, so that what has the new name is whole.
func (s *Store) copyBlob(from, to string) error {
	f, err := vfs.OpenPlain(s.fs, from)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	temp := to + ".tmp"
	err = vfs.WriteNewFile(s.fs, temp, func(out vfs.File) error {
		err := copyTo(out, io.NewSectionReader(f, 0, info.Size()))
		return errors.Join(err, vfs.Chmod(s.fs, out, readOnly(info)))
	})
	if err == nil {
		err = s.fs.Rename(temp, to)
	}
	if err != nil {
		err = errors.Join(err, vfs.RemoveIfThere(s.fs, temp))
	}
	return err
}
