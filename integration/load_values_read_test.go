package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/zodb"
)

// Records as ZODB pickles them.
const (
	mapping  = "\x80\x03cpersistent.mapping\nPersistentMapping\nq\x00.\x80\x03}q\x01X\x04\x00\x00\x00dataq\x02}q\x03"
	withText = mapping + "X\x05\x00\x00\x00valueq\x04X\x04\x00\x00\x00w1-7q\x05ss."
	empty    = mapping + "s."
	length   = "\x80\x03cBTrees.Length\nLength\nq\x00.\x80\x03K\x07."
	blob     = "\x80\x03cZODB.blob\nBlob\nq\x00.\x80\x03N."
)

func TestTheTruthIsReadFromAFileAndItsBlobs(t *testing.T) {
	dir := t.TempDir()
	s, err := workload.Open(t.Context(), filepath.Join(dir, "Data.fs"), filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	content := strings.Repeat("content", 1000)
	first := commitLoad(t, s, map[zodb.Oid]string{0: empty, 1: withText, 2: length}, "")
	second := commitLoad(t, s, nil, content)
	txns, err := consistency.ReadFile(t.Context(), s, func(rec *zodb.Record) (string, bool, error) {
		value, err := loadValue(rec)
		return value, true, err
	})
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(content))
	want := []consistency.Txn{
		{Tid: first, Writes: map[zodb.Oid]string{0: "", 1: "w1-7", 2: "7"}},
		{Tid: second, Writes: map[zodb.Oid]string{3: hex.EncodeToString(digest[:])}},
	}
	if diff := cmp.Diff(want, txns); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestARecordThatIsNoPickleIsAnError(t *testing.T) {
	s, err := workload.Open(t.Context(), filepath.Join(t.TempDir(), "Data.fs"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	commitLoad(t, s, map[zodb.Oid]string{5: "no pickle"}, "")
	if _, err := readTruth(t.Context(), s); err == nil || !strings.Contains(err.Error(), "oid 0000000000000005") {
		t.Errorf("error %v", err)
	}
}

// commitLoad stores new objects, and with a content a blob as object 3.
func commitLoad(t *testing.T, s *filestorage.Storage, records map[zodb.Oid]string, content string) zodb.Tid {
	t.Helper()
	txn, err := s.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	for oid, data := range records {
		if err := txn.Store(oid, 0, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if content != "" {
		if err := txn.StoreBlob(3, 0, []byte(blob), strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	tid, err := txn.Finish(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return tid
}
