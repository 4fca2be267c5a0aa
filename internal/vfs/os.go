package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another process, or another part of this one, holds a lock.
var ErrLocked = errors.New("locked by another process")

// OS is the real disk.
type OS struct{}

// OpenFile is os.OpenFile.
func (OS) OpenFile(path string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// An osFile is a file of the real disk.
type osFile struct{ *os.File }

// SyncData is fdatasync(2).
func (f osFile) SyncData() error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	closed := conn.Control(func(fd uintptr) {
		for failed = unix.EINTR; errors.Is(failed, unix.EINTR); {
			failed = unix.Fdatasync(int(fd))
		}
	})
	if closed != nil {
		failed = os.ErrClosed
	}
	if failed != nil {
		return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: failed}
	}
	return nil
}

// Stat is os.Stat.
func (OS) Stat(path string) (fs.FileInfo, error) { return os.Stat(path) }

// ReadDir is os.ReadDir.
func (OS) ReadDir(path string) ([]fs.DirEntry, error) { return os.ReadDir(path) }

// Mkdir is os.Mkdir.
func (OS) Mkdir(path string, perm fs.FileMode) error { return os.Mkdir(path, perm) }

// Rename is os.Rename.
func (OS) Rename(oldPath, newPath string) error { return os.Rename(oldPath, newPath) }

// Link is os.Link.
func (OS) Link(oldPath, newPath string) error { return os.Link(oldPath, newPath) }

// Remove is os.Remove.
func (OS) Remove(path string) error { return os.Remove(path) }

// Chmod is os.Chmod.
func (OS) Chmod(path string, perm fs.FileMode) error { return os.Chmod(path, perm) }

// SyncDir opens the folder and syncs it.
func (OS) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Lock uses flock(2), as zc.lockfile does, so that zrsd and Python exclude each other.
func (OS) Lock(path, content string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := lockAndMark(f, content); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func lockAndMark(f *os.File, content string) error {
	if err := flock(f); err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte(content), 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(content)))
}

// Claim takes the exclusive lock of an open file itself, which no other name and no removal of a lock file gets around.
// It fails at once with ErrLocked if another process has it. It is kept until Close, or until the file is closed. A
// file whose disk knows no such lock is claimed by everybody.
func Claim(f File) (io.Closer, error) {
	if f, ok := f.(interface{ Claim() (io.Closer, error) }); ok {
		return f.Claim()
	}
	return unclaimed{}, nil
}

// Claim takes the lock of flock(2).
func (f osFile) Claim() (io.Closer, error) {
	if err := flock(f.File); err != nil {
		return nil, err
	}
	return unlocker(f), nil
}

// flock takes the lock of flock(2).
func flock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("lock %s: %w", f.Name(), ErrLocked)
	}
	if err != nil {
		return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	return nil
}

type unlocker struct{ *os.File }

func (u unlocker) Close() error {
	c, err := u.SyscallConn()
	if err != nil {
		return nil //nolint:nilerr // it is closed, and the lock gone with it
	}
	_ = c.Control(func(fd uintptr) { err = unix.Flock(int(fd), unix.LOCK_UN) }) // fails where the file is closed
	return err
}

type unclaimed struct{}

func (unclaimed) Close() error { return nil }
