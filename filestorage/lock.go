package filestorage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/zrsd/zrsd/vfs"
)

// lockFile takes the lock of the storage at path: the one that ZODB takes, with the content that ZODB writes.
func lockFile(disk vfs.FS, path string) (io.Closer, error) {
	path += ".lock"
	lock, err := disk.Lock(path, fmt.Sprintf(" %d\n", os.Getpid()))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, &LockError{Path: path, Pid: lockHolder(disk, path), Err: err}
	}
	return lock, err
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
