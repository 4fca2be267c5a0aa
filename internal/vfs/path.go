package vfs

import (
	"os"
	"path/filepath"
)

// CleanPath is the one spelling of the path of a Data.fs or a blob directory: what FileStorage makes of it with
// os.path.abspath, but relative where it was. Names are made of such a path by a suffix, and compared as text, so it is
// cleaned once, where it comes in: "blobs/", "./blobs" and "x/../blobs" are "blobs". What ends in . or .. has no name
// to put a suffix to, and becomes absolute.
func CleanPath(path string) string {
	if path == "" {
		return ""
	}
	path = filepath.Clean(path)
	if base := filepath.Base(path); base != "." && base != ".." {
		return path
	}
	if abs, err := filepath.Abs(path); err == nil { // fails only where the working directory is gone
		return abs
	}
	return path
}

// LinkTarget returns where a symbolic link of the real disk leads; "" when path is none, and on other disks.
func LinkTarget(disk FS, path string) string {
	if _, onDisk := disk.(OS); !onDisk {
		return ""
	}
	to, err := os.Readlink(path)
	if err != nil {
		return ""
	}
	if !filepath.IsAbs(to) {
		to = filepath.Join(filepath.Dir(path), to)
	}
	return to
}
