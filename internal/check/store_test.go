package check_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// copyFixture copies a data file and its index to where a test may damage them.
func copyFixture(t *testing.T, name string) (path string, e expected) {
	t.Helper()
	dir := t.TempDir()
	for _, file := range []string{"Data.fs", "Data.fs.index"} {
		b, err := os.ReadFile(filepath.Join(fixtures, name, file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "Data.fs"), expectation(t, filepath.Join(fixtures, name))
}

func patch(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestABackPointerThatLeadsNowhereIsDamage(t *testing.T) {
	path, e := copyFixture(t, "undo")
	back := backPointerOf(t, e)
	for name, target := range map[string]int64{
		"forward":           back + 100,
		"into a header":     4,
		"to another object": otherObject(t, path, back-42),
		"beyond the file":   1 << 60,
		"negative":          -1,
	} {
		t.Run(name, func(t *testing.T) {
			path, _ := copyFixture(t, "undo")
			patch(t, path, func(b []byte) []byte {
				binary.BigEndian.PutUint64(b[back:], uint64(target))
				return b
			})
			_, damage, _ := run(t, check.Options{Path: path})
			if !slices.Equal(damage, []check.Kind{check.KindBackPointer}) {
				t.Errorf("got %v", damage)
			}
		})
	}
}

// backPointerOf returns the offset of the last back pointer of a file.
func backPointerOf(t *testing.T, e expected) (at int64) {
	t.Helper()
	for _, txn := range e.Transactions {
		for _, r := range txn.Records {
			if r.Kind == "back" {
				at = r.Pos + 42
			}
		}
	}
	if at == 0 {
		t.Fatal("the fixture has no back pointer")
	}
	return at
}

// otherObject returns the offset of a record of another oid than that of the record at pos.
func otherObject(t *testing.T, path string, pos int64) int64 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, txn := range expectation(t, fixtures+"/undo").Transactions {
		for _, r := range txn.Records {
			if string(b[r.Pos:r.Pos+8]) != string(b[pos:pos+8]) {
				return r.Pos
			}
		}
	}
	t.Fatal("the fixture has one object only")
	return 0
}

func TestTheSavedIndexIsComparedUpToWhereItWasSaved(t *testing.T) {
	for name, c := range map[string]struct {
		fixture string
		change  func([]byte) []byte
		state   string
		damage  []check.Kind
		warning []check.Kind
	}{
		"as saved":   {"undo", func(b []byte) []byte { return b }, "good", nil, nil},
		"behind":     {"stale-index", func(b []byte) []byte { return b }, "stale", nil, nil},
		"old format": {"old-index", func(b []byte) []byte { return b }, "good", nil, nil},
		"no index": {"undo", func([]byte) []byte { return nil }, "unusable", nil,
			[]check.Kind{check.KindIndexFile}},
		"cut": {"undo", func(b []byte) []byte { return b[:len(b)-3] }, "unusable", nil,
			[]check.Kind{check.KindIndexFile}},
		"another place": {"undo", func(b []byte) []byte { b[3]--; return b }, "unusable", nil,
			[]check.Kind{check.KindIndexFile}},
		"after the end": {"undo", func(b []byte) []byte { b[3]++; return b }, "unusable", nil,
			[]check.Kind{check.KindEndMissing}},
		"another record": {"undo", func(b []byte) []byte { b[len(b)-9]++; return b }, "wrong",
			[]check.Kind{check.KindIndexEntry, check.KindIndexFile}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			path, _ := copyFixture(t, c.fixture)
			patch(t, path+".index", c.change)
			sum, damage, warnings := run(t, check.Options{Path: path})
			if sum.Index != c.state || !slices.Equal(damage, c.damage) || !slices.Equal(warnings, c.warning) {
				t.Errorf("got %q, %v, %v", sum.Index, damage, warnings)
			}
		})
	}
}

func TestAnAbsentIndexIsNoFinding(t *testing.T) {
	path, _ := copyFixture(t, "undo")
	if err := os.Remove(path + ".index"); err != nil {
		t.Fatal(err)
	}
	sum, damage, warnings := run(t, check.Options{Path: path})
	if sum.Index != "absent" || len(damage)+len(warnings) > 0 {
		t.Errorf("got %q, %v, %v", sum.Index, damage, warnings)
	}
}

func TestAnIndexOfAnotherStorageDoesNotFloodTheReport(t *testing.T) {
	path, e := copyFixture(t, "plone-like")
	patch(t, path+".index", func(b []byte) []byte {
		for i := len(b) - 200; i < len(b)-10; i++ { // within the offsets
			b[i] = 0x20
		}
		return b
	})
	sum, damage, _ := run(t, check.Options{Path: path})
	if sum.Index != "wrong" || int64(len(damage)) >= e.Objects || damage[len(damage)-1] != check.KindIndexFile {
		t.Errorf("got %q, %d findings for %d objects", sum.Index, len(damage), e.Objects)
	}
}

func TestBlobsAreMissedAndFoundOrphaned(t *testing.T) {
	path, e := copyFixture(t, "blobs-bushy")
	lost := e.Blobs[0]
	e.Blobs[0].Tid-- // never was a revision
	sum, damage, warnings := run(t, check.Options{Path: path, Blobs: blobsOf(e)})
	if !slices.Equal(damage, []check.Kind{check.KindBlobMissing}) || !slices.Equal(warnings,
		[]check.Kind{check.KindBlobOrphaned}) {
		t.Errorf("without the file of oid %v: got %v, %v", lost.Oid, damage, warnings)
	}
	if sum.BlobFiles == nil || *sum.BlobFiles != int64(len(e.Blobs)) {
		t.Errorf("counted %v files", sum.BlobFiles)
	}
}

func TestBlobsOfLaterTransactionsAreNoOrphans(t *testing.T) {
	path, e := copyFixture(t, "blobs-bushy")
	e.Blobs = append(e.Blobs, e.Blobs[0])
	e.Blobs[len(e.Blobs)-1].Tid = e.LastTid + 1
	_, damage, warnings := run(t, check.Options{Path: path, Blobs: blobsOf(e)})
	if len(damage)+len(warnings) > 0 {
		t.Errorf("got %v, %v", damage, warnings)
	}
}

func TestACheckEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the operator pressed a key")
	seen := int64(0)
	_, err := check.Run(ctx, check.Options{
		FS: vfs.OS{}, Path: fixtures + "/metadata/Data.fs", Report: func(check.Finding) {},
		Progress: func(done, _ int64) {
			seen = done
			cancel(stop)
		},
	})
	if !errors.Is(err, stop) {
		t.Fatalf("got %v", err)
	}
	if e := expectation(t, fixtures+"/metadata"); seen == 0 || seen >= e.End {
		t.Fatalf("the check was at %d of %d", seen, e.End)
	}
}

func TestWhatCannotBeOpenedIsAnError(t *testing.T) {
	_, err := check.Run(t.Context(), check.Options{
		FS: vfs.OS{}, Path: filepath.Join(t.TempDir(), "Data.fs"), Report: func(f check.Finding) { t.Error(f) },
	})
	if !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
}

// A file that was cut between two transactions shows no damage.
func TestAFileThatEndsBeforeWhatWasSeenIsSuspect(t *testing.T) {
	path, _ := copyFixture(t, "undo")
	sum, _, warnings := run(t, check.Options{Path: path})
	if len(warnings) > 0 {
		t.Fatalf("without knowing anything: %v", warnings)
	}
	for seen, want := range map[zodb.Tid][]check.Kind{
		*sum.LastTid: nil, *sum.LastTid - 1: nil, *sum.LastTid + 1: {check.KindEndMissing},
	} {
		_, damage, warnings := run(t, check.Options{Path: path, Seen: seen})
		if len(damage) > 0 || !slices.Equal(warnings, want) {
			t.Errorf("%v was seen: %v, %v", seen, damage, warnings)
		}
	}
}

// So does a blob of a transaction that is after the last one of the file. One of now is of a commit that goes on, or
// of a transaction that came since the check began.
func TestABlobOfALaterTransactionMakesTheEndSuspect(t *testing.T) {
	path, _ := copyFixture(t, "undo")
	sum, _, _ := run(t, check.Options{Path: path})
	now := sum.LastTid.Time().Add(time.Hour)
	tid := func(ago time.Duration) zodb.Tid {
		tid, err := zodb.TidFromTime(now.Add(-ago))
		if err != nil {
			t.Fatal(err)
		}
		return tid
	}
	for name, c := range map[string]struct {
		blob zodb.Tid
		want []check.Kind
	}{
		"of now":                 {tid(time.Second), nil},
		"of a clock ahead":       {tid(-time.Hour), nil},
		"of half an hour before": {tid(30 * time.Minute), []check.Kind{check.KindEndMissing}},
	} {
		blobs := func(yield func(check.BlobFile, error) bool) {
			yield(check.BlobFile{Oid: 1, Tid: c.blob, Path: "blob"}, nil)
		}
		_, damage, warnings := run(t, check.Options{Path: path, Blobs: blobs, LaterBlobs: true,
			Now: func() time.Time { return now }})
		if len(damage) > 0 || !slices.Equal(warnings, c.want) {
			t.Errorf("%s: %v, %v", name, damage, warnings)
		}
	}
}

// What is in a folder that cannot be read is not known: it is one finding, and its blobs are not called missing.
func TestBlobsInAFolderThatCannotBeReadAreNotMissing(t *testing.T) {
	path, e := copyFixture(t, "blobs-bushy")
	dark := e.Blobs[0].Oid
	files := func(yield func(check.BlobFile, error) bool) {
		for f, err := range blobsOf(e) {
			if f.Oid != dark && !yield(f, err) {
				return
			}
		}
		yield(check.BlobFile{Path: "blobs/" + dark.String(), Unreadable: fs.ErrPermission}, nil)
	}
	sum, damage, warnings := run(t, check.Options{Path: path, Blobs: files,
		BlobPath: func(oid zodb.Oid, tid zodb.Tid) string { return fmt.Sprintf("blobs/%v/%v.blob", oid, tid) }})
	if !slices.Equal(damage, []check.Kind{check.KindBlobFolder}) || len(warnings) > 0 || sum.Damages != 1 {
		t.Errorf("got %v, %v, %+v", damage, warnings, sum)
	}
}
