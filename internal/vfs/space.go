package vfs

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// ErrNoSpaceInfo says that a file system does not report its free space.
var ErrNoSpaceInfo = errors.New("the file system does not report its free space")

// A FreeSpacer disk reports how many bytes can still be written to where a folder is.
type FreeSpacer interface {
	Free(folder string) (int64, error)
}

// Free asks a disk for its room; ErrNoSpaceInfo when it is not Spacious.
func Free(disk FS, folder string) (int64, error) {
	if d, ok := disk.(FreeSpacer); ok {
		return d.Free(folder)
	}
	return 0, ErrNoSpaceInfo
}

// Free is what statfs(2) says is left for users other than root.
func (OS) Free(folder string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: folder, Err: err}
	}
	return int64(st.Bavail) * st.Bsize, nil
}
