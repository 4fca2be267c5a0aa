package vfs

import (
	"fmt"
	"io/fs"
	"syscall"
)

// An AllSyncer is an FS that can make everything in one file system durable at a time: what was written, whether the
// file is open or not, and names. Of many new files that costs the disk less than a Sync of each.
type AllSyncer interface {
	// SyncsAll reports whether SyncAll makes the file system of an open folder durable, and tells what has failed.
	SyncsAll(folder File) bool
	// SyncAll makes durable what was done before it. It tells of what has failed since the folder was opened. What
	// others have written there becomes durable, too.
	SyncAll(folder File) error
}

// SameDisk reports whether two results of Stat are known to be of files in one file system.
func SameDisk(a, b fs.FileInfo) bool {
	_, one := a.Sys().(Node)
	_, other := b.Sys().(Node)
	x, known := a.Sys().(*syscall.Stat_t)
	y, both := b.Sys().(*syscall.Stat_t)
	return one && other || known && both && x.Dev == y.Dev
}

// tellsFailures reports whether syncfs(2) of a Linux of this release, such as "6.1.0-18-amd64", tells what has failed:
// from 5.8 on.
func tellsFailures(release string) bool {
	var major, minor int
	n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor) // what is no release is none that does
	return n == 2 && (major > 5 || major == 5 && minor >= 8)
}
