package check_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const fixtures = "../../testdata/filestorage"

type expected struct {
	FileSize     int64    `json:"file_size"`
	End          int64    `json:"end"`
	LastTid      zodb.Tid `json:"last_tid"`
	Objects      int64    `json:"object_count"`
	Transactions []struct {
		Pos     int64 `json:"pos"`
		Length  int64 `json:"length"`
		Header  int64 `json:"header_length"`
		Records []struct {
			Pos  int64  `json:"pos"`
			Kind string `json:"kind"`
			Blob bool   `json:"blob_record"`
		} `json:"records"`
	} `json:"transactions"`
	Blobs []struct {
		Path string   `json:"path"`
		Oid  zodb.Oid `json:"oid"`
		Tid  zodb.Tid `json:"tid"`
	} `json:"blobs"`
	Variants []struct {
		Name     string `json:"variant"`
		At       int64  `json:"first_difference"`
		Patch    string `json:"patch_hex"`
		Appended string `json:"appended_hex"`
	} `json:"variants"`
}

func expectation(t *testing.T, dir string) (e expected) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// run checks the file and returns the kinds of damage and of warning, in order.
func run(t *testing.T, opt check.Options) (sum check.Summary, damage, warnings []check.Kind) {
	t.Helper()
	opt.FS = vfs.OS{}
	opt.Report = func(f check.Finding) {
		t.Log(f)
		if f.Severity == check.Damage {
			damage = append(damage, f.Kind)
		} else {
			warnings = append(warnings, f.Kind)
		}
	}
	sum, err := check.Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Damages != int64(len(damage)) || sum.Warnings != int64(len(warnings)) {
		t.Fatalf("the summary counts %d and %d findings, reported were %d and %d", sum.Damages, sum.Warnings,
			len(damage), len(warnings))
	}
	return sum, damage, warnings
}

func blobsOf(e expected) func(func(check.BlobFile, error) bool) {
	return func(yield func(check.BlobFile, error) bool) {
		for _, b := range e.Blobs {
			if !yield(check.BlobFile{Oid: b.Oid, Tid: b.Tid, Path: b.Path}, nil) {
				return
			}
		}
	}
}

// What is unusual in a fixture although it is healthy.
var unusual = map[string][]check.Kind{
	"status-u": {check.KindPrevious},
}

func TestWhatZODBWroteIsHealthy(t *testing.T) {
	dirs, err := filepath.Glob(fixtures + "/*/Data.fs")
	if err != nil || len(dirs) < 20 {
		t.Fatalf("found %d fixtures, %v", len(dirs), err)
	}
	for _, path := range dirs {
		name := filepath.Base(filepath.Dir(path))
		if name == "corrupt-length" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			e := expectation(t, filepath.Dir(path))
			sum, damage, warnings := run(t, check.Options{Path: path, Blobs: blobsOf(e)})
			if len(damage) > 0 || !slices.Equal(warnings, unusual[name]) {
				t.Errorf("findings in a healthy file: %v, %v", damage, warnings)
			}
			var records, blobs int64
			for _, txn := range e.Transactions {
				records += int64(len(txn.Records))
				for _, r := range txn.Records {
					if r.Blob {
						blobs++
					}
				}
			}
			type counts struct{ Size, Checked, Uncommitted, Transactions, Records, Objects, Blobs int64 }
			want := counts{e.FileSize, e.End, e.FileSize - e.End, int64(len(e.Transactions)), records, e.Objects, blobs}
			got := counts{sum.Size, sum.Checked, sum.Uncommitted, sum.Transactions, sum.Records, sum.Objects,
				sum.BlobRecords}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if e.LastTid == 0 != (sum.LastTid == nil) || (sum.LastTid != nil && *sum.LastTid != e.LastTid) {
				t.Errorf("last tid %v, want %v", sum.LastTid, e.LastTid)
			}
		})
	}
}

func TestQuickChecksFindTheSameStructure(t *testing.T) {
	full, _, _ := run(t, check.Options{Path: fixtures + "/plone-like/Data.fs"})
	quick, _, _ := run(t, check.Options{Path: fixtures + "/plone-like/Data.fs", Quick: true})
	if diff := cmp.Diff(full, quick); diff != "" {
		t.Error(diff)
	}
}

func good(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(fixtures + "/corrupt-length/good.fs")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Data.fs")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEveryDamageIsNamed(t *testing.T) {
	type found struct {
		damage, warnings []check.Kind
		uncommitted      int64
	}
	structure := found{damage: []check.Kind{check.KindStructure}}
	record := found{damage: []check.Kind{check.KindRecord, check.KindPrevious}} // a later revision points to the record
	want := map[string]found{
		"length + 8":                 structure,
		"length - 1":                 structure,
		"length below header length": structure,
		"length 2^40":                structure,
		"length 2^63":                structure,
		"length 2^64-1":              structure,
		"redundant length":           structure,
		"redundant length of the last transaction": structure,
		"status x":               structure,
		"status c in the middle": {uncommitted: 814 - 301},
		"tid zero": {warnings: []check.Kind{check.KindTidOrder, check.KindRecordTid,
			check.KindRecordTid}},
		"record: tloc": {damage: []check.Kind{check.KindRecord},
			warnings: []check.Kind{check.KindPrevious}},
		"record: version length":        record,
		"record: data length too large": record,
		"record: data length 2^64-1":    record,
		"record: prev":                  {damage: []check.Kind{check.KindPrevious}},
		"record: oid":                   {damage: []check.Kind{check.KindPrevious, check.KindPrevious}},
		"100 zero bytes appended":       {uncommitted: 100},
		"10 zero bytes appended":        {uncommitted: 10},
	}
	e := expectation(t, fixtures+"/corrupt-length")
	if len(e.Variants) != len(want) {
		t.Fatalf("%d variants, %d expectations", len(e.Variants), len(want))
	}
	for _, v := range e.Variants {
		t.Run(v.Name, func(t *testing.T) {
			patch, err1 := hex.DecodeString(v.Patch)
			appended, err2 := hex.DecodeString(v.Appended)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			b := good(t)
			copy(b[min(int(v.At), len(b)):], patch)
			b = append(b, appended...)
			sum, damage, warnings := run(t, check.Options{Path: write(t, b)})
			got := found{damage, warnings, sum.Uncommitted}
			if diff := cmp.Diff(want[v.Name], got, cmp.AllowUnexported(found{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// No byte of the structure can change unnoticed, and no byte at all can break the check itself.
func TestEveryChangedByteOfTheStructureIsFound(t *testing.T) {
	whole := good(t)
	structural := structureOf(t, write(t, whole))
	for i := range whole {
		b := slices.Clone(whole)
		b[i] ^= 0x10
		path := write(t, b)
		findings := 0
		sum, err := check.Run(t.Context(), check.Options{FS: vfs.OS{}, Path: path,
			Report: func(check.Finding) { findings++ }})
		if err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
		if structural[int64(i)] && findings == 0 && sum.Uncommitted == 0 {
			t.Errorf("byte %d is part of the structure, and nobody noticed that it changed", i)
		}
		os.Remove(path)
	}
}

// structureOf returns the offsets of all bytes that the format determines: not tids, oids, metadata and data.
func structureOf(t *testing.T, path string) map[int64]bool {
	t.Helper()
	in, err := filestorage.Inspect(vfs.OS{}, path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	marked := map[int64]bool{}
	mark := func(pos, n int64) {
		for i := range n {
			marked[pos+i] = true
		}
	}
	mark(0, 4)
	for txn, err := range in.Transactions() {
		if err != nil {
			break
		}
		mark(txn.Pos+8, 9)
		mark(txn.Pos+txn.Length, 8)
		for rec, err := range in.Records() {
			if err != nil {
				break
			}
			mark(rec.Pos+16, 26) // prev, tloc, vlen, plen
		}
	}
	return marked
}

func TestAFileThatIsNoDataFileIsDamage(t *testing.T) {
	for _, content := range []string{"FS3", "ELF!....", "PK\x03\x04"} {
		_, damage, _ := run(t, check.Options{Path: write(t, []byte(content))})
		if !slices.Equal(damage, []check.Kind{check.KindStructure}) {
			t.Errorf("%q: got %v", content, damage)
		}
	}
}
