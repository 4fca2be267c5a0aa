package verify

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/internal/references"
	"github.com/zrsd/zrsd/internal/vfs"
)

// A pass runs in a node that serves clients: a panic over what is in the file ends the pass, and not the process.
func TestAPanicEndsThePassOnly(t *testing.T) {
	s := big(t, vfs.OS{}, filepath.Join(t.TempDir(), "Data.fs"))
	defer s.close()
	_, err := Run(t.Context(), Options{
		FS: s.disk, Path: s.path, Committed: s.st.Size, Progress: func(int64, int64) { panic("in the middle") },
	})
	var fault *recovered.Error
	if !errors.As(err, &fault) {
		t.Errorf("got %v, want the panic as an error", err)
	}
	sound(t, runPass(t, Options{FS: s.disk, Path: s.path, Committed: s.st.Size}))
}

// A panic over one record is an error of that record, and the others are looked at.
func TestAPanicOverARecordCostsItsReferences(t *testing.T) {
	b := &batch{buf: make([]byte, 8), records: []scanned{{from: 5, to: 1}, {from: 0, to: 8}}}
	scan(hclog.NewNullLogger(), new(references.Scanner), b)
	var fault *recovered.Error
	if !errors.As(b.records[0].err, &fault) {
		t.Errorf("got %v, want the panic as an error", b.records[0].err)
	}
	if errors.As(b.records[1].err, &fault) {
		t.Error("the next record panics, too")
	}
}
