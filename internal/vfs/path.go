package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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

// CleanPath is the one spelling of the path of a Data.fs or a blob directory: what FileStorage makes of it with
// os.path.abspath, but relative where it was. Names are made of such a path by a suffix, and compared as text, so it is
// cleaned once, where it comes in: "blobs/", "./blobs" and "x/../blobs" are "blobs". What ends in . or .. has no name
// to put a suffix to, and becomes absolute.
func CleanPath(path string) string {
	if path == "" {
		return ""
	}
	path = filepath.Clean(path)
	if base := filepath.Base(path); base != "." && base != ".." {
		return path
	}
	if abs, err := filepath.Abs(path); err == nil { // fails only where the working directory is gone
		return abs
	}
	return path
}

// LinkTarget returns where a symbolic link of the real disk leads; "" when path is none, and on other disks.
func LinkTarget(disk FS, path string) string {
	if _, onDisk := disk.(OS); !onDisk {
		return ""
	}
	to, err := os.Readlink(path)
	if err != nil {
		return ""
	}
	if !filepath.IsAbs(to) {
		to = filepath.Join(filepath.Dir(path), to)
	}
	return to
}
