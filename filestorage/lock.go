package filestorage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/zrsd/zrsd/internal/vfs"
)

// lockSuffix makes the path of the lock file out of that of the Data.fs.
const lockSuffix = ".lock"

// An ownership is what keeps other processes from writing a storage: the lock file, by the rules of ZODB, and the lock
// of the Data.fs itself, for the case that the lock file was removed.
type ownership struct {
	fs   vfs.FS
	path string      // of the lock file
	lock io.Closer   // the lock file
	id   fs.FileInfo // which file that is; nil where the disk does not tell
	data io.Closer   // the lock of the Data.fs; nil until that is open
}

// lockFile takes the lock file of the storage at path: the one that ZODB takes, with the content that ZODB writes.
func lockFile(disk vfs.FS, path string) (*ownership, error) {
	h := &ownership{fs: disk, path: path + lockSuffix}
	return h, h.take()
}

func (h *ownership) take() error {
	lock, err := h.fs.Lock(h.path, fmt.Sprintf(" %d\n", os.Getpid()))
	if errors.Is(err, vfs.ErrLocked) {
		return &LockError{Path: h.path, Pid: lockHolder(h.fs, h.path), Err: err}
	}
	if err != nil {
		return err
	}
	h.lock, h.id = lock, nil
	if file, ok := lock.(interface{ Stat() (fs.FileInfo, error) }); ok {
		if id, err := file.Stat(); err == nil {
			h.id = id
		}
	}
	return nil
}

// claim takes the lock of the Data.fs that is about to be written, in the place of another.
func (h *ownership) claim(file vfs.File) error {
	data, err := vfs.Claim(file)
	if errors.Is(err, vfs.ErrLocked) {
		return &LockError{Path: file.Name(), Err: err}
	}
	if err == nil {
		h.data = data
	}
	return err
}

// lost reports whether the lock file is not at its path any more.
func (h *ownership) lost() bool {
	if h.id == nil {
		return false
	}
	at, err := h.fs.Stat(h.path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && !vfs.SameFile(h.id, at)
}

// retake takes the lock file that was put in the place of the one that was taken, or makes one.
func (h *ownership) retake() error {
	old := h.lock
	if err := h.take(); err != nil {
		return err
	}
	return old.Close()
}

// Close lets other processes write.
func (h *ownership) Close() error {
	var err error
	if h.data != nil {
		err = h.data.Close()
	}
	if h.lock != nil {
		err = errors.Join(err, h.lock.Close())
	}
	return err
}

// lockHolder returns the process id in a lock file, 0 when there is none to be read.
func lockHolder(disk vfs.FS, path string) int {
	f, err := disk.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return 0
	}
	defer f.Close() //nolint:errcheck // only read
	b := make([]byte, 32)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil {
		return 0
	}
	return pid
}
