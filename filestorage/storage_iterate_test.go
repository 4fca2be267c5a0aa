package filestorage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// commitText commits one record and returns the tid.
func commitText(t *testing.T, s *Storage, oid zodb.Oid, text string) zodb.Tid {
	t.Helper()
	txn, err := s.Begin(t.Context(), &zodb.TxnMeta{User: []byte("user")})
	if err != nil {
		t.Fatal(err)
	}
	serial, err := s.GetTid(oid)
	if missing := (*zodb.POSKeyError)(nil); err != nil && !errors.As(err, &missing) {
		t.Fatal(err)
	}
	if err := txn.Store(oid, serial, []byte(text)); err != nil {
		t.Fatal(err)
	}
	tid, err := txn.Finish(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

// An iterator of a storage follows its commits, and Find and Count know them; Close ends the waiting.
func TestStorageIterate(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "Data.fs"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	it, err := s.Iterate(0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	var tids []zodb.Tid
	for i := range 20 {
		want := fmt.Sprint("state ", i)
		tid := commitText(t, s, zodb.Oid(i%3), want)
		tids = append(tids, tid)
		txn, err := it.Next(t.Context())
		if err != nil || txn.Meta().Tid != tid {
			t.Fatalf("transaction %d: %v", i, err)
		}
		rec, err := txn.NextRecord()
		if err != nil || rec.HasPrev != (i >= 3) {
			t.Fatalf("record: %+v, %v", rec, err)
		}
		if got, err := io.ReadAll(rec.Data); string(got) != want || err != nil {
			t.Errorf("data %q, %v", got, err)
		}
		if found, err := s.Find(t.Context(), tid); err != nil || found.Status != zodb.StatusCommitted {
			t.Errorf("%+v, %v", found, err)
		}
	}
	if n, upTo, err := s.Count(t.Context(), tids[4]); n != 15 || upTo != tids[19] || err != nil {
		t.Errorf("%d transactions up to %v, %v", n, upTo, err)
	}
	if rest, err := s.Iterate(tids[17], false); err != nil {
		t.Error(err)
	} else {
		expectTids(t, rest, tids[18:]...)
		if _, err := rest.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("after the last: %v", err)
		}
	}
	done := make(chan error)
	go func() {
		_, err := it.Next(t.Context())
		done <- err
	}()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, zodb.ErrClosed) {
		t.Errorf("the waiting iterator got %v", err)
	}
}

// Transactions ranges over what there is, Follow also over what comes, until it is told not to; neither holds the file
// for longer.
func TestARangeOverAStorageEndsAndLetsTheFileGo(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "Data.fs"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before := s.holders.Load()
	want := []zodb.Tid{commitText(t, s, 1, "a"), commitText(t, s, 1, "b")}
	var got []zodb.Tid
	for txn, err := range s.Transactions(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, txn.Meta().Tid)
	}
	if !slices.Equal(got, want) {
		t.Errorf("transactions %v, want %v", got, want)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	got = nil
	for txn, err := range s.Follow(ctx, want[0]) {
		if err != nil {
			if !errors.Is(err, io.ErrNoProgress) || txn != nil {
				t.Errorf("the end of a range that follows: %v, %v", txn, err)
			}
			break
		}
		if got = append(got, txn.Meta().Tid); len(got) == 1 {
			want = append(want, commitText(t, s, 1, "c"))
		} else {
			cancel(io.ErrNoProgress)
		}
	}
	if !slices.Equal(got, want[1:]) {
		t.Errorf("followed %v, want %v", got, want[1:])
	}
	for range s.Follow(t.Context(), 0) {
		break
	}
	if n := s.holders.Load(); n != before {
		t.Errorf("%d hold the file, before there were %d", n, before)
	}
}
