package blobstore

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// Unnamed returns a file with content that is gone when it is closed: it has no name, so nobody takes it for a blob of
// the directory, and nothing of it has to be durable. A crash leaves at most its empty temporary file.
func (s *Store) Unnamed(oid zodb.Oid, tid zodb.Tid, content io.Reader) (vfs.File, error) {
	f, err := s.unnamed(oid, tid, content)
	if err != nil {
		return nil, fmt.Errorf("keep the content of a blob of oid %v tid %v for who reads it: %w", oid, tid, err)
	}
	return f, nil
}

func (s *Store) unnamed(oid zodb.Oid, tid zodb.Tid, content io.Reader) (vfs.File, error) {
	if s.readOnly {
		return nil, zodb.ErrReadOnly
	}
	if err := s.readyTmp(); err != nil {
		return nil, err
	}
	f, err := s.createAs(func() string { return s.stagePath(oid, tid) }, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	if err = s.fs.Remove(f.Name()); err == nil {
		err = copyTo(f, content)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
