package filestorage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/zodb"
)

// While the blob directory is away, a record of a blob goes to nobody as one without; whoever needs no blobs goes on;
// and when it is back the same iterator has the blob.
func TestARecordIsNotReadWithoutItsBlobWhileTheDirectoryIsAway(t *testing.T) {
	dir := t.TempDir()
	blobs, aside := filepath.Join(dir, "blobs"), filepath.Join(dir, "aside")
	s := mustOpen(t, filepath.Join(dir, "Data.fs"), Options{Blobs: openBlobs(t, blobs)})
	defer s.Close()
	txn := mustBegin(t, s, &zodb.TxnMeta{})
	if err := txn.StoreBlob(1, 0, []byte(withBlob), strings.NewReader("precious")); err != nil {
		t.Fatal(err)
	}
	mustFinish(t, txn)
	if err := os.Rename(blobs, aside); err != nil {
		t.Fatal(err)
	}
	var gone *blobstore.GoneError
	if rec, err := firstRecord(t, s.Iterate); !errors.As(err, &gone) {
		t.Errorf("while the directory is away: %v, %v", rec, err)
	}
	if rec, err := firstRecord(t, s.IterateRecords); err != nil || rec.Blob != nil {
		t.Errorf("without blobs: %v, %v", rec, err)
	}
	if err := os.Rename(aside, blobs); err != nil {
		t.Fatal(err)
	}
	if rec, err := firstRecord(t, s.Iterate); err != nil || rec.Blob == nil || rec.BlobSize != 8 {
		t.Errorf("when it is back: %v, %v", rec, err)
	}
	if err := os.Remove(
		filepath.Join(blobs, "0x00/0x00/0x00/0x00/0x00/0x00/0x00/0x01", blobName(s.LastTid())),
	); err != nil {
		t.Fatal(err)
	}
	if rec, err := firstRecord(t, s.Iterate); err != nil || rec.Blob != nil {
		t.Errorf("one that is missing for good: %v, %v", rec, err)
	}
}

func blobName(tid zodb.Tid) string { return "0x" + tid.String() + ".blob" }

func firstRecord(t *testing.T, iterate func(zodb.Tid, bool) (zodb.Iterator, error)) (zodb.Record, error) {
	t.Helper()
	it, err := iterate(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	in, err := it.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rec, err := in.NextRecord()
	if err != nil {
		return zodb.Record{}, err
	}
	return *rec, nil
}

// Who reads without blobs does so in the file that a pack has put in place, too.
func TestRecordsAreReadWithoutBlobsAlsoAfterAPack(t *testing.T) {
	s := toPack(t, Options{Blobs: openBlobs(t, filepath.Join(t.TempDir(), "blobs"))})
	it, err := s.IterateRecords(0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	mustPack(t, s, s.LastTid(), toyOptions())
	for {
		txn, err := it.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if txn.Meta().Tid == s.LastTid() {
			break
		}
	}
	txn := mustBegin(t, s, &zodb.TxnMeta{})
	if err := txn.StoreBlob(9, 0, []byte(withBlob), strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	mustFinish(t, txn)
	in, err := it.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if rec, err := in.NextRecord(); err != nil || rec.Oid != 9 || rec.Blob != nil {
		t.Errorf("got %v, %v", rec, err)
	}
}
