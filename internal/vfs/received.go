package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Received is an open file that another user has put below a folder of ours, and may replace at any
// moment. All operations are on the file that was opened.
type Received interface {
	File
	// LinkTo gives the file a second name. It may be impossible, where a copy is not.
	LinkTo(path string) error
	// Unlink removes the name by which the file was found.
	Unlink() error
}

// Receive opens the file at path, below root, for reading. No symbolic link below root is followed. ErrNotPlain when
// there is one, and when the file is none, or has other names.
func Receive(disk FS, root, path string) (Received, error) {
	return receivePlain(disk, root, path, 1)
}

// OpenBelow opens the file at path, below root, for reading, and follows no symbolic link below root. ErrNotPlain when
// there is one, and when it is no file.
func OpenBelow(disk FS, root, path string) (File, error) {
	return receivePlain(disk, root, path, math.MaxUint64)
}

// receivePlain opens a file that has at most so many names.
func receivePlain(disk FS, root, path string, limit uint64) (Received, error) {
	r, err := receive(disk, root, path)
	if err != nil {
		return nil, err
	}
	info, err := r.Stat()
	if err == nil && (!info.Mode().IsRegular() || names(info) > limit) {
		err = &fs.PathError{Op: "open", Path: path, Err: ErrNotPlain}
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func receive(disk FS, root, path string) (Received, error) {
	if _, onDisk := disk.(OS); onDisk {
		return receiveAt(root, path)
	}
	f, err := OpenPlain(disk, path)
	if err != nil {
		return nil, err
	}
	return &named{f, disk}, nil
}

// A named is a file of a disk that knows files by their names only.
type named struct {
	File
	disk FS
}

func (n *named) LinkTo(path string) error { return n.disk.Link(n.Name(), path) }
func (n *named) Unlink() error            { return n.disk.Remove(n.Name()) }

// A held is a file of the real disk, with the folder in which it was found.
type held struct {
	*os.File
	folder *os.File
}

// receiveAt walks from root to path with a descriptor of each folder on the way.
func receiveAt(root, path string) (Received, error) {
	below, err := filepath.Rel(root, path)
	if err != nil || !filepath.IsLocal(below) {
		return nil, &fs.PathError{Op: "receive", Path: path, Err: errors.Join(ErrNotPlain, err)}
	}
	folder, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(below, string(filepath.Separator))
	for _, name := range parts[:len(parts)-1] {
		inner, err := openAt(folder, name, path, unix.O_DIRECTORY)
		if err = errors.Join(err, folder.Close()); err != nil {
			return nil, err
		}
		folder = inner
	}
	f, err := openAt(folder, parts[len(parts)-1], path, unix.O_NONBLOCK)
	if err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	return &held{f, folder}, nil
}

func openAt(folder *os.File, name, path string, flags int) (*os.File, error) {
	fd, err := unix.Openat(int(folder.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|flags, 0)
	if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENOTDIR) {
		err = ErrNotPlain
	}
	if err != nil {
		return nil, &fs.PathError{Op: "receive", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// LinkTo is part of Received.
func (h *held) LinkTo(path string) error {
	self := fmt.Sprintf("/proc/self/fd/%d", h.Fd())
	if err := unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &os.LinkError{Op: "link", Old: h.Name(), New: path, Err: err}
	}
	return nil
}

// Unlink is part of Received.
func (h *held) Unlink() error {
	if err := unix.Unlinkat(int(h.folder.Fd()), filepath.Base(h.Name()), 0); err != nil {
		return &fs.PathError{Op: "remove", Path: h.Name(), Err: err}
	}
	return nil
}

// Close is part of File.
func (h *held) Close() error { return errors.Join(h.File.Close(), h.folder.Close()) }
