package vfs

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Born returns when a file was made, in nanoseconds since 1970, which a copy of the file does not have; 0 where the
// disk does not say. Nobody can set it, and a file that is written into again keeps it.
func Born(f File) (at int64) {
	file, ok := f.(syscall.Conn)
	if !ok {
		return 0
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return 0
	}
	_ = conn.Control(func(fd uintptr) { // fails where the file is closed: then nothing is known of it
		var st unix.Statx_t
		err := unix.Statx(int(fd), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &st)
		if err == nil && st.Mask&unix.STATX_BTIME != 0 {
			at = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
		}
	})
	return at
}
