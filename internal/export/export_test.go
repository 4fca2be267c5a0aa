package export

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/internal/record"
	"github.com/zrsd/zrsd/zodb"
)

// siteFile has plone.registry, relations, intids and an own site: see site.py beside it.
const siteFile = "../inside/testdata/site.fs"

func exported(t *testing.T, opt Options) (*Summary, string) {
	t.Helper()
	opt.At = zodb.MaxTid
	opt.Output = filepath.Join(t.TempDir(), "out")
	sum, err := Export(t.Context(), siteFile, opt)
	if err != nil {
		t.Fatal(err)
	}
	return sum, opt.Output
}

// rowsOfLines reads a table of JSON lines.
func rowsOfLines(t *testing.T, folder, table string) (rows []map[string]any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, table+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		rows = append(rows, r)
	}
	return rows
}

// A Plone-like site has a table for each class. References are oid and class; a registry's trees are entries.
func TestASiteInTables(t *testing.T) {
	sum, out := exported(t, Options{Format: "jsonl", Paths: true})
	pages := rowsOfLines(t, out, "new.site.Page")
	if len(pages) != 2 {
		t.Fatalf("%d pages", len(pages))
	}
	want := map[string]any{
		"oid": "0000000000000007", "tid": "040d594c16397baa", "time": "2026-11-29T21:32:05.208877315Z",
		"path": "/folder/first", "title": "Document 0", "parent.oid": "0000000000000001",
		"parent.class": "old.site.Folder",
	}
	if diff := cmp.Diff(want, pages[0]); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	fields := 0
	for _, r := range rowsOfLines(t, out, "BTrees.OOBTree.OOBTree") {
		if r["key"] == "title" && r["path"] != "" {
			fields++
		}
	}
	if fields == 0 {
		t.Error("no entry of the registry's trees")
	}
	if _, err := os.Stat(filepath.Join(out, "old.site.Lonely.jsonl")); err == nil {
		t.Error("what the root does not lead to was exported")
	}
	var written Summary
	text, err := os.ReadFile(filepath.Join(out, manifest))
	if err == nil {
		err = json.Unmarshal(text, &written)
	}
	if diff := cmp.Diff(*sum, written); err != nil || diff != "" {
		t.Errorf("the manifest is another summary: %v\n%s", err, diff)
	}
	all, _ := exported(t, Options{Format: "jsonl", All: true, Classes: record.ClassPatterns{"old.site.Lonely"}})
	if len(all.Tables) != 1 || all.Tables[0].Rows != 4 {
		t.Errorf("all lonely objects: %+v", all.Tables)
	}
}

// All formats have the same tables, columns and rows.
func TestFormatsHaveTheSameRows(t *testing.T) {
	lines, _ := exported(t, Options{Format: "jsonl"})
	database, file := exported(t, Options{Format: "sqlite"})
	if diff := cmp.Diff(lines.Tables, database.Tables); diff != "" {
		t.Errorf("-jsonl +sqlite\n%s", diff)
	}
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	columnar, folder := exported(t, Options{Format: "parquet"})
	if diff := cmp.Diff(lines.Tables, columnar.Tables); diff != "" {
		t.Errorf("-jsonl +parquet\n%s", diff)
	}
	for _, table := range lines.Tables {
		var n int64
		if err := db.QueryRow("SELECT count(*) FROM " + quoted(table.Name)).Scan(&n); err != nil || n != table.Rows {
			t.Errorf("%s has %d rows of %d in SQLite, %v", table.Name, n, table.Rows, err)
		}
		f, err := os.Open(filepath.Join(folder, table.Name+".parquet"))
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		p, err := parquet.OpenFile(f, info.Size())
		if err != nil {
			t.Fatal(err)
		}
		if p.NumRows() != table.Rows || len(p.Schema().Columns()) != len(table.Columns) {
			t.Errorf("%s has %d rows of %d in Parquet, and columns %v", table.Name, p.NumRows(), table.Rows,
				p.Schema().Columns())
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Nothing is overwritten but an earlier export, and that only by force; what is no export never is.
func TestAnExportReplacesOnlyAnExportAndOnlyByForce(t *testing.T) {
	for _, format := range Formats {
		opt := Options{At: zodb.MaxTid, Format: format, Output: filepath.Join(t.TempDir(), "out")}
		again := func() error { _, err := Export(t.Context(), siteFile, opt); return err }
		var exists *ExistsError
		if err := again(); err != nil {
			t.Fatal(err)
		}
		if err := again(); !errors.As(err, &exists) {
			t.Errorf("%s: the second export: %v", format, err)
		}
		opt.Force = true
		if err := again(); err != nil {
			t.Errorf("%s: by force: %v", format, err)
		}
		opt.Output = t.TempDir()
		if err := again(); !errors.As(err, &exists) || exists.Export {
			t.Errorf("%s: in the place of a folder that is no export: %v", format, err)
		}
		opt.Output = filepath.Join(t.TempDir(), "Data.fs")
		if err := os.WriteFile(opt.Output, []byte("FS30"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := again(); !errors.As(err, &exists) || exists.Export {
			t.Errorf("%s: in the place of a file that is no export: %v", format, err)
		}
	}
}

// An export that ends early leaves nothing, and what an earlier one has left at the temporary name is in nobody's way.
func TestAnInterruptedExportLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, format := range Formats {
		dir := t.TempDir()
		opt := Options{At: zodb.MaxTid, Format: format, Output: filepath.Join(dir, "out")}
		if err := os.MkdirAll(opt.Output+".zrsd-new/left", 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := Export(ctx, siteFile, opt); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", format, err)
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
			t.Errorf("%s left %v, %v", format, list, err)
		}
	}
}

// What is decoded at a time is bounded in objects and in bytes, and a record that is above that is alone.
func TestABatchIsBoundedInBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Data.fs")
	st, err := filestorage.Open(t.Context(), path, filestorage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	txn, err := st.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	var oids []zodb.Oid
	for i, size := range []int{100, batchBytes / 2, batchBytes / 3, batchBytes / 3, batchBytes + 1, 100} {
		oids = append(oids, zodb.Oid(i))
		if err := txn.Store(zodb.Oid(i), 0, []byte(strings.Repeat("x", size))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := txn.Finish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := inside.OpenSurvey(t.Context(), path, zodb.MaxTid, inside.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	e, got := &exporter{survey: s}, []int{}
	for len(oids) > 0 {
		got = append(got, e.next(oids))
		oids = oids[got[len(got)-1]:]
	}
	if diff := cmp.Diff([]int{3, 1, 1, 1}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
