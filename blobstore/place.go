package blobstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/zrsd/zrsd/internal/vfs"
)

// What a vote puts into the folder of an object, besides its blobs. Both names are those of no blob.
const (
	tryPrefix  = tmpPrefix + "try-"  // for a moment, to see that it is possible
	nearPrefix = tmpPrefix + "near-" // a blob that waits to be published, where tmp/ is on another file system
)

// A FolderError says that a blob cannot be put into the folder of its object. It is found at the vote, so that it is
// the end of one transaction only.
type FolderError struct {
	Folder string
	Err    error
}

func (e *FolderError) Error() string {
	return fmt.Sprintf("folder %s cannot take blobs: %v: give the user of this process write permission there",
		e.Folder,
		e.Err)
}

func (e *FolderError) Unwrap() error { return e.Err }

// takePlace does what Publish needs, and tries the rest out, while the transaction can still be refused: it sees that
// the directory is still the one that it was, makes the blob's folder, takes the right to write from everybody, and
// sees that a file can be given a name in the folder. Where tmp/ is on another file system than the folder, the content
// is copied there.
func (b *staged) takePlace() error {
	if err := b.s.Here(); err != nil {
		return err
	}
	if err := b.takeRights(); err != nil {
		return err
	}
	b.s.publishing.RLock()
	defer b.s.publishing.RUnlock()
	final := b.s.path(b.oid, b.tid)
	folder := filepath.Dir(final)
	err := b.s.folders.make(folder)
	if err == nil {
		err = b.s.try(b.path, folder, final)
	}
	if errors.Is(err, syscall.EXDEV) {
		err = b.comeNear(folder)
	}
	if err != nil {
		return &FolderError{folder, err}
	}
	return nil
}

// takeRights takes the right to write from everybody, and leaves what the umask has left to others.
func (b *staged) takeRights() error {
	info, err := b.file.Stat()
	if err != nil {
		return err
	}
	return vfs.Chmod(b.s.fs, b.file, readOnly(info))
}

// readOnly is the mode of a file without the right to write, as ZODB gives it to blobs.
func readOnly(info fs.FileInfo) fs.FileMode { return info.Mode().Perm() &^ 0o222 }

// try gives a file a second name in a folder, for a moment, and looks at what is under its final one. The name is
// longer than that of any blob, so that the folder has room for the final one then.
func (s *Store) try(path, folder, final string) error {
	if info, err := s.fs.Stat(final); err == nil && info.IsDir() {
		return &fs.PathError{Op: "rename", Path: final, Err: syscall.EISDIR}
	}
	for {
		name := filepath.Join(folder, fmt.Sprintf("%s%020d", tryPrefix, s.serial.Add(1)))
		err := s.fs.Link(path, name)
		if noLinks(err) {
			err = s.touch(name)
		}
		if errors.Is(err, fs.ErrExist) {
			continue // of a process that crashed
		}
		if err != nil {
			return err
		}
		return s.fs.Remove(name)
	}
}

func (s *Store) touch(name string) error {
	f, err := s.fs.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	return f.Close()
}

// noLinks reports whether an error may come from a file system on which files have one name.
func noLinks(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS) ||
		errors.Is(err, syscall.EMLINK)
}

// comeNear copies the blob into the folder where Publish will give it its name.
func (b *staged) comeNear(folder string) error {
	from, err := vfs.OpenPlain(b.s.fs, b.path)
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // only read
	info, err := from.Stat()
	if err != nil {
		return err
	}
	if err := b.s.removeOldNear(folder); err != nil {
		return err
	}
	to, err := b.s.create(func() string {
		path := filepath.Join(folder, fmt.Sprintf("%s%d%s", nearPrefix, b.s.serial.Add(1), suffix))
		b.s.near.Store(path, true)
		return path
	})
	if err != nil {
		return err
	}
	copied := &staged{s: b.s, oid: b.oid, tid: b.tid, file: to, path: to.Name()}
	if err := copied.fill(from, info); err != nil {
		return errors.Join(err, copied.Discard())
	}
	before := *b
	b.file, b.path, b.isPart = copied.file, copied.path, false
	return before.Discard()
}

func (b *staged) fill(from vfs.File, like fs.FileInfo) error {
	return errors.Join(
		copyTo(b.file, io.NewSectionReader(from, 0, like.Size())),
		vfs.Chmod(b.s.fs, b.file, readOnly(like)),
	)
}

// removeOldNear removes what a crash left in a folder of blobs that waited there. Nobody prunes the folder meanwhile.
func (s *Store) removeOldNear(folder string) error {
	entries, err := s.fs.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		if _, mine := s.near.Load(path); mine || !strings.HasPrefix(e.Name(), nearPrefix) {
			continue
		}
		if err := vfs.RemoveIfThere(s.fs, path); err != nil {
			return err
		}
	}
	return nil
}

// create makes a new file under the first name that is free: a process that crashed may have left some.
func (s *Store) create(name func() string) (vfs.File, error) { return s.createAs(name, os.O_WRONLY) }

// createAs is create for a file that is also read.
func (s *Store) createAs(name func() string, access int) (vfs.File, error) {
	for {
		f, err := s.fs.OpenFile(name(), access|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}
