package identity

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/vfs"
)

// Suffix is what the name of a state file has behind that of its Data.fs.
const Suffix = ".zrsd"

// Load reads the state of the storage at dataPath. The error wraps fs.ErrNotExist when there is none yet, and is a
// *zodb.CorruptError or a *VersionError when the file cannot be used.
func Load(disk vfs.FS, dataPath string) (*State, error) {
	path := dataPath + Suffix
	content, err := read(disk, path)
	if err != nil {
		return nil, fmt.Errorf("reading the state of %s: %w", dataPath, err)
	}
	s, err := decode(path, content)
	if err != nil {
		return nil, fmt.Errorf("reading the state of %s: %w", dataPath, err)
	}
	s.fs = disk
	return s, nil
}

// Create gives the storage at dataPath a new id and its first epoch. The error wraps fs.ErrExist when it has a state.
func Create(disk vfs.FS, dataPath string) (*State, error) {
	return begin(disk, dataPath, &State{StorageID: newID(), Epochs: []protocol.Epoch{{Number: 1}}})
}

// CreateUnnamed is Create for a copy of a storage that has no id.
func CreateUnnamed(disk vfs.FS, dataPath string) (*State, error) {
	return begin(disk, dataPath, &State{StorageID: newID(), Epochs: []protocol.Epoch{{Number: 1}}, Unnamed: true})
}

// Adopt gives the storage at dataPath, a copy, the identity of what it is a copy of. The error wraps fs.ErrExist when
// it has a state.
func Adopt(disk vfs.FS, dataPath, storageID string, epochs []protocol.Epoch) (*State, error) {
	return begin(disk, dataPath, &State{StorageID: storageID, Epochs: epochs})
}

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
	content, err := encode(s)
	if err != nil {
		return fmt.Errorf("writing %s: %w", s.path, err)
	}
	temp := s.path + ".tmp"
	if err := write(s.fs, temp, content); err != nil {
		return fmt.Errorf("writing %s: %w", s.path, errors.Join(err, discard(s.fs, temp)))
	}
	if err := s.fs.Rename(temp, s.path); err != nil {
		return fmt.Errorf("writing %s: %w", s.path, errors.Join(err, discard(s.fs, temp)))
	}
	if err := s.fs.SyncDir(filepath.Dir(s.path)); err != nil {
		return fmt.Errorf("writing %s: syncing its folder: %w", s.path, err)
	}
	return nil
}

// read returns at most one byte more than a state file may have.
func read(disk vfs.FS, path string) (content []byte, err error) {
	f, err := disk.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.NewSectionReader(f, 0, maxSize+1))
}

// write makes a file with this content and syncs it. What an interrupted write left under the name is replaced.
func write(disk vfs.FS, path string, content []byte) (err error) {
	f, err := disk.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(content, 0); err != nil {
		return err
	}
	return f.Sync()
}

func discard(disk vfs.FS, path string) error {
	if err := disk.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
