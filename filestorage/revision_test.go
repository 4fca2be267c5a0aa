package filestorage

import (
	"errors"
	"io"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// The data of a revision, and the text of its transaction, are what an iterator has, also through back pointers.
func TestRevisionsAndTextsAreThoseOfAnIterator(t *testing.T) {
	for _, name := range []string{"metadata", "undo", "undo-creation", "packed-then-commits", "extension-bytes"} {
		t.Run(name, func(t *testing.T) {
			s := openFixture(t, name, Options{})
			defer s.Close()
			it, err := s.Iterate(0, false)
			if err != nil {
				t.Fatal(err)
			}
			defer it.Close()
			for {
				txn, err := it.Next(t.Context())
				if errors.Is(err, io.EOF) {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				sameRevisions(t, s, txn)
			}
		})
	}
}

func sameRevisions(t *testing.T, s *Storage, txn zodb.Transaction) {
	t.Helper()
	m := txn.Meta()
	text := string(m.User) + string(m.Description) + string(m.Extension)
	for {
		rec, err := txn.NextRecord()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.TransactionText(rec.Oid, m.Tid); err != nil || string(got) != text {
			t.Errorf("the text at %v %v is %q, %v; want %q", rec.Oid, m.Tid, got, err, text)
		}
		b := make([]byte, 1<<20)
		n, size, err := s.ReadRevision(b, rec.Oid, m.Tid, 0)
		missing := (*zodb.POSKeyError)(nil)
		if rec.Data == nil {
			if !errors.As(err, &missing) {
				t.Errorf("%v %v has no data, and is read with %v", rec.Oid, m.Tid, err)
			}
			continue
		}
		want, failed := io.ReadAll(rec.Data)
		if failed != nil || !errors.Is(err, io.EOF) || size != int64(len(want)) || string(b[:n]) != string(want) {
			t.Errorf("%v %v has %q of %d, %v; want %q", rec.Oid, m.Tid, b[:n], size, err, want)
		}
		if _, _, err := s.ReadRevision(b, rec.Oid, m.Tid+1, 0); !errors.As(err, &missing) {
			t.Errorf("of a transaction that is not there: %v", err)
		}
	}
}
