package blobstore

import (
	"crypto/sha256"
	"errors"
	"hash"
	"sync"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// Notes keep what the content of blobs has to be, so that a file that is cut or changed later on is found. Its methods
// may be called concurrently.
type Notes interface {
	// Content is told of a blob whose transaction is durable, and must not wait. digest is its SHA-256, nil where that
	// is not known. fresh says that a client of this storage gave the content: it cannot have been damaged before.
	Content(oid zodb.Oid, tid zodb.Tid, size int64, digest *[sha256.Size]byte, fresh bool)
	// Gone is told of a blob that is no more. another says that another one may get its name, so that what was noted
	// must not come back after a crash.
	Gone(oid zodb.Oid, tid zodb.Tid, another bool)
	// Size returns the size that a blob has to have, if that is known.
	Size(oid zodb.Oid, tid zodb.Tid) (size int64, known bool)
}

// forget has what was noted of a blob forgotten.
func (s *Store) forget(oid zodb.Oid, tid zodb.Tid, another bool) {
	if s.Notes != nil {
		s.Notes.Gone(oid, tid, another)
	}
}

// compareSize closes a blob that has not the size that was noted.
func (s *Store) compareSize(f vfs.File, oid zodb.Oid, tid zodb.Tid) error {
	if s.Notes == nil {
		return nil
	}
	noted, known := s.Notes.Size(oid, tid)
	if !known {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if info.Size() == noted {
		return nil
	}
	_ = f.Close() // only read
	damage := &zodb.DamagedBlobError{Oid: oid, Tid: tid, Size: info.Size(), Noted: noted}
	if s.Damaged != nil {
		s.Damaged(damage)
	}
	return damage
}

// AsIs is a directory for who looks at blobs that may be damaged.
type AsIs struct{ *Store }

// AsIs returns the directory as it is, whatever is noted.
func (s *Store) AsIs() AsIs { return AsIs{s} }

// OpenBlob is OpenAsIs.
func (a AsIs) OpenBlob(oid zodb.Oid, tid zodb.Tid) (vfs.File, error) { return a.OpenAsIs(oid, tid) }

// A contentSum counts and digests what is written to it. A nil one does nothing.
type contentSum struct {
	n   int64
	sum hash.Hash // nil: nobody wants the digest
}

func (s *Store) newSum() *contentSum {
	c := &contentSum{}
	if s.Notes != nil {
		c.sum = sha256.New()
	}
	return c
}

// Write is io.Writer.
func (c *contentSum) Write(b []byte) (int, error) {
	if c == nil {
		return len(b), nil
	}
	c.n += int64(len(b))
	if c.sum != nil {
		_, _ = c.sum.Write(b) // a hash takes all
	}
	return len(b), nil
}

// digest returns that of what was written; nil where it was not computed.
func (c *contentSum) digest() *[sha256.Size]byte {
	if c == nil || c.sum == nil {
		return nil
	}
	return (*[sha256.Size]byte)(c.sum.Sum(nil))
}

// An orderedSum is that of content that comes in pieces, as long as each of them follows the one before. Its methods
// may be called concurrently.
type orderedSum struct {
	*contentSum

	mu   sync.Mutex
	lost bool
}

func (o *orderedSum) take(b []byte, at int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lost = o.lost || at != o.n; !o.lost {
		_, _ = o.Write(b) // a hash takes all
	}
}

// whole returns the digest of content of this size; nil where it is not known.
func (o *orderedSum) whole(size int64) *[sha256.Size]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lost || o.n != size {
		return nil
	}
	return o.digest()
}
