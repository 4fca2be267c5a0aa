package vfs

import "golang.org/x/sys/unix"

// A WriteBacker is a file that can begin to write to the disk what it has in memory.
type WriteBacker interface {
	WriteBack(at, n int64)
}

// WriteBack has the disk begin with n bytes of f from at on, where f is a WriteBacker, so that a Sync later on waits
// less. It promises nothing: Sync makes durable, and tells what has failed.
func WriteBack(f File, at, n int64) {
	if w, ok := f.(WriteBacker); ok {
		w.WriteBack(at, n)
	}
}

// WriteBack is sync_file_range(2). It leaves errors of the disk to Sync: only a call that waits takes them away.
func (f osFile) WriteBack(at, n int64) {
	conn, err := f.SyscallConn()
	if err != nil {
		return // it is closed
	}
	_ = conn.Control(func(fd uintptr) {
		_ = unix.SyncFileRange(int(fd), at, n, unix.SYNC_FILE_RANGE_WRITE) // or it is done by Sync
	})
}
