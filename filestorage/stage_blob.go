package filestorage

import (
	"fmt"
	"io"

	"github.com/zrsd/zrsd/zodb"
)

// StageBlob reads content to its end into a temporary file of the blob directory, for AppendOptions.Blobs to return.
func (s *Storage) StageBlob(oid zodb.Oid, tid zodb.Tid, content io.Reader) (zodb.StagedBlob, error) {
	if s.blobs == nil {
		return nil, fmt.Errorf("the blob of oid %v tid %v: %s has no blob directory", oid, tid, s.path)
	}
	return s.blobs.Stage(oid, tid, content)
}
