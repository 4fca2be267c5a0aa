package vfs

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNotPlain says that a name does not lead to a plain file of its own: it is a symbolic link, a folder, a pipe, or
// one of several names of a file.
var ErrNotPlain = errors.New("not a plain file")

// OpenPlain opens a file for reading, in a folder into which others can put files too. It follows no symbolic link in
// place of the file, and does not wait at a pipe. ErrNotPlain when it is anything but a file.
func OpenPlain(disk FS, path string) (File, error) {
	f, err := disk.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: ErrNotPlain}
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: ErrNotPlain}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Chmod changes the permissions of an open file, wherever its name leads by now. Disks whose files cannot be told so
// are given the name.
func Chmod(disk FS, f File, perm fs.FileMode) error {
	if open, ok := f.(interface{ Chmod(fs.FileMode) error }); ok {
		return open.Chmod(perm)
	}
	return disk.Chmod(f.Name(), perm)
}

// names returns how many names a file has, 0 where that is not known.
func names(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink) //nolint:unconvert // on some machines it is another integer
	}
	return 0
}
