package zeo

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// DamagedBlobs know which blobs are damaged, and what other nodes have. They are called from several goroutines.
type DamagedBlobs interface {
	// Known returns what is known to be wrong with a blob whose file can be opened, nil where nothing is: an error that
	// is zodb.ErrDamagedBlob. It is called for each blob that a client asks for, and does not wait.
	Known(oid zodb.Oid, tid zodb.Tid) error
	// Unreadable is told of a blob whose file cannot be read to its end.
	Unreadable(oid zodb.Oid, tid zodb.Tid, err error)
	// Open opens what a blob has to be that cannot be opened or is known to be damaged, if that can be found out; else
	// it returns the error that its client gets. It works for as long as ctx lasts, and bounds its time by itself.
	Open(ctx context.Context, oid zodb.Oid, tid zodb.Tid, damage error) (BlobFile, error)
}

// A BlobFile is an open blob, as an *os.File is one.
type BlobFile interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
}

// blobDamage returns what is known to be wrong with a blob, and closes it then.
func (s *storage) blobDamage(f vfs.File, oid zodb.Oid, tid zodb.Tid) error {
	if s.opt.DamagedBlobs == nil || s.st.FetchesBlobs() {
		return nil
	}
	if err := s.opt.DamagedBlobs.Known(oid, tid); err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

// unreadableBlob tells who is to be told that the file of a blob cannot be read.
func (s *storage) unreadableBlob(oid zodb.Oid, tid zodb.Tid, err error) {
	if s.opt.DamagedBlobs != nil && !s.st.FetchesBlobs() {
		s.opt.DamagedBlobs.Unreadable(oid, tid, err)
	}
}
