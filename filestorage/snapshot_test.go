package filestorage_test

import (
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// A snapshot that is renewed grows with its file, and has its last end when a pack has put another in its place.
func TestASnapshotIsRenewedUntilAPackReplacesItsFile(t *testing.T) {
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: simdisk.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	commit := func() zodb.Tid {
		txn, err := st.Begin(t.Context(), &zodb.TxnMeta{})
		if err != nil {
			t.Fatal(err)
		}
		_, serial, _ := txn.Current(0)
		if err := txn.Store(0, serial, []byte("cpersistent.mapping\nPersistentMapping\n.}.")); err != nil {
			t.Fatal(err)
		}
		tid, err := txn.Finish(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return tid
	}
	commit()
	s, err := st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	last := commit()
	if s.Last() == last {
		t.Fatal("a snapshot grows by itself")
	}
	if current, err := s.Renew(); err != nil || !current || s.Last() != last || s.End() != st.Size() {
		t.Fatalf("after a commit: %v, %v, last %v", current, err, s.Last())
	}
	last, size := commit(), st.Size()
	if r, err := st.Pack(t.Context(), last, filestorage.PackOptions{}); err != nil || !r.Packed {
		t.Fatalf("pack: %v, %+v", err, r)
	}
	commit()
	if current, err := s.Renew(); err != nil || current || s.Last() != last || s.End() != size {
		t.Fatalf("after a pack: %v, %v, last %v, end %d", current, err, s.Last(), s.End())
	}
}
