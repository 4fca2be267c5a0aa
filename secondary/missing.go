package secondary

import (
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// maxMissing bounds how many blobs that did not come are remembered until their transactions are durable. More of them
// a verification finds.
const maxMissing = 1000

// A peeker is data whose beginning can be seen before they are read.
type peeker interface {
	Peek(n int) ([]byte, error)
}

// lacks reports whether a record that has come is that of a blob, which has not come with it: where it came from the
// blob is missing, or damaged.
func (s *Secondary) lacks(rec *zodb.Record) bool {
	if s.opt.MissingBlobs == nil || rec.Blob != nil || rec.SharedBlob || rec.Size <= 0 || s.elsewhere() {
		return false
	}
	data, can := rec.Data.(peeker)
	if !can {
		return false
	}
	head, err := data.Peek(zodb.BlobHeadLen)
	return err == nil && zodb.IsBlobRecord(head) // who reads the data next gets the error
}

// elsewhere reports whether blobs need not come at all.
func (s *Secondary) elsewhere() bool {
	return s.opt.SharedBlobs != nil || s.opt.BlobsOnDemand || !s.st.HasBlobs()
}

// missing appends blobs that did not come to others.
func missing(to, blobs []filestorage.BlobID) []filestorage.BlobID {
	return append(to, blobs[:min(len(blobs), max(maxMissing-len(to), 0))]...)
}

// tellMissing tells who is to be told of blobs that did not come with records that are durable now.
func (s *Secondary) tellMissing(blobs []filestorage.BlobID) {
	if len(blobs) > 0 && s.opt.MissingBlobs != nil {
		s.opt.MissingBlobs(blobs)
	}
}
