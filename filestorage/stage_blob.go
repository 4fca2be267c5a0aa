package filestorage

import (
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// StageBlob reads content to its end into a temporary file of the blob directory, for AppendOptions.Blobs to return.
func (s *Storage) StageBlob(oid zodb.Oid, tid zodb.Tid, content io.Reader) (zodb.StagedBlob, error) {
	if s.blobs == nil {
		return nil, fmt.Errorf("the blob of oid %v tid %v: %s has no blob directory", oid, tid, s.path)
	}
	return s.blobs.Stage(oid, tid, content)
}

// KeepBlobParts says whether what is there of blobs that come in ranges is kept: see Blobs.
func (s *Storage) KeepBlobParts(yes bool) {
	if s.blobs != nil {
		s.blobs.KeepParts(yes)
	}
}

// BlobPart opens what is there of a blob that comes in ranges, for AppendOptions.Blobs to stage.
func (s *Storage) BlobPart(oid zodb.Oid, tid zodb.Tid) (zodb.BlobPart, error) {
	if s.blobs == nil {
		return nil, fmt.Errorf("the blob of oid %v tid %v: %s has no blob directory", oid, tid, s.path)
	}
	return s.blobs.Part(oid, tid)
}

// BlobInPlace opens a blob of the directory, whether its transaction is in the file or not, so that AppendOptions.Blobs
// may leave it out. Nothing says what its content is.
func (s *Storage) BlobInPlace(oid zodb.Oid, tid zodb.Tid) (vfs.File, error) {
	if s.blobs == nil {
		return nil, &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
	}
	return s.blobAsIs(oid, tid)
}

// blobAsIs opens a blob of the directory that may be damaged.
func (s *Storage) blobAsIs(oid zodb.Oid, tid zodb.Tid) (vfs.File, error) {
	if dir, can := s.blobs.(interface {
		OpenAsIs(oid zodb.Oid, tid zodb.Tid) (vfs.File, error)
	}); can {
		return dir.OpenAsIs(oid, tid)
	}
	return s.blobs.OpenBlob(oid, tid)
}

// SecureBlob makes a blob durable that is in the directory already, so that AppendOptions.Blobs may leave it out.
func (s *Storage) SecureBlob(oid zodb.Oid, tid zodb.Tid) error {
	blobs, ok := s.blobs.(blobSecurer)
	if !ok {
		return fmt.Errorf("the blob of oid %v tid %v: %w", oid, tid, errors.ErrUnsupported)
	}
	return blobs.Secure(oid, tid)
}

// NoBlobs reports whether there is no published blob at all.
func (s *Storage) NoBlobs() (bool, error) {
	if s.blobs == nil {
		return true, nil
	}
	return s.blobs.Empty()
}
