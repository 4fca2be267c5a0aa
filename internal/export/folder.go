package export

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
)

// newWriter begins an export.
func newWriter(disk vfs.FS, format, path string) (writer, error) {
	switch format {
	case "sqlite":
		return newSQLite(path)
	case "jsonl", "parquet":
		return &folder{disk: disk, path: path, format: format}, disk.Mkdir(path, 0o777)
	}
	return nil, fmt.Errorf("there is no format %q", format)
}

// A folder has one file for each table, and the manifest.
type folder struct {
	disk         vfs.FS
	path, format string
}

// A growing file is written from its beginning to its end.
type growing struct {
	vfs.File
	size int64
}

func (f *growing) Write(b []byte) (int, error) {
	n, err := f.WriteAt(b, f.size)
	f.size += int64(n)
	return n, err
}

// create makes a file of the export.
func (w *folder) create(name string) (*growing, error) {
	f, err := w.disk.OpenFile(filepath.Join(w.path, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	return &growing{File: f}, err
}

// table is of writer.
func (w *folder) table(_ context.Context, name string, columns []Column) (tableWriter, error) {
	f, err := w.create(name + "." + w.format)
	if err != nil {
		return nil, err
	}
	if w.format == "parquet" {
		return newParquet(f, name, columns), nil
	}
	return newLines(f, columns), nil
}

// finish is of writer. The files of the tables are durable already.
func (w *folder) finish(_ context.Context, sum *Summary) error {
	text, err := json.MarshalIndent(sum, "", "  ")
	if err != nil {
		return err
	}
	f, err := w.create(manifest)
	if err != nil {
		return err
	}
	if _, err = f.Write(append(text, '\n')); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return w.disk.SyncDir(w.path)
}

// abort is of writer.
func (w *folder) abort() error { return nil }

// lines is a file with an object in JSON for each row.
type lines struct {
	file *growing
	buf  *bufio.Writer
	keys [][]byte // of the columns, with what is before and after
	line []byte
}

func newLines(f *growing, columns []Column) *lines {
	w := &lines{file: f, buf: bufio.NewWriterSize(f, 1<<18)}
	for i, c := range columns {
		before := byte(',')
		if i == 0 {
			before = '{'
		}
		w.keys = append(w.keys, append(append([]byte{before}, mustJSON(c.Name)...), ':'))
	}
	return w
}

// put is of tableWriter.
func (w *lines) put(_ context.Context, values []any) error {
	w.line = w.line[:0]
	for i, v := range values {
		w.line = append(w.line, w.keys[i]...)
		switch v := v.(type) {
		case json.RawMessage:
			w.line = append(w.line, v...)
		case []byte:
			w.line = append(append(append(w.line, '"'), hex.EncodeToString(v)...), '"')
		case time.Time:
			w.line = append(append(append(w.line, '"'), v.Format(time.RFC3339Nano)...), '"')
		default:
			w.line = append(w.line, mustJSON(v)...)
		}
	}
	_, err := w.buf.Write(append(w.line, "}\n"...))
	return err
}

// close is of tableWriter.
func (w *lines) close() error {
	return errors.Join(w.buf.Flush(), w.file.Sync(), w.file.Close())
}
