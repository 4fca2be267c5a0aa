package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zrsd/zrsd/internal/vfs"
)

// Suffix is what the name of a state file has after that of its Data.fs.
const Suffix = ".zrsd"

// Load reads the state of the storage at dataPath. The error wraps fs.ErrNotExist when there is none yet, and is a
// *zodb.CorruptError or a *VersionError when the file cannot be used.
func Load(disk vfs.FS, dataPath string) (*State, error) {
	path := dataPath + Suffix
	content, at, err := read(disk, path)
	if err != nil {
		return nil, fmt.Errorf("reading the state of %s: %w", dataPath, err)
	}
	s, err := decode(path, content)
	if err != nil {
		return nil, fmt.Errorf("reading the state of %s: %w", dataPath, err)
	}
	s.fs, s.at = disk, at.info
	s.Copied = differ(s.inode, at.number) || differ(s.born, at.born)
	return s, nil
}

// begin writes the first state of a storage. The error wraps fs.ErrExist when it has one.
func begin(disk vfs.FS, dataPath string, s *State) (*State, error) {
	s.fs, s.path = disk, dataPath+Suffix
	if _, err := disk.Stat(s.path); err == nil {
		return nil, fmt.Errorf("creating %s: %w", s.path, fs.ErrExist)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("creating %s: %w", s.path, err)
	}
	if err := s.Save(); err != nil {
		return nil, err
	}
	return s, nil
}

// Save writes the state. On success it is durable; after an error the file is the old or the new one.
func (s *State) Save() error {
	return vfs.WriteFileAtomic(s.fs, s.path, ".tmp", s.write)
}

// secure makes durable what was read: who wrote it may have been killed before it had synced the name, or copied the
// file. Content that a sync failed to write has never come under the name.
func (s *State) secure() error {
	f, err := s.fs.OpenFile(s.path, os.O_RDONLY, 0)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err == nil {
		err = s.fs.SyncDir(filepath.Dir(s.path))
	}
	if err != nil {
		return fmt.Errorf("syncing %s before it counts: %w", s.path, err)
	}
	return nil
}

// marks are by what a file is known again: its number on the disk, and when it was made, because numbers are used
// again. 0 where a disk does not say.
type marks struct {
	number uint64
	born   int64
	info   fs.FileInfo
}

func marksOf(f vfs.File) (marks, error) {
	info, err := f.Stat()
	if err != nil {
		return marks{}, err
	}
	return marks{vfs.Number(info), vfs.Born(f), info}, nil
}

// differ reports whether two marks are known and not the same.
func differ[T uint64 | int64](a, b T) bool { return a != 0 && b != 0 && a != b }

// read returns at most one byte more than a state file may have, and the marks of the file.
func read(disk vfs.FS, path string) (content []byte, at marks, err error) {
	f, err := disk.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, marks{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if at, err = marksOf(f); err != nil {
		return nil, marks{}, err
	}
	content, err = io.ReadAll(io.NewSectionReader(f, 0, maxSize+1))
	return content, at, err
}

// write fills a new file with the state, which says which file it is in.
func (s *State) write(f vfs.File) error {
	at, err := marksOf(f)
	if err != nil {
		return err
	}
	s.inode, s.born = at.number, at.born
	content, err := encode(s)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(content, 0); err != nil {
		return err
	}
	s.at, err = f.Stat()
	return err
}
