package blobstore

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

const blockSize = 256 << 10

var blocks = sync.Pool{New: func() any { b := make([]byte, blockSize); return &b }}

// staged implements zodb.StagedBlob. It belongs to one goroutine at a time.
type staged struct {
	s    *Store
	oid  zodb.Oid
	tid  zodb.Tid
	file vfs.File // open until Sync
	path string   // present name; "" once discarded

	size   int64
	digest *[sha256.Size]byte // nil: it was not computed
	fresh  bool               // a client of this storage gave the content

	second    string // another one, after Publish during a conversion of the layout
	published bool

	isPart bool // it stays when it is discarded before it was published
}

// Stage reads content to its end into a temporary file. The result must be published or discarded.
func (s *Store) Stage(oid zodb.Oid, tid zodb.Tid, content io.Reader) (zodb.StagedBlob, error) {
	b, err := s.stage(oid, tid, content)
	if err != nil {
		return nil, fmt.Errorf("stage blob of oid %v tid %v: %w", oid, tid, err)
	}
	return b, nil
}

func (s *Store) stage(oid zodb.Oid, tid zodb.Tid, content io.Reader) (*staged, error) {
	if s.readOnly {
		return nil, zodb.ErrReadOnly
	}
	if err := s.readyTmp(); err != nil {
		return nil, err
	}
	f, err := s.create(func() string { return s.stagePath(oid, tid) })
	if err != nil {
		return nil, err
	}
	b := &staged{s: s, oid: oid, tid: tid, file: f, path: f.Name()}
	sum := s.newSum()
	if err = copyTo(f, io.TeeReader(content, sum)); err == nil {
		b.size, b.digest = sum.n, sum.digest()
		err = b.takePlace()
	}
	if err != nil {
		return nil, errors.Join(err, b.Discard())
	}
	return b, nil
}

func (s *Store) stagePath(oid zodb.Oid, tid zodb.Tid) string {
	name := fmt.Sprintf("%s%v-%v-%d%s", tmpPrefix, oid, tid, s.serial.Add(1), suffix)
	return filepath.Join(s.dir, tmpName, name)
}

func copyTo(f vfs.File, r io.Reader) error {
	block := blocks.Get().(*[]byte)
	defer blocks.Put(block)
	for at := int64(0); ; {
		n, err := io.ReadFull(r, *block)
		if n > 0 {
			if _, err := f.WriteAt((*block)[:n], at); err != nil {
				return err
			}
			at += int64(n)
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && n > 0:
			return nil
		case err != nil:
			return err
		}
	}
}

func (b *staged) Oid() zodb.Oid { return b.oid }
func (b *staged) Tid() zodb.Tid { return b.tid }

// Sync makes the content durable.
func (b *staged) Sync() error {
	if b.file == nil {
		return nil
	}
	err := errors.Join(b.file.Sync(), b.file.Close())
	b.file = nil
	return b.wrap("sync", err)
}

// Publish gives the blob its final name. What it needs was tried out when the blob was staged.
func (b *staged) Publish() error {
	return b.wrap("publish", b.publish())
}

func (b *staged) publish() error {
	b.s.publishing.RLock()
	defer b.s.publishing.RUnlock()
	final, second := b.s.names(b.oid, b.tid)
	if err := b.s.folders.make(filepath.Dir(final)); err != nil {
		return err
	}
	if err := b.s.fs.Rename(b.path, final); err != nil {
		return err
	}
	b.s.near.Delete(b.path)
	b.s.parts.Delete(b.path)
	b.path, b.isPart, b.published = final, false, true
	b.second = b.s.nameTwice(final, second)
	if b.s.Published == nil {
		return nil
	}
	info, err := b.s.fs.Stat(final)
	if err == nil {
		b.s.Published(b.oid, b.tid, info.Size())
	}
	return err
}

// SyncDir makes the final name durable.
func (b *staged) SyncDir() error { return b.wrap("sync the folder of", b.syncDir()) }

func (b *staged) syncDir() error {
	err := b.s.folders.sync(filepath.Dir(b.path))
	if now := b.s.path(b.oid, b.tid); errors.Is(err, fs.ErrNotExist) && now != b.path {
		b.path = now // a conversion has removed the folder meanwhile
		err = b.s.folders.sync(filepath.Dir(now))
	}
	if err == nil && b.second != "" {
		err = b.s.syncThere(filepath.Dir(b.second))
	}
	return err
}

// Committed is told when the transaction of the blob is durable: what its content has to be is noted only then, so that
// nothing is noted of a blob that a crash removes.
func (b *staged) Committed() {
	if b.s.Notes != nil && b.published {
		b.s.Notes.Content(b.oid, b.tid, b.size, b.digest, b.fresh)
	}
}

// Discard removes the blob, durably if it has its final name: a crash must not bring that back. One that has come in
// ranges and has no final name stays, to be gone on with. Folders that were made for it stay: they are empty, and as
// good as absent.
func (b *staged) Discard() error {
	var err error
	if b.file != nil {
		err = b.file.Close()
		b.file = nil
	}
	if b.isPart {
		b.s.parts.Delete(b.path)
		b.path = ""
	}
	switch {
	case b.path == "":
	case b.published:
		folders, _, e := b.s.unname(b.oid, b.tid)
		err = errors.Join(err, e, b.s.syncThere(folders...), b.s.Here()) // what was unmounted may have the blob
		b.s.forget(b.oid, b.tid, true)
	default:
		err = errors.Join(err, vfs.RemoveIfThere(b.s.fs, b.path))
		b.s.near.Delete(b.path)
	}
	b.path = ""
	return b.wrap("discard", err)
}

func (b *staged) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s blob of oid %v tid %v: %w", what, b.oid, b.tid, err)
}
