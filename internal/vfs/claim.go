package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

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
