package simdisk

import (
	"io/fs"
	"path/filepath"

	"github.com/zrsd/zrsd/internal/vfs"
)

// Unreadable is a disk that does not let one folder be read, as one of another user.
type Unreadable struct {
	vfs.FS
	Dir string
}

// ReadDir is vfs.FS's.
func (d *Unreadable) ReadDir(dir string) ([]fs.DirEntry, error) {
	if dir == d.Dir {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: fs.ErrPermission}
	}
	return d.FS.ReadDir(dir)
}

// Stat is vfs.FS's.
func (d *Unreadable) Stat(path string) (fs.FileInfo, error) {
	if filepath.Dir(path) == d.Dir {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: fs.ErrPermission}
	}
	return d.FS.Stat(path)
}
