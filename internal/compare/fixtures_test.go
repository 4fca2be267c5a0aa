package compare_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/compare"
)

const fixtures = "../../testdata/filestorage"

// open opens a fixture's file for reading only, with the fixture's blobs if it has any.
func open(t *testing.T, fixture, file string) *filestorage.Storage {
	t.Helper()
	opt := filestorage.Options{ReadOnly: true}
	if dir := filepath.Join(fixtures, fixture, "blobs"); exists(dir) {
		blobs, err := blobstore.Open(dir, blobstore.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		opt.Blobs = blobs
	}
	st, err := filestorage.Open(t.Context(), filepath.Join(fixtures, fixture, file), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestFixturesCompared(t *testing.T) {
	for _, c := range []struct {
		fixture, a, b string
		field         compare.Field // "" where they are equal
	}{
		{"blobs-bushy", "Data.fs", "Data.fs", ""},
		{"plone-like", "Data.fs", "Data.fs", ""},
		{"status-u", "Data.fs", "Data.fs", ""},
		{"empty", "Data.fs", "Data.fs", ""},
		{"undo", "Data.fs", "restored-zodb60.fs", ""},
		{"packed-retained", "Data.fs", "restored.fs", ""},
		{"packed-retained", "Data.fs", "Data.fs.before", compare.FieldRecord},
		{"packed-gc", "Data.fs", "Data.fs.before", compare.FieldTransaction},
	} {
		t.Run(c.fixture+" "+c.b, func(t *testing.T) {
			res, err := compare.Run(t.Context(), open(t, c.fixture, c.a), open(t, c.fixture, c.b), compare.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if res.Equal != (c.field == "") || (res.Difference != nil && res.Difference.Field != c.field) {
				t.Errorf("got %v after %d transactions", res.Difference, res.Transactions)
			}
		})
	}
}
