// Package vfs is the one door to the disk. Everything in zrsd that reads or writes a database, an index, a blob or a
// state file does so through FS, so that a test can put a disk behind it that tears writes, fills up, fails at a chosen
// operation, or forgets what was not synced (package simdisk).
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
	"io"
	"io/fs"
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
