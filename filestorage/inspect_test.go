package filestorage

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A rawFixture is what a fixture says about offsets, in the words of its expected.json.
type rawFixture struct {
	End          int64 `json:"end"`
	Transactions []struct {
		Pos     int64       `json:"pos"`
		Tid     zodb.Tid    `json:"tid"`
		Status  string      `json:"status"`
		Length  int64       `json:"length"`
		Records []rawRecord `json:"records"`
	} `json:"transactions"`
}

type rawRecord struct {
	Pos  int64    `json:"pos"`
	Oid  zodb.Oid `json:"oid"`
	Tid  zodb.Tid `json:"tid"`
	Prev int64    `json:"prev"`
	Tloc int64    `json:"tloc"`
	Plen int64    `json:"plen"`
	Back int64    `json:"back"`
	Blob bool     `json:"blob_record"`
}

func TestAnInspectorShowsWhatStandsInEachFixture(t *testing.T) {
	paths, err := filepath.Glob("../testdata/filestorage/*/Data.fs")
	if err != nil || len(paths) < 20 {
		t.Fatalf("found %d fixtures, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			want := rawFixture{}
			b, err := os.ReadFile(filepath.Join(filepath.Dir(path), "expected.json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(b, &want); err != nil {
				t.Fatal(err)
			}
			got, err := inspectAll(t, path)
			if err != nil && filepath.Base(filepath.Dir(path)) != "corrupt-length" {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// inspectAll reads a file in the form of a fixture. The error is the damage at its end.
func inspectAll(t *testing.T, path string) (f rawFixture, damage error) {
	t.Helper()
	in, err := Inspect(vfs.OS{}, path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for txn, err := range in.Transactions() {
		if err != nil {
			damage = err
			break
		}
		f.Transactions = append(f.Transactions, struct {
			Pos     int64       `json:"pos"`
			Tid     zodb.Tid    `json:"tid"`
			Status  string      `json:"status"`
			Length  int64       `json:"length"`
			Records []rawRecord `json:"records"`
		}{txn.Pos, txn.Meta.Tid, string(rune(txn.Meta.Status)), txn.Length, inspectRecords(t, in)})
	}
	f.End = in.Pos()
	return f, damage
}

func inspectRecords(t *testing.T, in *Inspector) []rawRecord {
	t.Helper()
	records := []rawRecord{}
	for r, err := range in.Records() {
		if err != nil {
			t.Fatal(err)
		}
		blob, err := in.IsBlob(r)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, rawRecord{r.Pos, r.Oid, r.Tid, r.Prev, r.Tloc, r.Size, r.Back, blob})
	}
	return records
}

// Whatever the bytes, an Inspector comes to an end, stays inside the file and fails only in the ways that it promises.
func FuzzInspect(f *testing.F) {
	for _, name := range []string{"undo", "corrupt-length", "torn-tail", "crash-checkpoint", "blobs-lawn", "empty"} {
		b, err := os.ReadFile(filepath.Join("../testdata/filestorage", name, "Data.fs"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "Data.fs")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		in, err := Inspect(vfs.OS{}, path)
		if err != nil {
			mustBeCorrupt(t, err)
			return
		}
		defer in.Close()
		pos := in.Pos()
		for txn, err := range in.Transactions() {
			if err != nil {
				mustBeCorrupt(t, err)
				return
			}
			if in.Pos() <= pos || in.Pos() > int64(len(content)) || txn.Pos != pos {
				t.Fatalf("a transaction at %d leads from %d to %d of %d", txn.Pos, pos, in.Pos(), len(content))
			}
			pos = in.Pos()
			fuzzRecords(t, in)
		}
	})
}

func fuzzRecords(t *testing.T, in *Inspector) {
	t.Helper()
	for r, err := range in.Records() {
		if err != nil {
			mustBeCorrupt(t, err)
			return
		}
		if n, err := io.Copy(io.Discard, in.Data(r)); err != nil || n != r.Size {
			t.Fatalf("read %d of %d bytes of data: %v", n, r.Size, err)
		}
		if _, err := in.IsBlob(r); err != nil {
			mustBeCorrupt(t, err)
		}
	}
}

func mustBeCorrupt(t *testing.T, err error) {
	t.Helper()
	var corrupt *zodb.CorruptError
	if !errors.As(err, &corrupt) {
		t.Fatalf("not a CorruptError: %v", err)
	}
}
