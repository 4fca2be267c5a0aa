package filestorage

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// An expectation is a fixture's expected.json, as far as this package's tests look at it.
type expectation struct {
	End          int64
	LastTid      zodb.Tid `json:"last_tid"`
	Transactions []expectedTxn
	Index        map[zodb.Oid]int64
	IndexFile    *struct{ Canonical bool } `json:"index_file"`
	Blobs        []expectedBlob
}

// An expectedTxn is one transaction of a fixture. Metadata that are too long for the file are there as their digests.
type expectedTxn struct {
	Pos            int64
	Tid            zodb.Tid
	Status         string
	TotalLength    int64   `json:"total_length"`
	User           *string `json:"user_hex"`
	UserSum        string  `json:"user_sha256"`
	Description    *string `json:"description_hex"`
	DescriptionSum string  `json:"description_sha256"`
	Extension      *string `json:"extension_hex"`
	ExtensionSum   string  `json:"extension_sha256"`
	Records        []expectedRec
}

// An expectedRec is one record of a fixture.
type expectedRec struct {
	Oid     zodb.Oid
	Tid     zodb.Tid
	Prev    int64
	DataTxn zodb.Tid `json:"data_txn"`
	Size    *int64   `json:"data_length"`
	Sum     *string  `json:"data_sha256"`
	Blob    bool     `json:"blob_record"`
}

type expectedBlob struct {
	Path   string
	Oid    zodb.Oid
	Tid    zodb.Tid
	Sum    string `json:"sha256"`
	Orphan bool
}

// seen is what an iterator yields of a record.
type seen struct {
	Oid, Tid, DataTxn any
	HasPrev           bool
	Size              int64
	Sum, Blob         string
}

// forFixtures runs f for each fixture that has a Data.fs.
func forFixtures(t *testing.T, f func(t *testing.T, dir string, want *expectation)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(fixtures, "*/Data.fs"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var want expectation
			readJSON(t, filepath.Join(dir, "expected.json"), &want)
			f(t, dir, &want)
		})
	}
}

// fixtureSource opens a fixture as a storage would after recovery.
func fixtureSource(t *testing.T, dir string, want *expectation) *source {
	t.Helper()
	src := fileSource(t, filepath.Join(dir, "Data.fs"), want.End, want.LastTid)
	if len(want.Blobs) > 0 {
		src.openBlob = func(oid zodb.Oid, tid zodb.Tid) (vfs.File, error) {
			i := slices.IndexFunc(want.Blobs, func(b expectedBlob) bool { return b.Oid == oid && b.Tid == tid })
			if i < 0 {
				return nil, &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
			}
			return vfs.OS{}.OpenFile(filepath.Join(dir, "blobs", want.Blobs[i].Path), os.O_RDONLY, 0)
		}
	}
	return src
}

func fileSource(tb testing.TB, path string, end int64, last zodb.Tid) *source {
	tb.Helper()
	f, err := vfs.OS{}.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	return &source{
		commitPoint: newCommitPoint(end, last), file: f, path: path, release: func() error { return nil },
	}
}

// Iterating over a fixture yields its transactions, metadata, records, data and blobs as the real ZODB sees them.
func TestIterateFixtures(t *testing.T) {
	forFixtures(t, func(t *testing.T, dir string, want *expectation) {
		t.Helper()
		it, err := iterate(fixtureSource(t, dir, want), 0, false)
		if err != nil {
			t.Fatal(err)
		}
		defer it.Close()
		for _, w := range want.Transactions {
			if !it.Pending() {
				t.Fatalf("nothing is pending before tid %v", w.Tid)
			}
			txn, err := it.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			compareTxn(t, txn, &w, want)
			if it.Position() != w.Pos+w.TotalLength {
				t.Errorf("position is %d, want %d", it.Position(), w.Pos+w.TotalLength)
			}
		}
		if _, err := it.Next(t.Context()); !errors.Is(err, io.EOF) || it.Pending() {
			t.Errorf("after the last: %v, pending %v", err, it.Pending())
		}
	})
}

func compareTxn(t *testing.T, txn zodb.Transaction, want *expectedTxn, all *expectation) {
	t.Helper()
	m := txn.Meta()
	if m.Tid != want.Tid || string(rune(m.Status)) != want.Status {
		t.Errorf("transaction %v %q, want %v %q", m.Tid, m.Status, want.Tid, want.Status)
	}
	compareMeta(t, "user", m.User, want.User, want.UserSum)
	compareMeta(t, "description", m.Description, want.Description, want.DescriptionSum)
	compareMeta(t, "extension", m.Extension, want.Extension, want.ExtensionSum)
	var wanted []seen
	for _, r := range want.Records {
		wanted = append(wanted, r.seen(all.Blobs))
	}
	if diff := cmp.Diff(wanted, readRecords(t, txn)); diff != "" {
		t.Errorf("records of tid %v (-want +got):\n%s", m.Tid, diff)
	}
}

func compareMeta(t *testing.T, name string, got []byte, hexed *string, sum string) {
	t.Helper()
	if hexed != nil && hex.EncodeToString(got) != *hexed || hexed == nil && digest(got) != sum {
		t.Errorf("%s is %q", name, got)
	}
}

func (r *expectedRec) seen(blobs []expectedBlob) seen {
	s := seen{Oid: r.Oid, Tid: r.Tid, DataTxn: r.DataTxn, HasPrev: r.Prev != 0, Size: zodb.NoData}
	if r.Size != nil {
		s.Size, s.Sum = *r.Size, *r.Sum
	}
	for _, b := range blobs {
		if r.Blob && b.Oid == r.Oid && b.Tid == r.Tid {
			s.Blob = b.Sum
		}
	}
	return s
}

func readRecords(t *testing.T, txn zodb.Transaction) (records []seen) {
	t.Helper()
	for {
		rec, err := txn.NextRecord()
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			t.Fatal(err)
		}
		s := seen{Oid: rec.Oid, Tid: rec.Tid, DataTxn: rec.DataTxn, HasPrev: rec.HasPrev, Size: rec.Size}
		if rec.Size != zodb.NoData {
			s.Sum = readAll(t, rec.Data, rec.Size)
		}
		if rec.Blob != nil {
			s.Blob = readAll(t, rec.Blob, rec.BlobSize)
		}
		records = append(records, s)
	}
}

func readAll(t *testing.T, r io.Reader, size int64) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != size {
		t.Fatalf("%d bytes, %v; want %d", len(b), err, size)
	}
	return digest(b)
}

func digest(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
