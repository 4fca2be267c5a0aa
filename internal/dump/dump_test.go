package dump_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/internal/dump"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "rewrite the golden dumps")

const fixtures = "../../testdata/filestorage"

// blobSize knows one blob of each fixture; the others have lost theirs.
func blobSize(oid zodb.Oid, tid zodb.Tid) (int64, error) {
	if oid == 1 {
		return 300, nil
	}
	return 0, &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
}

func TestDumpsOfFixturesAreTheGoldenOnes(t *testing.T) {
	for _, name := range []string{"undo-creation", "blobs-lawn", "packed-then-commits", "status-u", "metadata",
		"crash-checkpoint"} {
		for form, printer := range map[string]func(*strings.Builder) dump.Printer{
			"txt":   func(b *strings.Builder) dump.Printer { return dump.Text(b) },
			"jsonl": func(b *strings.Builder) dump.Printer { return dump.JSON(b) },
		} {
			t.Run(name+"."+form, func(t *testing.T) {
				var out strings.Builder
				opt := dump.Options{FS: vfs.OS{}, Path: filepath.Join(fixtures, name, "Data.fs"), BlobSize: blobSize}
				if err := dump.Run(t.Context(), opt, printer(&out)); err != nil {
					t.Fatal(err)
				}
				golden(t, filepath.Join("testdata", name+"."+form), out.String())
			})
		}
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

// tids collects the transactions that are shown.
type tids struct{ seen []zodb.Tid }

func (p *tids) Transaction(t dump.Transaction) error {
	p.seen = append(p.seen, t.Tid)
	return nil
}
func (p *tids) Record(dump.Record) error { return nil }
func (p *tids) End(int64) error          { return nil }

func TestOnlyTheRangeIsShown(t *testing.T) {
	var all tids
	opt := dump.Options{FS: vfs.OS{}, Path: fixtures + "/metadata/Data.fs"}
	if err := dump.Run(t.Context(), opt, &all); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, to int }{{0, 17}, {3, 5}, {4, 4}, {17, 17}} {
		var some tids
		opt.From, opt.To = all.seen[c.from], all.seen[c.to]
		if err := dump.Run(t.Context(), opt, &some); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(all.seen[c.from:c.to+1], some.seen); diff != "" {
			t.Error(diff)
		}
	}
}

func TestADamagedFileIsShownUpToTheDamage(t *testing.T) {
	var before tids
	err := dump.Run(t.Context(), dump.Options{FS: vfs.OS{}, Path: fixtures + "/corrupt-length/Data.fs"}, &before)
	var corrupt *zodb.CorruptError
	if !errors.As(err, &corrupt) || len(before.seen) != 2 {
		t.Errorf("got %v after %d transactions", err, len(before.seen))
	}
}

// full is a printer whose disk is full.
type full struct{ tids }

var errFull = errors.New("no space left")

func (full) Record(dump.Record) error { return errFull }

func TestWhatCannotBePrintedEndsTheDump(t *testing.T) {
	opt := dump.Options{FS: vfs.OS{}, Path: fixtures + "/undo/Data.fs"}
	if err := dump.Run(t.Context(), opt, &full{}); !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := dump.Run(ctx, opt, &tids{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
