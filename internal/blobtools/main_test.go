package blobtools_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A site is a Data.fs with its blob directory.
type site struct {
	t          *testing.T
	data, dir  string
	store      *blobstore.Store
	st         *filestorage.Storage
	last, next zodb.Tid
}

// blobRecord is what ZODB writes of a blob.
const blobRecord = "cZODB.blob\nBlob\nq\x01.N."

const firstTid zodb.Tid = 0x0400000000000000

func newSite(t *testing.T, layout string) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, data: filepath.Join(dir, "Data.fs"), dir: filepath.Join(dir, "blobs"), next: firstTid}
	var err error
	if s.store, err = blobstore.Open(s.dir, blobstore.Options{Layout: layout}); err != nil {
		t.Fatal(err)
	}
	if s.st, err = filestorage.Open(t.Context(), s.data, filestorage.Options{Blobs: s.store}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.st.Close() })
	return s
}

// commit writes a transaction with a blob for each oid, and a plain record for each negative one.
func (s *site) commit(oids ...int) zodb.Tid {
	s.t.Helper()
	s.next += 0x1000
	txn, err := s.st.Begin(s.t.Context(), &zodb.TxnMeta{Tid: s.next, User: []byte("ann"), Description: []byte("edit")})
	for _, oid := range oids {
		if err != nil {
			break
		}
		r := &zodb.Record{Oid: zodb.Oid(max(oid, -oid)), Tid: s.next, Size: 3, Data: strings.NewReader("cx\n")}
		if oid > 0 {
			text := content(r.Oid, s.next)
			r.Size, r.Data = int64(len(blobRecord)), strings.NewReader(blobRecord)
			r.BlobSize, r.Blob = int64(len(text)), strings.NewReader(text)
		}
		err = txn.Restore(r)
	}
	if err == nil {
		_, err = txn.Finish(s.t.Context(), nil)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.last = s.next
	return s.next
}

func content(oid zodb.Oid, tid zodb.Tid) string { return fmt.Sprintf("the blob %v of %v", oid, tid) }

func (s *site) path(oid zodb.Oid, tid zodb.Tid) string {
	return filepath.Join(s.store.Folders(oid)[0], blobstore.FileName(tid))
}

func (s *site) write(path, text string, mode fs.FileMode) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		s.t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
		s.t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
