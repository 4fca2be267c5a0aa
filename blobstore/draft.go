package blobstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zrsd/zrsd/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// draft implements zodb.BlobDraft.
type draft struct {
	s    *Store
	file vfs.File // nil for one that was adopted
	path string   // "" once discarded
	size int64
}

// Draft begins a blob whose revision is not known yet.
func (s *Store) Draft() (zodb.BlobDraft, error) {
	path, err := s.draftPath()
	if err != nil {
		return nil, err
	}
	f, err := s.fs.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, fmt.Errorf("begin a blob: %w", err)
	}
	return &draft{s: s, file: f, path: path}, nil
}

// AdoptDraft makes a draft of a complete file on the directory's file system, whose name is gone then: moved, or copied
// where the file belongs to somebody else.
func (s *Store) AdoptDraft(path string) (zodb.BlobDraft, error) {
	d, err := s.move(path)
	if errors.Is(err, fs.ErrPermission) {
		return s.copyOf(path)
	}
	return d, err
}

func (s *Store) move(path string) (zodb.BlobDraft, error) {
	to, err := s.draftPath()
	if err != nil {
		return nil, err
	}
	// What cannot be done to the file later, at Publish, must show now.
	if err := s.fs.Chmod(path, 0o444); err != nil {
		return nil, fmt.Errorf("take over a blob: %w", err)
	}
	if err := s.fs.Rename(path, to); err != nil {
		return nil, fmt.Errorf("take over a blob: %w", err)
	}
	d := &draft{s: s, path: to}
	info, err := s.fs.Stat(to)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("take over a blob: %w", err), d.Discard())
	}
	d.size = info.Size()
	return d, nil
}

func (s *Store) copyOf(path string) (zodb.BlobDraft, error) {
	f, err := s.fs.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("copy a blob: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	d, err := s.Draft()
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = io.Copy(d, io.NewSectionReader(f, 0, info.Size()))
	}
	if err == nil {
		err = s.fs.Remove(path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("copy a blob: %w", err), d.Discard())
	}
	return d, nil
}

func (s *Store) draftPath() (string, error) {
	if s.readOnly {
		return "", fmt.Errorf("begin a blob: %w", zodb.ErrReadOnly)
	}
	if err := s.cleaned(); err != nil {
		return "", err
	}
	return filepath.Join(s.dir, tmpName, fmt.Sprintf("%sdraft-%d%s", tmpPrefix, s.serial.Add(1), suffix)), nil
}

// Write appends.
func (d *draft) Write(b []byte) (int, error) {
	if d.file == nil {
		return 0, fmt.Errorf("write to a blob: %w", fs.ErrClosed)
	}
	n, err := d.file.WriteAt(b, d.size)
	d.size += int64(n)
	return n, err
}

func (d *draft) Size() int64 { return d.size }

// Stage gives the content a second name in tmp/. Where the file system knows no second names it is copied.
func (d *draft) Stage(oid zodb.Oid, tid zodb.Tid) (zodb.StagedBlob, error) {
	path := d.s.stagePath(oid, tid)
	linked := d.s.fs.Link(d.path, path) == nil
	if !linked {
		path = d.path
	}
	f, err := d.s.fs.OpenFile(path, os.O_RDONLY, 0)
	switch {
	case err != nil && linked:
		err = errors.Join(err, d.s.fs.Remove(path))
		fallthrough
	case err != nil:
		return nil, fmt.Errorf("stage blob of oid %v tid %v: %w", oid, tid, err)
	case linked:
		return &staged{s: d.s, oid: oid, tid: tid, file: f, path: path}, nil
	}
	defer f.Close() //nolint:errcheck // only read
	return d.s.Stage(oid, tid, io.NewSectionReader(f, 0, d.size))
}

func (d *draft) Discard() error {
	var err error
	if d.file != nil {
		err = d.file.Close()
		d.file = nil
	}
	if d.path != "" {
		err = errors.Join(err, d.s.fs.Remove(d.path))
		d.path = ""
	}
	return err
}
