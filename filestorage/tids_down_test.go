package filestorage

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/zrsd/zrsd/zodb"
)

// minute is a transaction of testdata/tids-down.
func minute(n int) zodb.Tid { return 0x03f8658000000000 + zodb.Tid(n)<<32 }

// downwards are the transactions in the order of the file.
var downwards = []zodb.Tid{
	minute(10), minute(40), minute(20), minute(41), minute(21), minute(22), minute(23), minute(30), minute(25),
}

// tidsDown opens a copy of testdata/tids-down, with or without its index.
func tidsDown(t *testing.T, indexed bool) *Storage {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "testdata", "tids-down"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "Data.fs")
	if !indexed {
		if err := os.Remove(path + ".index"); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestTransactionsAreFoundWhereTidsGoDown(t *testing.T) {
	for _, indexed := range []bool{true, false} {
		s := tidsDown(t, indexed)
		for _, tid := range downwards {
			if found, err := s.Find(t.Context(), tid); err != nil || found.Status != zodb.StatusCommitted {
				t.Errorf("%v: %v, %v", tid, found, err)
			}
		}
		if _, err := s.Find(t.Context(), minute(11)); !errors.Is(err, zodb.ErrNoTid) {
			t.Errorf("one that is not there: %v", err)
		}
	}
}

// Whoever follows goes on after the transaction that it has, wherever that stands.
func TestFollowersGoOnAfterWhatTheyHaveWhereTidsGoDown(t *testing.T) {
	s := tidsDown(t, true)
	for i, tid := range append([]zodb.Tid{0}, downwards...) {
		it, err := s.Iterate(tid, true)
		if err != nil {
			t.Fatal(err)
		}
		var got []zodb.Tid
		for it.Pending() {
			txn, err := it.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, txn.Meta().Tid)
		}
		if err := it.Close(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(downwards[i:], got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("after %v: %s", tid, diff)
		}
	}
}

// A record that an iterator returns belongs to the transaction that it returned, also when it is asked for again.
func TestAnIteratorReadsATransactionAgainByItsPlace(t *testing.T) {
	s := tidsDown(t, true)
	it, err := s.Iterate(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for _, tid := range downwards {
		txn, err := it.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		twin, err := it.(*iterator).Again()
		if err != nil {
			t.Fatal(err)
		}
		again, err := twin.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if txn.Meta().Tid != tid || again.Meta().Tid != tid {
			t.Errorf("%v and %v, want %v", txn.Meta().Tid, again.Meta().Tid, tid)
		}
		if err := twin.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The copy that replication makes is the same, byte for byte, and what is committed later is above everything.
func TestReplayingWhereTidsGoDown(t *testing.T) {
	from, to := tidsDown(t, true), emptyStorage(t, Options{})
	it, err := from.Iterate(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for {
		in, err := it.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		txn, err := to.Replay(t.Context(), in.Meta())
		if err != nil {
			t.Fatal(err)
		}
		for {
			rec, err := in.NextRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = txn.Restore(rec)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := txn.Finish(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := content(t, from), content(t, to); !bytes.Equal(a, b) {
		t.Errorf("the copy differs: %d and %d bytes", len(a), len(b))
	}
	if _, err := to.Begin(t.Context(), &zodb.TxnMeta{Tid: to.LastTid() - 1}); !errors.Is(err, zodb.ErrTidOrder) {
		t.Errorf("a client's tid below the last one: %v", err)
	}
	if _, err := to.Replay(t.Context(), &zodb.TxnMeta{Tid: to.LastTid()}); !errors.Is(err, zodb.ErrTidOrder) {
		t.Errorf("the last transaction once more: %v", err)
	}
}

func content(t *testing.T, s *Storage) []byte {
	t.Helper()
	b, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	return b[:s.Size()]
}
