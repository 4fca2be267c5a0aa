package blobstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// draft implements zodb.BlobDraft.
type draft struct {
	s    *Store
	file vfs.File // nil for one that was adopted
	path string   // "" once discarded
	size int64
	sum  *contentSum // nil for one that was adopted

	begun int64 // bytes that the disk was told to begin with
}

// writeBackLen is how much of a draft gathers in memory before the disk begins with it. It does so while the rest is
// received, so that the sync, for which all commits wait, is short.
const writeBackLen = 4 << 20

// Draft begins a blob whose revision is not known yet.
func (s *Store) Draft() (zodb.BlobDraft, error) {
	if s.readOnly {
		return nil, fmt.Errorf("begin a blob: %w", zodb.ErrReadOnly)
	}
	err := s.readyTmp()
	var f vfs.File
	if err == nil {
		f, err = s.create(s.draftPath)
	}
	if err != nil {
		return nil, fmt.Errorf("begin a blob: %w", err)
	}
	return &draft{s: s, file: f, path: f.Name(), sum: s.newSum()}, nil
}

// Write appends.
func (d *draft) Write(b []byte) (int, error) {
	if d.file == nil {
		return 0, fmt.Errorf("write to a blob: %w", fs.ErrClosed)
	}
	n, err := d.file.WriteAt(b, d.size)
	d.size += int64(n)
	_, _ = d.sum.Write(b[:n])
	if gathered := d.size - d.begun; gathered >= writeBackLen {
		vfs.WriteBack(d.file, d.begun, gathered)
		d.begun = d.size
	}
	return n, err
}

func (d *draft) Size() int64 { return d.size }

func (s *Store) draftPath() string {
	return filepath.Join(s.dir, tmpName, fmt.Sprintf("%sdraft-%d%s", tmpPrefix, s.serial.Add(1), suffix))
}

// Stage gives the content a second name in tmp/. Where the file system knows no second names it is copied.
func (d *draft) Stage(oid zodb.Oid, tid zodb.Tid) (zodb.StagedBlob, error) {
	path := d.s.stagePath(oid, tid)
	linked := d.s.fs.Link(d.path, path) == nil
	if !linked {
		return d.copy(oid, tid)
	}
	b := &staged{s: d.s, oid: oid, tid: tid, path: path, size: d.size, digest: d.sum.digest(), fresh: true}
	f, err := vfs.OpenPlain(d.s.fs, path)
	if err == nil {
		b.file = f
		err = b.takePlace()
	}
	if err != nil {
		return nil, fmt.Errorf("stage blob of oid %v tid %v: %w", oid, tid, errors.Join(err, b.Discard()))
	}
	return b, nil
}

func (d *draft) copy(oid zodb.Oid, tid zodb.Tid) (zodb.StagedBlob, error) {
	f, err := vfs.OpenPlain(d.s.fs, d.path)
	if err != nil {
		return nil, fmt.Errorf("stage blob of oid %v tid %v: %w", oid, tid, err)
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
