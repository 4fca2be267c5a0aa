package export

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver
)

// A database is an export as one SQLite file. It is written without a journal: until it is complete nobody reads it.
//
//	zrsd_export    source, format, tid, time, objects, rows, all_unread
//	zrsd_tables    name, classes (JSON), objects, rows
//	zrsd_unread    oid, class, why
type database struct {
	path string
	db   *sql.DB
}

func newSQLite(path string) (writer, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, err
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	name := url.URL{Scheme: "file", Path: whole, RawQuery: "_pragma=journal_mode(off)&_pragma=synchronous(off)"}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &database{path, db}, nil
}

// table is of writer.
func (w *database) table(ctx context.Context, name string, columns []Column) (tableWriter, error) {
	var defined, places []string
	for _, c := range columns {
		defined = append(defined, quoted(c.Name)+" "+sqliteType[c.Type])
		places = append(places, "?")
	}
	create := "CREATE TABLE " + quoted(name) + " (" + strings.Join(defined, ", ") + ")" //nolint:gosec // quoted
	if _, err := w.db.ExecContext(ctx, create); err != nil {
		return nil, fmt.Errorf("create table %s: %w", name, err)
	}
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	statement := "INSERT INTO " + quoted(name) + " VALUES (" + strings.Join(places, ", ") + ")" //nolint:gosec // quoted
	insert, err := tx.PrepareContext(ctx, statement)
	if err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return &inserts{tx: tx, insert: insert}, nil
}

// quoted is a name as SQL takes it, whatever is in it.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// sqliteType are the types of columns. SQLite has none for times: they are texts that its functions understand.
var sqliteType = map[Type]string{
	Boolean: "BOOLEAN", Integer: "INTEGER", Double: "REAL", Text: "TEXT", Timestamp: "TEXT", Bytes: "BLOB",
	JSON: "TEXT",
}

// inserts fill a table, in one transaction.
type inserts struct {
	tx     *sql.Tx
	insert *sql.Stmt
	failed bool
}

// put is of tableWriter.
func (w *inserts) put(ctx context.Context, values []any) error {
	for i, v := range values {
		switch v := v.(type) {
		case time.Time:
			values[i] = v.Format("2006-01-02 15:04:05.000000")
		case json.RawMessage:
			values[i] = string(v)
		}
	}
	_, err := w.insert.ExecContext(ctx, values...)
	w.failed = w.failed || err != nil
	return err
}

// close is of tableWriter.
func (w *inserts) close() error {
	if w.failed {
		return errors.Join(w.insert.Close(), w.tx.Rollback())
	}
	return errors.Join(w.insert.Close(), w.tx.Commit())
}

// finish is of writer.
func (w *database) finish(ctx context.Context, sum *Summary) error {
	if err := w.summary(ctx, sum); err != nil {
		return err
	}
	if err := w.db.Close(); err != nil {
		return err
	}
	return syncFile(w.path)
}

func (w *database) summary(ctx context.Context, sum *Summary) error {
	for _, create := range []string{
		"CREATE TABLE zrsd_export (source TEXT, format TEXT, tid TEXT, time TEXT, objects INTEGER, rows INTEGER, " +
			"all_unread INTEGER)",
		"CREATE TABLE zrsd_tables (name TEXT, classes TEXT, objects INTEGER, rows INTEGER)",
		"CREATE TABLE zrsd_unread (oid TEXT, class TEXT, why TEXT)",
	} {
		if _, err := w.db.ExecContext(ctx, create); err != nil {
			return err
		}
	}
	_, err := w.db.ExecContext(ctx, "INSERT INTO zrsd_export VALUES (?, ?, ?, ?, ?, ?, ?)", sum.Source, sum.Format,
		sum.Tid.String(), sum.Time.Format("2006-01-02 15:04:05.000000"), sum.Objects, sum.Rows, sum.UnreadAll)
	for _, t := range sum.Tables {
		if err == nil {
			_, err = w.db.ExecContext(ctx, "INSERT INTO zrsd_tables VALUES (?, ?, ?, ?)", t.Name,
				string(mustJSON(t.Classes)), t.Objects, t.Rows)
		}
	}
	for _, u := range sum.Unread {
		if err == nil {
			_, err = w.db.ExecContext(ctx, "INSERT INTO zrsd_unread VALUES (?, ?, ?)", u.Oid.String(), u.Class, u.Why)
		}
	}
	return err
}

// abort is of writer.
func (w *database) abort() error { return w.db.Close() }
