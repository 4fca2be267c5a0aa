package integration

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/zrsd/zrsd/integration/workload"
)

// TestAnExportThatIsKilledIsWholeOrNotThere kills the real process at moments of its run, from its start to its end.
// SQLite writes by itself: under the final name there is nothing, or a whole database with all rows; and the next
// export removes what was left.
func TestAnExportThatIsKilledIsWholeOrNotThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "Data.fs")
	storage, err := workload.Open(t.Context(), data, "")
	if err == nil {
		err = errors.Join(workload.FillTwice(t.Context(), storage, workload.Set{Transactions: 300, Records: 20,
			RecordSize: 300}, 1), storage.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "site.sqlite")
	run := func(ctx context.Context) error {
		return exec.CommandContext(ctx, zrsd, "export", data, "-o", out, "--format", "sqlite").Run()
	}
	begin := time.Now()
	if err := run(within(t)); err != nil {
		t.Fatal(err)
	}
	took, rows := time.Since(begin), exportedRows(t, out)
	killed := 0
	const steps = 24
	for i := range steps {
		if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		after := took*time.Duration(i)/(steps-1) + time.Millisecond // then it is killed
		ctx, cancel := context.WithTimeout(t.Context(), after)
		failed := run(ctx)
		cancel()
		_, err := os.Stat(out)
		switch {
		case err == nil:
			if got := exportedRows(t, out); got != rows {
				t.Fatalf("under the final name are %d rows of %d", got, rows)
			}
		case failed == nil:
			t.Fatal("it has ended, and there is no export")
		default:
			killed++
		}
	}
	if killed == 0 {
		t.Error("no export was killed before its end")
	}
	if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := run(within(t)); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(out + "*")
	if err != nil || len(left) != 1 || exportedRows(t, out) != rows {
		t.Errorf("after the last one there is %v (%v)", left, err)
	}
}

// exportedRows counts the rows of a database that is whole.
func exportedRows(t *testing.T, path string) (rows int64) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var text, table string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&text); err != nil || text != "ok" {
		t.Fatalf("%s: %s (%v)", path, text, err)
	}
	if err := db.QueryRowContext(t.Context(), "SELECT rows FROM zrsd_export").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRowContext(t.Context(), "SELECT name FROM zrsd_tables LIMIT 1").Scan(&table); err != nil {
		t.Fatal(err)
	}
	var sum int64
	tables, err := db.QueryContext(t.Context(), "SELECT name, rows FROM zrsd_tables")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]int64{}
	for tables.Next() {
		var n int64
		if err := tables.Scan(&table, &n); err != nil {
			t.Fatal(err)
		}
		names[table] = n
	}
	if err := errors.Join(tables.Err(), tables.Close()); err != nil {
		t.Fatal(err)
	}
	for name, want := range names {
		var n int64
		query := fmt.Sprintf("SELECT count(*) FROM %q", name)
		if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil || n != want {
			t.Fatalf("%s has %d rows of %d (%v)", name, n, want, err)
		}
		sum += n
	}
	if sum != rows {
		t.Fatalf("%d rows are there of %d", sum, rows)
	}
	return rows
}
