package filestorage

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// A BlobRepair says what a blob is to be that is damaged or missing.
type BlobRepair struct {
	Oid     zodb.Oid
	Tid     zodb.Tid
	Content io.Reader
	Size    int64              // what Content has to have
	Digest  *[sha256.Size]byte // likewise; nil: that is not known
	Damage
}

// A BlobContentError says that what was to replace a damaged blob is not what the blob has to be.
type BlobContentError struct {
	Oid       zodb.Oid
	Tid       zodb.Tid
	Want, Got string
}

func (e *BlobContentError) Error() string {
	return fmt.Sprintf("the blob of oid %v tid %v that was received is not the right one: want %s, got %s", e.Oid,
		e.Tid, e.Want, e.Got)
}

// RepairBlob replaces a damaged or missing blob. The new content is durable under a temporary name, and was compared
// with Size and Digest, before the old file is kept in the quarantine folder beside the Data.fs; then it takes its
// place. A crash leaves the old blob or the new one. Nothing is done for a revision that the storage does not have, as
// after a pack, which is a *zodb.POSKeyError.
func (s *Storage) RepairBlob(r *BlobRepair) error {
	if err := s.repairBlob(r); err != nil {
		return fmt.Errorf("repair of the blob of oid %v tid %v: %w", r.Oid, r.Tid, err)
	}
	return nil
}

// HasRevision reports whether transaction tid has a record of oid.
func (s *Storage) HasRevision(oid zodb.Oid, tid zodb.Tid) (bool, error) {
	return s.hasRevision(oid, tid)
}

func (s *Storage) repairBlob(r *BlobRepair) error {
	if s.blobs == nil {
		return ErrNoBlobs
	}
	done, err := s.beginRepair()
	if err != nil {
		return err
	}
	defer done()
	has, err := s.hasRevision(r.Oid, r.Tid)
	if err == nil && !has {
		err = &zodb.POSKeyError{Oid: r.Oid, Tid: r.Tid}
	}
	if err != nil {
		return err
	}
	var staged zodb.StagedBlob
	err = r.Read(func(content io.Reader) (err error) {
		staged, err = s.blobs.Stage(r.Oid, r.Tid, content)
		return err
	})
	if staged == nil {
		return err
	}
	if err == nil {
		err = staged.Sync()
	}
	var kept string
	if err == nil {
		kept, err = s.quarantineBlob(r)
	}
	if err != nil {
		return errors.Join(err, staged.Discard())
	}
	if err := staged.Publish(); err != nil {
		return err
	}
	if err := staged.SyncDir(); err != nil {
		return err
	}
	if r.Digest == nil { // else it is what was noted
		tellBlobs([]zodb.StagedBlob{staged})
	}
	s.log.Warn("repaired a damaged blob", "oid", r.Oid, "tid", r.Tid, "found", r.Found, "found_by", r.By, "peer",
		r.Peer, "kept_in", kept, "warning", warning.Damaged)
	return nil
}

// Read has into read Content to its end, and then compares what was read with what the blob has to be: a
// *BlobContentError says that it is something else.
func (r *BlobRepair) Read(into func(content io.Reader) error) error {
	content := &summedReader{r: r.Content, sum: sha256.New()}
	if err := into(content); err != nil {
		return err
	}
	return r.compare(content)
}

// compare reports whether the content is what it has to be.
func (r *BlobRepair) compare(c *summedReader) error {
	wrong := &BlobContentError{Oid: r.Oid, Tid: r.Tid}
	if c.n != r.Size {
		wrong.Want, wrong.Got = fmt.Sprintf("%d bytes", r.Size), fmt.Sprint(c.n)
		return wrong
	}
	var got [sha256.Size]byte
	if c.sum.Sum(got[:0]); r.Digest != nil && got != *r.Digest {
		wrong.Want, wrong.Got = fmt.Sprintf("digest %x", r.Digest[:4]), fmt.Sprintf("%x", got[:4])
		return wrong
	}
	return nil
}

// quarantineBlob keeps the blob that is replaced, and returns where; nowhere when there is none.
func (s *Storage) quarantineBlob(r *BlobRepair) (kept string, err error) {
	old, err := s.blobAsIs(r.Oid, r.Tid)
	if missing := (*zodb.POSKeyError)(nil); errors.As(err, &missing) {
		return "nowhere: it was missing", nil
	}
	if err != nil {
		return "", err
	}
	defer old.Close() //nolint:errcheck // only read
	q := &Quarantined{Damage: r.Damage, File: old.Name()}
	q.Tid, q.Oid = &r.Tid, &r.Oid
	return q.keep(s.fs, s.path, s.now(), func(f vfs.File) error { return q.copyDamaged(f, old) })
}

// A summedReader digests what is read.
type summedReader struct {
	r   io.Reader
	n   int64
	sum hash.Hash
}

func (s *summedReader) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.n += int64(n)
	s.sum.Write(b[:n])
	return n, err
}
