// Package mount tells a disk that is not mounted from one that is empty. The folder of the Data.fs and the blob
// directory get a small file each, the marker, when a node first has its files there, or at the first start of a
// version that knows of them. Both markers have the same id, that of the storage. What stays behind where a disk was
// mounted has no marker, or another one.
//
//	Data.fs.mount.zrsd    beside the Data.fs
//	.zrsd-mount           in the blob directory
//
// A marker is JSON: "format", "id", "data", the path of the Data.fs, "blobs", whether a blob directory
// has the same id, and "device", the number of the file system at that time, for people: it may be another one after a
// restart.
package mount

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/zrsd/zrsd/internal/vfs"
)

// Names of markers: after that of the Data.fs, and in a blob directory.
const (
	Suffix   = ".mount.zrsd"
	BlobName = ".zrsd-mount"
)

// maxSize is how many bytes of a marker are read.
const maxSize = 64 << 10

// A Storage is where a node has its files.
type Storage struct {
	FS    vfs.FS
	Data  string // path of the Data.fs
	Blobs string // path of the node's own blob directory; empty: there is none, or it is another node's
	// Expected says that the files must be there: an empty folder counts as a disk that is not mounted.
	Expected bool
}

// A marker is the content of one.
type marker struct {
	Format int    `json:"format"`
	ID     string `json:"id"`
	Data   string `json:"data"`
	Blobs  bool   `json:"blobs"`
	Device uint64 `json:"device"`
}

// An Error says that a disk is not mounted, or another one is. Nothing was written there.
type Error struct {
	Dir  string // where it should be
	Text string // by what that is known, and what to do
}

func (e *Error) Error() string { return "not mounted: " + e.Text }

// Check returns an *Error when a disk is not mounted, as far as markers tell.
func (s *Storage) Check() error {
	data, err := s.read(s.Data + Suffix)
	if err != nil {
		return err
	}
	var blobs *marker
	if s.Blobs != "" {
		if blobs, err = s.read(filepath.Join(s.Blobs, BlobName)); err != nil {
			return err
		}
	}
	there, err := s.there()
	if err != nil {
		return err
	}
	dir := filepath.Dir(s.Data)
	switch {
	case data == nil && !there && blobs != nil:
		return &Error{dir, fmt.Sprintf("%s has no files of this node, and the blob directory %s knows that there are "+
			"some (%s): mount the disk of %[1]s; if that was replaced and is empty, move the content of %[2]s away, "+
			"with %[4]s, and start again", dir, s.Blobs, blobs.Data, BlobName)}
	case data == nil && !there && s.Expected:
		return &Error{dir, fmt.Sprintf("%s has no files of this node, and --expect-data says that there are some: "+
			"mount its disk; if that was replaced and is empty, begin there with zrsd seed, or start once without "+
			"--expect-data", dir)}
	case data != nil && there && data.Blobs && s.Blobs != "" && blobs == nil:
		return &Error{s.Blobs, fmt.Sprintf("the blob directory %s has no %s, and %s says that it had one: mount its "+
			"disk; if its blobs are lost, or were moved without that file, remove %[3]s, and start again", s.Blobs,
			BlobName, s.Data+Suffix)}
	case data != nil && blobs != nil && data.ID != blobs.ID:
		return &Error{s.Blobs, fmt.Sprintf("the blob directory %s belongs to another storage (%s), not to %s: mount "+
			"the right disk; if it is the right one, remove %s", s.Blobs, blobs.Data, s.Data,
			filepath.Join(s.Blobs, BlobName))}
	}
	return nil
}

// there reports whether there is a Data.fs, or a state file.
func (s *Storage) there() (bool, error) {
	for _, path := range []string{s.Data, s.Data + ".zrsd"} {
		_, err := s.FS.Stat(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return err == nil, err
		}
	}
	return false, nil
}

// Mark makes the markers that are missing, durably. It is called while the storage is open, and its files are there.
// id is that of the storage, for new ones.
func (s *Storage) Mark(id string) error {
	path := s.Data + Suffix
	data, err := s.read(path)
	if err != nil {
		return err
	}
	var blobs *marker
	at := filepath.Join(s.Blobs, BlobName)
	if s.Blobs != "" {
		if blobs, err = s.read(at); err != nil {
			return err
		}
	}
	m := marker{Format: 1, Data: s.Data, Blobs: s.Blobs != ""}
	switch {
	case data != nil:
		m.ID, m.Blobs = data.ID, m.Blobs || data.Blobs
	case blobs != nil:
		m.ID = blobs.ID
	default:
		m.ID = id
	}
	if blobs == nil && s.Blobs != "" { // first: the other one says that it is there
		if err := s.write(at, m); err != nil {
			return err
		}
	}
	if data == nil || data.Blobs != m.Blobs {
		return s.write(path, m)
	}
	return nil
}

// read returns a marker, nil where there is none. One that cannot be understood is one that is there.
func (s *Storage) read(path string) (*marker, error) {
	f, err := vfs.OpenPlain(s.FS, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, fmt.Errorf("reading the marker %s: %w", path, err)
	}
	content, err := io.ReadAll(io.NewSectionReader(f, 0, maxSize))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("reading the marker %s: %w", path, err)
	}
	m := new(marker)
	if err := json.Unmarshal(content, m); err != nil || m.ID == "" {
		return nil, fmt.Errorf("the marker %s cannot be understood: remove it, if %s is what should be mounted there",
			path, filepath.Dir(path))
	}
	return m, nil
}

func (s *Storage) write(path string, m marker) error {
	if info, err := s.FS.Stat(filepath.Dir(path)); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			m.Device = st.Dev
		}
	}
	content, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return vfs.WriteFileAtomic(s.FS, path, ".tmp", func(f vfs.File) error {
		_, err := f.WriteAt(append(content, '\n'), 0)
		return err
	})
}
