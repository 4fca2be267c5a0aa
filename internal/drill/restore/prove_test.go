package restore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A blob that no node had is -1. One that is there and cannot be read fails the drill: a link to itself is one that
// not even root can open.
func TestABlobThatCannotBeReadIsNotAMissingOne(t *testing.T) {
	const tid zodb.Tid = 0x0400000000001000
	const record, content = "cZODB.blob\nBlob\nq\x01.N.", "what is in it"
	dir := t.TempDir()
	blobs, err := blobstore.Open(filepath.Join(dir, "blobs"), blobstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := filestorage.Open(t.Context(), filepath.Join(dir, "Data.fs"), filestorage.Options{Blobs: blobs})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	txn, err := st.Begin(t.Context(), &zodb.TxnMeta{Tid: tid})
	if err != nil {
		t.Fatal(err)
	}
	if err := txn.Restore(&zodb.Record{
		Oid: 1, Tid: tid, Size: int64(len(record)), Data: strings.NewReader(record),
		BlobSize: int64(len(content)), Blob: strings.NewReader(content),
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := txn.Finish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}

	if size, err := blobSize(st, 1, tid); size != int64(len(content)) || err != nil {
		t.Errorf("one that is there: %d, %v", size, err)
	}
	path := filepath.Join(blobs.Folders(1)[0], blobstore.FileName(tid))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if size, err := blobSize(st, 1, tid); size != -1 || err != nil {
		t.Errorf("one that is missing: %d, %v", size, err)
	}
	if err := os.Symlink(filepath.Base(path), path); err != nil {
		t.Fatal(err)
	}
	if size, err := blobSize(st, 1, tid); err == nil {
		t.Errorf("one that cannot be read: %d and no error", size)
	}
}
