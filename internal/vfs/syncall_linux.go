package vfs

import (
	"errors"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// syncsAll are the file systems of which syncfs(2) is known to make all durable. Others, such as those of FUSE, answer
// that it is done and do nothing.
var syncsAll = map[int64]bool{
	unix.EXT4_SUPER_MAGIC: true, unix.XFS_SUPER_MAGIC: true, unix.BTRFS_SUPER_MAGIC: true,
}

// SyncsAll is for those file systems, and Linux from 5.8 on: before that, syncfs(2) does not tell what has failed.
func (OS) SyncsAll(folder File) bool {
	f, ok := folder.(osFile)
	if !ok || !kernelTells() {
		return false
	}
	var st unix.Statfs_t
	err := f.control(func(fd int) error { return unix.Fstatfs(fd, &st) })
	return err == nil && syncsAll[st.Type]
}

// kernelTells is tellsFailures of the kernel that runs.
var kernelTells = sync.OnceValue(func() bool {
	var name unix.Utsname
	return unix.Uname(&name) == nil && tellsFailures(unix.ByteSliceToString(name.Release[:]))
})

// SyncAll is syncfs(2), and then a sync of the folder: that fails where the file system has been shut down by an error,
// of which not each version of syncfs tells.
func (OS) SyncAll(folder File) error {
	f, ok := folder.(osFile)
	if !ok {
		return &fs.PathError{Op: "syncfs", Path: folder.Name(), Err: errors.ErrUnsupported}
	}
	err := f.control(func(fd int) error {
		for {
			if err := unix.Syncfs(fd); !errors.Is(err, unix.EINTR) {
				return err
			}
		}
	})
	if err != nil {
		return &fs.PathError{Op: "syncfs", Path: f.Name(), Err: err}
	}
	return f.Sync()
}

// control calls what needs the number of the open file.
func (f osFile) control(do func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if conn.Control(func(fd uintptr) { failed = do(int(fd)) }) != nil {
		return os.ErrClosed
	}
	return failed
}
