package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFileAtomic replaces the file at path by a new one that write fills. On success the new file is durable under its
// name. After an error or a crash the file is the old or the new one as a whole, never a part of either.
//
// The new file is written and synced beside the old one, under its name with suffix, which only writers of this file
// may use; what an interrupted write left there is removed first, and nothing is written through a link of that name.
func WriteFileAtomic(disk FS, path, suffix string, write func(f File) error) error {
	temp := path + suffix
	if err := WriteNewFile(disk, temp, write); err != nil {
		return fmt.Errorf("writing %s: %w", path, errors.Join(err, RemoveIfThere(disk, temp)))
	}
	if err := disk.Rename(temp, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, errors.Join(err, RemoveIfThere(disk, temp)))
	}
	if err := disk.SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("writing %s: syncing its folder: %w", path, err)
	}
	return nil
}

// WriteNewFile makes a file that write fills, and syncs it: all is durable but its name. What has the name is removed
// first, and after an error the new file may be there in part.
func WriteNewFile(disk FS, path string, write func(f File) error) (err error) {
	if err := RemoveIfThere(disk, path); err != nil {
		return err
	}
	f, err := disk.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := write(f); err != nil {
		return err
	}
	return f.Sync()
}

// RemoveIfThere removes a file. One that is not there is no error.
func RemoveIfThere(disk FS, path string) error {
	err := disk.Remove(path)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	// A file system that is read-only says that first, whether there is a file or not.
	if _, e := disk.Stat(path); errors.Is(e, fs.ErrNotExist) {
		return nil
	}
	return err
}
