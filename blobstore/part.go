package blobstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// partPrefix is how the names of blobs in tmp/ begin that outlive an interruption.
const partPrefix = tmpPrefix + "part-"

// part implements zodb.BlobPart.
type part struct {
	s    *Store
	oid  zodb.Oid
	tid  zodb.Tid
	file vfs.File
	path string
	sum  orderedSum
}

// KeepParts says whether what is there of blobs that come in ranges is kept, for a seed to go on with. It is called
// before the first blob of a seed comes; when no seed is to go on, what is left is removed.
func (s *Store) KeepParts(yes bool) {
	s.tmp.Lock()
	defer s.tmp.Unlock()
	s.keepParts = yes
	if yes || s.readOnly {
		return
	}
	tmp := filepath.Join(s.dir, tmpName)
	entries, err := s.fs.ReadDir(tmp)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("cannot look for incomplete blobs; they only use space", "dir", tmp, "error", err,
			"warning", warning.CleanupLeft)
	}
	for _, e := range entries {
		path := filepath.Join(tmp, e.Name())
		if _, used := s.parts.Load(path); !used && strings.HasPrefix(e.Name(), partPrefix) {
			s.removeUpload(path)
		}
	}
}

// Part opens what is there of a blob, while parts are kept. Nothing of it is known to be right: a crash may have left
// anything.
func (s *Store) Part(oid zodb.Oid, tid zodb.Tid) (zodb.BlobPart, error) {
	p := &part{s: s, oid: oid, tid: tid, sum: orderedSum{contentSum: s.newSum()}}
	if err := p.open(); err != nil {
		return nil, fmt.Errorf("the part of the blob of oid %v tid %v: %w", oid, tid, err)
	}
	return p, nil
}

func (p *part) open() error {
	s := p.s
	if s.readOnly {
		return zodb.ErrReadOnly
	}
	if err := s.readyTmp(); err != nil {
		return err
	}
	p.path = filepath.Join(s.dir, tmpName, fmt.Sprintf("%s%v-%v%s", partPrefix, p.oid, p.tid, suffix))
	if _, used := s.parts.LoadOrStore(p.path, true); used {
		return errors.New("it is being written already")
	}
	err := s.forWriting(p.path)
	if err == nil {
		p.file, err = s.fs.OpenFile(p.path, os.O_RDWR|os.O_CREATE, 0o666)
	}
	if err != nil {
		s.parts.Delete(p.path)
	}
	return err
}

// forWriting has what is there of a part writable: one that was complete is not. One that a power failure has left with
// its final name as well is a blob, and must not be changed.
func (s *Store) forWriting(path string) error {
	info, err := s.fs.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case vfs.HasOtherNames(info):
		return s.fs.Remove(path)
	}
	return s.fs.Chmod(path, 0o600)
}

func (p *part) ReadAt(b []byte, at int64) (int, error) { return p.file.ReadAt(b, at) }

// WriteAt has the disk begin with what was written.
func (p *part) WriteAt(b []byte, at int64) (int, error) {
	n, err := p.file.WriteAt(b, at)
	p.sum.take(b[:n], at)
	vfs.WriteBack(p.file, at, int64(n))
	return n, err
}

func (p *part) Size() (int64, error) {
	info, err := p.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (p *part) Stage(size int64) (zodb.StagedBlob, error) {
	b := &staged{s: p.s, oid: p.oid, tid: p.tid, file: p.file, path: p.path, isPart: true, size: size,
		digest: p.sum.whole(size)}
	err := p.file.Truncate(size)
	if err == nil {
		err = b.takePlace()
	}
	if err != nil {
		return nil, fmt.Errorf("stage blob of oid %v tid %v: %w", p.oid, p.tid, errors.Join(err, b.Discard()))
	}
	return b, nil
}

func (p *part) Close() error {
	p.s.parts.Delete(p.path)
	return p.file.Close()
}
