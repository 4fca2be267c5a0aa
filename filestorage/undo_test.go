package filestorage

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/zodb"
)

// mustUndo undoes transactions in one new one.
func mustUndo(tb testing.TB, s *Storage, tids ...zodb.Tid) zodb.Tid {
	tb.Helper()
	txn := mustBegin(tb, s, &zodb.TxnMeta{})
	for _, tid := range tids {
		if _, err := txn.Undo(tb.Context(), tid); err != nil {
			tb.Fatal(err)
		}
	}
	return mustFinish(tb, txn)
}

// expectState checks what is loaded of an object; "" is for one that does not exist.
func expectState(tb testing.TB, s *Storage, oid zodb.Oid, want string) {
	tb.Helper()
	data, _, err := s.Load(oid)
	var key *zodb.POSKeyError
	if err != nil && !errors.As(err, &key) || string(data) != want {
		tb.Errorf("oid %v is %q, %v; want %q", oid, data, err, want)
	}
}

// What was undone can be undone again, any number of times, and so can creations and deletions.
func TestUndoOfUndo(t *testing.T) {
	s := emptyStorage(t, Options{})
	created := commit(t, s, 1, 0, "first")
	changed := commit(t, s, 1, created, "second")
	undone := mustUndo(t, s, changed)
	expectState(t, s, 1, "first")
	redone := mustUndo(t, s, undone)
	expectState(t, s, 1, "second")
	mustUndo(t, s, redone)
	expectState(t, s, 1, "first")
	gone := mustUndo(t, s, created) // its data are current again
	expectState(t, s, 1, "")
	back := mustUndo(t, s, gone)
	expectState(t, s, 1, "first")

	txn := mustBegin(t, s, &zodb.TxnMeta{})
	if err := txn.Delete(1, back); err != nil {
		t.Fatal(err)
	}
	deleted := mustFinish(t, txn)
	expectState(t, s, 1, "")
	mustUndo(t, s, deleted)
	expectState(t, reopen(t, s), 1, "first")
}

// Transactions that build on each other are undone together, the latest first.
func TestUndoOfSeveral(t *testing.T) {
	s := emptyStorage(t, Options{})
	first := commit(t, s, 1, 0, "first")
	second := commit(t, s, 1, first, "second")
	third := commit(t, s, 1, second, "third")
	tid := mustUndo(t, s, third, second)
	expectState(t, s, 1, "first")
	s = reopen(t, s)
	expectState(t, s, 1, "first")
	h, err := s.History(1, 9)
	if err != nil || len(h) != 4 || h[0].Tid != tid || h[1].Tid != third {
		t.Errorf("history %v, %v", h, err)
	}
}

// Undo sees what was enqueued before it and is not durable yet.
func TestUndoOfEnqueued(t *testing.T) {
	s := emptyStorage(t, Options{})
	first := commit(t, s, 1, 0, "first")
	txn := mustBegin(t, s, &zodb.TxnMeta{})
	mustStore(t, txn, 1, first, "second")
	if _, err := txn.Enqueue(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustUndo(t, s, txn.Tid())
	expectState(t, s, 1, "first")
}

// A later change is in the way, unless it led to the same data; the others of the transaction are not undone either,
// and the one that was to undo it goes on.
func TestUndoConflicts(t *testing.T) {
	s := emptyStorage(t, Options{})
	first := commit(t, s, 1, 0, "first")
	second := commit(t, s, 1, first, "second")
	other := mustBegin(t, s, &zodb.TxnMeta{})
	mustStore(t, other, 1, second, "third")
	mustStore(t, other, 2, 0, "other")
	third := mustFinish(t, other)
	same := commit(t, s, 1, third, "third")
	for name, c := range map[string]struct {
		tid  zodb.Tid
		want []zodb.UndoFailure
	}{
		"changed since":         {second, []zodb.UndoFailure{{Oid: 1, Reason: undoConflict}}},
		"created, then changed": {first, []zodb.UndoFailure{{Oid: 1, Reason: undoCreation}}},
		"same data":             {third, nil},
		"last":                  {same, nil},
	} {
		t.Run(name, func(t *testing.T) {
			txn := mustBegin(t, s, &zodb.TxnMeta{})
			defer txn.Abort()
			_, err := txn.Undo(t.Context(), c.tid)
			var failed *zodb.MultipleUndoError
			if c.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.As(err, &failed) || failed.Tid != c.tid {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, failed.Failures); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			mustStore(t, txn, 3, 0, "goes on")
			if err := txn.Vote(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// What has no data any more cannot be compared; a deletion is in the way of undoing an earlier change.
func TestUndoAfterADeletion(t *testing.T) {
	s := emptyStorage(t, Options{})
	first := commit(t, s, 1, 0, "first")
	second := commit(t, s, 1, first, "second")
	txn := mustBegin(t, s, &zodb.TxnMeta{})
	if err := txn.Delete(1, second); err != nil {
		t.Fatal(err)
	}
	mustFinish(t, txn)
	txn = mustBegin(t, s, &zodb.TxnMeta{})
	_, err := txn.Undo(t.Context(), second)
	var failed *zodb.MultipleUndoError
	if !errors.As(err, &failed) || failed.Failures[0].Reason != undoNoData {
		t.Error(err)
	}
}

// A resolver gets the three states, and what it returns becomes the new one.
func TestUndoResolved(t *testing.T) {
	unable := errors.New("not of this class")
	resolve := func(c *Conflict) ([]byte, error) {
		if c.Oid == 2 {
			return nil, unable
		}
		return []byte(strings.Join([]string{string(c.Old), string(c.Committed), string(c.New)}, "|")), nil
	}
	s := emptyStorage(t, Options{Resolve: resolve})
	tids := make([]zodb.Tid, 3)
	for i, state := range []string{"0", "1", "2"} {
		txn := mustBegin(t, s, &zodb.TxnMeta{})
		for oid := range zodb.Oid(3) {
			if i == 0 || oid == 1 {
				mustStore(t, txn, oid, tids[max(i-1, 0)], state)
			}
		}
		tids[i] = mustFinish(t, txn)
	}
	undone := mustUndo(t, s, tids[1])
	expectState(t, s, 1, "1|2|0")
	if data, err := s.LoadSerial(1, undone); err != nil || string(data) != "1|2|0" {
		t.Errorf("%q, %v", data, err)
	}

	base := commit(t, s, 2, tids[0], "1")
	commit(t, s, 2, base, "2")
	txn := mustBegin(t, s, &zodb.TxnMeta{})
	_, err := txn.Undo(t.Context(), base)
	var failed *zodb.MultipleUndoError
	if !errors.As(err, &failed) || !errors.Is(failed.Failures[0].Err, unable) {
		t.Error(err)
	}
}

// Transactions that are not there, or were packed, or count as absent, cannot be undone.
func TestUndoRefuses(t *testing.T) {
	d := newDataFile()
	for i, status := range []zodb.Status{'p', ' ', 'u', ' '} {
		d.add(zodb.Tid(10*(i+1)), status, written{oid: 1, data: []byte("x")})
	}
	s := d.storage(t)
	txn := mustBegin(t, s, &zodb.TxnMeta{Tid: 100})
	for tid, want := range map[zodb.Tid]string{
		0: undoNoTransaction, 15: undoNoTransaction, 50: undoNoTransaction, 100: undoNoTransaction,
		10: undoImpossible, 30: undoImpossible,
	} {
		_, err := txn.Undo(t.Context(), tid)
		var undo *zodb.UndoError
		if !errors.As(err, &undo) || undo.Reason != want || undo.Tid != tid {
			t.Errorf("undo of %v: %v", tid, err)
		}
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := txn.Undo(stopped, 40); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := txn.Undo(t.Context(), 40); err != nil {
		t.Error(err)
	}
	mustFinish(t, txn)
	if _, err := txn.Undo(t.Context(), 40); !errors.Is(err, zodb.ErrTransaction) {
		t.Error(err)
	}
}

// An undo that brings a blob back gives the new revision a copy; one that takes an object away gives it none.
func TestUndoOfBlobs(t *testing.T) {
	s := emptyStorage(t, Options{Blobs: openBlobs(t, t.TempDir())})
	store := func(serial zodb.Tid, content string) zodb.Tid {
		txn := mustBegin(t, s, &zodb.TxnMeta{})
		if err := txn.StoreBlob(1, serial, []byte(withBlob), strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		return mustFinish(t, txn)
	}
	expect := func(tid zodb.Tid, want string) {
		t.Helper()
		if got := readBlob(t, s, 1, tid); got != want {
			t.Errorf("blob of %v is %q, want %q", tid, got, want)
		}
	}
	first := store(0, "first")
	second := store(first, "second")
	undone := mustUndo(t, s, second)
	expect(undone, "content first")
	redone := mustUndo(t, s, undone)
	expect(redone, "content second")
	expect(mustUndo(t, s, redone, undone, second), "content first")
	gone := mustUndo(t, s, first)
	expect(gone, "missing")
	expect(mustUndo(t, s, gone), "content first")
	expect(second, "content second")
}

// Where the file of a blob is missing, its revision cannot be brought back.
func TestUndoOfAMissingBlob(t *testing.T) {
	s := emptyStorage(t, Options{Blobs: openBlobs(t, t.TempDir())})
	first := commit(t, s, 1, 0, withBlob)
	second := commit(t, s, 1, first, "plain")
	txn := mustBegin(t, s, &zodb.TxnMeta{})
	_, err := txn.Undo(t.Context(), second)
	var key *zodb.POSKeyError
	if !errors.As(err, &key) || !key.Blob || key.Tid != first {
		t.Error(err)
	}
	if err := txn.Vote(t.Context()); err == nil {
		t.Error("a transaction with half of an undo is voted for")
	}
}
