package vfs

import (
	"io/fs"
	"os"
	"syscall"
)

// A Node identifies a file of an FS that is not the real disk. It is what Sys of its FileInfo returns, and comparable.
type Node interface{ FileNode() }

// SameFile reports whether two results of Stat or Look are of one file, whatever names it has.
func SameFile(a, b fs.FileInfo) bool {
	if n, ok := a.Sys().(Node); ok {
		return any(n) == b.Sys()
	}
	x, known := a.Sys().(*syscall.Stat_t)
	if y, ok := b.Sys().(*syscall.Stat_t); ok && known {
		return x.Dev == y.Dev && x.Ino == y.Ino
	}
	return os.SameFile(a, b)
}

// Number returns the number under which a disk has a file, which a copy of the file does not have; 0 where it is not
// known.
func Number(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}
