package vfs

import "io/fs"

// A Looker is a disk that can tell size, mode and identity of a file without its times.
//
// Who asks Linux for the times of a file makes the next change of the file one with a time of its own (since 6.13), and
// that is a change of the inode, which the sync after it has to write as well. So who looks before each write must not
// ask for times.
type Looker interface {
	Look(path string) (fs.FileInfo, error)
}

// A FileLooker is a Looker for itself.
type FileLooker interface {
	Look() (fs.FileInfo, error)
}

// Look is Stat; the times are zero where the disk is a Looker. SameFile compares both.
func Look(disk FS, path string) (fs.FileInfo, error) {
	if l, ok := disk.(Looker); ok {
		return l.Look(path)
	}
	return disk.Stat(path)
}

// LookAt is f.Stat; the times are zero where f is a FileLooker.
func LookAt(f File) (fs.FileInfo, error) {
	if l, ok := f.(FileLooker); ok {
		return l.Look()
	}
	return f.Stat()
}
