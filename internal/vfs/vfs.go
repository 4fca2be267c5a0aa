// Package vfs is the only way to the disk. Everything in zrsd that reads or writes a database, an index, a blob or a
// state file does so through FS, so that a test can use a disk that tears writes, fills up, fails at a chosen
// operation, or loses what was not synced (package simdisk).
//
// # What is durable when
//
// A file's content survives a crash after its Sync. A name (created, renamed, linked, removed) survives after SyncDir
// of the folder that holds it. Nothing else survives for sure, and what was not synced may survive in part and in any
// order. Code above this package must be correct under exactly these rules.
//
// All methods may be called concurrently. Errors are those of package os, so errors.Is(err, fs.ErrNotExist) and
// errors.Is(err, syscall.ENOSPC) work for every implementation.
package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A File is an open file. Reads and writes are positional, so that readers and a writer share nothing.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Name returns the path given to OpenFile.
	Name() string
	// Truncate changes the size. It is durable after Sync.
	Truncate(size int64) error
	// Sync makes content and size durable.
	Sync() error
	// Stat returns size and identity: os.SameFile reports whether two results are of one file.
	Stat() (fs.FileInfo, error)
}

// An FS is a tree of files. Paths are those of the operating system.
type FS interface {
	// OpenFile takes the flags of os.OpenFile, except O_APPEND.
	OpenFile(path string, flag int, perm fs.FileMode) (File, error)
	Stat(path string) (fs.FileInfo, error)
	// ReadDir returns the entries sorted by name.
	ReadDir(path string) ([]fs.DirEntry, error)
	// Mkdir creates one folder.
	Mkdir(path string, perm fs.FileMode) error
	// Rename replaces what has the new name.
	Rename(oldPath, newPath string) error
	// Link makes a second name for a file; it fails with fs.ErrExist where the new name is taken.
	Link(oldPath, newPath string) error
	// Remove removes a file or an empty folder.
	Remove(path string) error
	Chmod(path string, perm fs.FileMode) error
	// SyncDir makes the names in a folder durable.
	SyncDir(path string) error
	// Lock takes the exclusive lock on path that ZODB takes on Data.fs.lock, creating the file, writes content into it
	// and returns the lock's holder, whose Stat, if it has one, tells which file it holds. It fails at once with
	// ErrLocked if another process holds the lock. The file stays after Close.
	Lock(path, content string) (io.Closer, error)
}

// OrOS returns disk, or the real one where that is nil, so that who uses a public package needs none.
func OrOS(disk FS) FS {
	if disk == nil {
		return OS{}
	}
	return disk
}

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

// HasOtherNames reports whether a file is known to have more names than the one by which it was found.
func HasOtherNames(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Nlink > 1
}

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

// Space is the room of a file system.
type Space struct {
	Free int64 // bytes for users other than root
	Size int64
	ID   [2]int32 // tells file systems apart
}

// SpaceOf asks a disk for its room; known is false where it does not say.
func SpaceOf(disk FS, folder string) (space Space, known bool, err error) {
	if disk != nil && disk != FS(OS{}) {
		return Space{}, false, nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return Space{}, true, &fs.PathError{Op: "statfs", Path: folder, Err: err}
	}
	return Space{int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, st.Fsid.Val}, st.Blocks > 0, nil
}

// A DataSyncer is a file that can make its content durable without the times of its last changes, which no reader needs
// and which cost a write of their own.
type DataSyncer interface {
	// SyncData makes content and size durable.
	SyncData() error
}

// SyncData makes content and size of f durable, without more where f is a DataSyncer.
func SyncData(f File) error {
	if d, ok := f.(DataSyncer); ok {
		return d.SyncData()
	}
	return f.Sync()
}
