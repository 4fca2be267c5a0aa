package filestorage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

func emptyStorage(tb testing.TB, opt Options) *Storage {
	tb.Helper()
	return mustOpen(tb, filepath.Join(tb.TempDir(), "Data.fs"), opt)
}

func mustBegin(tb testing.TB, s *Storage, meta *zodb.TxnMeta) *Txn {
	tb.Helper()
	txn, err := s.Begin(tb.Context(), meta)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { txn.Abort() })
	return txn
}

func mustFinish(tb testing.TB, txn *Txn) zodb.Tid {
	tb.Helper()
	tid, err := txn.Finish(tb.Context(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return tid
}

func mustStore(tb testing.TB, txn *Txn, oid zodb.Oid, serial zodb.Tid, data string) {
	tb.Helper()
	if err := txn.Store(oid, serial, []byte(data)); err != nil {
		tb.Fatal(err)
	}
}

// commit finishes a transaction with one record.
func commit(tb testing.TB, s *Storage, oid zodb.Oid, serial zodb.Tid, data string) zodb.Tid {
	tb.Helper()
	txn := mustBegin(tb, s, &zodb.TxnMeta{})
	mustStore(tb, txn, oid, serial, data)
	return mustFinish(tb, txn)
}

// A store based on anything but the current revision is a conflict; a deletion is a revision like others.
func TestConflicts(t *testing.T) {
	s := emptyStorage(t, Options{})
	first := commit(t, s, 1, 0, "first")
	second := commit(t, s, 1, first, "second")
	txn := mustBegin(t, s, &zodb.TxnMeta{})
	var conflict *zodb.ConflictError
	if err := txn.Store(1, first, []byte("late")); !errors.As(err, &conflict) || conflict.Current != second {
		t.Errorf("store over a newer revision: %v", err)
	}
	if err := txn.Delete(1, first); !errors.As(err, &conflict) {
		t.Errorf("delete of a newer revision: %v", err)
	}
	if err := txn.CheckCurrent(1, first); !errors.As(err, &conflict) || !conflict.Read {
		t.Errorf("check of an old revision: %v", err)
	}
	var key *zodb.POSKeyError
	if err := txn.Delete(9, 0); !errors.As(err, &key) {
		t.Errorf("delete of nothing: %v", err)
	}
	if err := txn.CheckCurrent(9, 0); !errors.As(err, &key) {
		t.Errorf("check of nothing: %v", err)
	}
	if err := txn.Store(1, second, nil); !errors.Is(err, zodb.ErrEmptyData) {
		t.Errorf("empty data: %v", err)
	}
	if err := errors.Join(txn.CheckCurrent(1, second), txn.Delete(1, second)); err != nil {
		t.Fatal(err)
	}
	gone := mustFinish(t, txn)
	if _, _, err := s.Load(1); !errors.As(err, &key) {
		t.Errorf("load of a deleted object: %v", err)
	}
	if data, err := s.LoadSerial(1, second); err != nil || string(data) != "second" {
		t.Errorf("the revision before: %q, %v", data, err)
	}
	txn = mustBegin(t, s, &zodb.TxnMeta{})
	if err := txn.CheckCurrent(1, gone); !errors.As(err, &key) {
		t.Errorf("check of a deleted object: %v", err)
	}
	if err := txn.Store(1, second, []byte("late")); !errors.As(err, &conflict) || conflict.Current != gone {
		t.Errorf("store over a deletion: %v", err)
	}
	mustStore(t, txn, 1, gone, "back")
	mustFinish(t, txn)
}

// Calls outside a transaction's life are refused, and Abort is silent.
func TestLifeOfATransaction(t *testing.T) {
	s := emptyStorage(t, Options{})
	txn := mustBegin(t, s, &zodb.TxnMeta{})
	if err := txn.Vote(t.Context()); err != nil {
		t.Fatal(err)
	}
	late := func() map[string]error {
		_, enqueue := txn.Enqueue(t.Context())
		return map[string]error{
			"store": txn.Store(1, 0, []byte("x")), "delete": txn.Delete(1, 0), "check": txn.CheckCurrent(1, 0),
			"restore": txn.Restore(&zodb.Record{Oid: 1, Size: zodb.NoData}),
			"vote":    txn.Vote(t.Context()), "enqueue": enqueue,
		}
	}
	for name, err := range late() {
		if !errors.Is(err, zodb.ErrTransaction) {
			t.Errorf("%s after vote: %v", name, err)
		}
	}
	mustFinish(t, txn)
	for name, err := range late() {
		if !errors.Is(err, zodb.ErrTransaction) {
			t.Errorf("%s after finish: %v", name, err)
		}
	}
	if _, err := txn.Finish(t.Context(), nil); !errors.Is(err, zodb.ErrTransaction) {
		t.Errorf("second finish: %v", err)
	}
	if err := errors.Join(txn.Abort(), txn.Abort()); err != nil || s.LastTid() != txn.Tid() {
		t.Errorf("abort after finish: %v, last tid %v", err, s.LastTid())
	}
}

// Metadata that do not fit, a status that is none, a read-only storage and a tid that does not rise are refused, and
// the commit lock is free afterwards.
func TestBeginRefuses(t *testing.T) {
	s := emptyStorage(t, Options{})
	last := commit(t, s, 1, 0, "x")
	long := make([]byte, zodb.MaxMetaLen+1)
	var tooLong *zodb.TooLongError
	for _, meta := range []zodb.TxnMeta{{User: long}, {Description: long}, {Extension: long}} {
		if _, err := s.Begin(t.Context(), &meta); !errors.As(err, &tooLong) {
			t.Errorf("metadata too long: %v", err)
		}
	}
	for _, tid := range []zodb.Tid{1, last - 1, last} {
		if _, err := s.Begin(t.Context(), &zodb.TxnMeta{Tid: tid}); !errors.Is(err, zodb.ErrTidOrder) {
			t.Errorf("tid %v after %v: %v", tid, last, err)
		}
	}
	for _, status := range []zodb.Status{'c', 'x'} {
		if _, err := s.Begin(t.Context(), &zodb.TxnMeta{Status: status}); err == nil {
			t.Errorf("status %q was accepted", status)
		}
	}
	commit(t, s, 1, last, "y")
	ro := mustOpen(t, s.Path(), Options{ReadOnly: true})
	if _, err := ro.Begin(t.Context(), &zodb.TxnMeta{}); !errors.Is(err, zodb.ErrReadOnly) {
		t.Errorf("read-only: %v", err)
	}
}

// Begin waits for the commit lock only as long as its context lasts, and gets ErrClosed once the storage closes.
func TestBeginWaits(t *testing.T) {
	s := emptyStorage(t, Options{})
	txn := mustBegin(t, s, &zodb.TxnMeta{})
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("no patience")
	cancel(cause)
	if _, err := s.Begin(ctx, &zodb.TxnMeta{}); !errors.Is(err, cause) {
		t.Errorf("with a transaction in progress: %v", err)
	}
	var closed sync.WaitGroup
	closed.Go(func() { s.Close() })
	if _, err := s.Begin(t.Context(), &zodb.TxnMeta{}); !errors.Is(err, zodb.ErrClosed) {
		t.Errorf("while closing: %v", err)
	}
	mustStore(t, txn, 1, 0, "still in time")
	mustFinish(t, txn)
	closed.Wait()
}

// New tids follow the clock where it moves on, and else the last tid begun; those of a copy are taken as they are.
func TestTids(t *testing.T) {
	now := time.Date(2024, 5, 6, 8, 0, 1, 0, time.UTC)
	s := emptyStorage(t, Options{Now: func() time.Time { return now }})
	clock, _ := zodb.TidFromTime(now)
	txn := mustBegin(t, s, &zodb.TxnMeta{})
	if txn.Tid() != clock {
		t.Errorf("first tid %v, the clock says %v", txn.Tid(), clock)
	}
	txn.Abort()
	if tid := commit(t, s, 1, 0, "x"); tid != clock+1 {
		t.Errorf("tid after an abort %v, want %v", tid, clock+1)
	}
	if txn := mustBegin(t, s, &zodb.TxnMeta{Tid: clock + 2}); txn.Tid() != clock+2 {
		t.Errorf("given tid became %v", txn.Tid())
	} else if err := txn.Abort(); err != nil {
		t.Fatal(err)
	}
	txn = mustBegin(t, s, &zodb.TxnMeta{Tid: clock + 2}) // an aborted one may come again
	mustFinish(t, txn)
	now = now.Add(-time.Hour)
	if tid := commit(t, s, 2, 0, "x"); tid != clock+3 {
		t.Errorf("tid with a clock in the past %v, want %v", tid, clock+3)
	}
}

// f of Finish is called when the transaction is durable and not yet visible.
func TestFinishCallback(t *testing.T) {
	s := emptyStorage(t, Options{})
	txn := mustBegin(t, s, &zodb.TxnMeta{})
	mustStore(t, txn, 1, 0, "x")
	called := false
	tid, err := txn.Finish(t.Context(), func(tid zodb.Tid) {
		called = true
		if _, _, err := s.Load(1); err == nil || s.LastTid() != 0 || tid != txn.Tid() {
			t.Errorf("visible before the callback: %v, %v", tid, err)
		}
		if status := mustRead(t, s.Path())[4+16]; status != ' ' {
			t.Errorf("status is %q", status)
		}
	})
	if err != nil || !called || s.LastTid() != tid {
		t.Errorf("called %v, last tid %v, want %v: %v", called, s.LastTid(), tid, err)
	}
}

// An aborted transaction leaves nothing: no bytes, no entries, no blobs; whether it was voted or not, small or large.
func TestAbort(t *testing.T) {
	for _, size := range []int{10, 3 * outputLen} {
		for _, vote := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d bytes, voted %v", size, vote), func(t *testing.T) {
				dir := t.TempDir()
				blobs := openBlobs(t, filepath.Join(dir, "blobs"))
				s := mustOpen(t, filepath.Join(dir, "Data.fs"), Options{Blobs: blobs})
				tid := commit(t, s, 1, 0, "stays")
				before := mustRead(t, s.Path())
				txn := mustBegin(t, s, &zodb.TxnMeta{})
				mustStore(t, txn, 1, tid, strings.Repeat("x", size))
				if err := txn.StoreBlob(2, 0, []byte("blob"), strings.NewReader("content")); err != nil {
					t.Fatal(err)
				}
				if vote {
					if err := txn.Vote(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if err := txn.Abort(); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(mustRead(t, s.Path()), before) {
					t.Error("the file changed")
				}
				if empty, err := blobs.Empty(); err != nil || !empty {
					t.Errorf("blobs are left: %v", err)
				}
				if left, _ := filepath.Glob(filepath.Join(dir, "blobs/tmp/*")); len(left) > 0 {
					t.Errorf("temporary files are left: %v", left)
				}
				commit(t, s, 1, tid, "next")
			})
		}
	}
}

// Enqueued transactions build on each other before they are durable, and see what they build on. All become visible.
func TestEnqueueChain(t *testing.T) {
	s := emptyStorage(t, Options{})
	var commits []*Commit
	serial := zodb.Tid(0)
	for i := range 500 {
		txn := mustBegin(t, s, &zodb.TxnMeta{})
		data, tid, err := txn.Current(1)
		if i > 0 && (err != nil || tid != serial || string(data) != fmt.Sprint("state ", i-1)) {
			t.Fatalf("transaction %d: the current revision is %q of %v, %v", i, data, tid, err)
		}
		mustStore(t, txn, 1, serial, fmt.Sprint("state ", i))
		mustStore(t, txn, zodb.Oid(i+2), 0, "new")
		serial = txn.Tid()
		c, err := txn.Enqueue(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		commits = append(commits, c)
	}
	for _, c := range commits {
		<-c.Done()
		if err := c.Err(); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.queue.pending) != 0 || s.queue.weight != 0 {
		t.Errorf("the queue still has %d entries of weight %d", len(s.queue.pending), s.queue.weight)
	}
	if h, err := s.History(1, 1000); err != nil || len(h) != 500 {
		t.Errorf("history has %d revisions, %v", len(h), err)
	}
	s = reopen(t, s)
	if data, tid, err := s.Load(1); err != nil || tid != serial || string(data) != "state 499" {
		t.Errorf("%q, %v, %v", data, tid, err)
	}
}

// Readers beside the writer see each transaction whole or not at all, and never go back.
func TestReadersBesideTheWriter(t *testing.T) {
	s := emptyStorage(t, Options{})
	const objects, rounds = 5, 300
	write := func(serial zodb.Tid, round int) zodb.Tid {
		txn := mustBegin(t, s, &zodb.TxnMeta{})
		for oid := range zodb.Oid(objects) {
			mustStore(t, txn, oid, serial, fmt.Sprint(round))
		}
		if _, err := txn.Enqueue(t.Context()); err != nil {
			t.Fatal(err)
		}
		return txn.Tid()
	}
	tid := write(0, 0)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for last := zodb.Tid(0); ; {
				select {
				case <-stop:
					return
				default:
				}
				at := s.LastTid()
				if at < last {
					t.Errorf("last tid went back from %v to %v", last, at)
				}
				for oid := range zodb.Oid(objects) {
					_, tid, err := s.Load(oid)
					if at != 0 && (err != nil || tid < at) {
						t.Errorf("at %v oid %v is of %v, %v", at, oid, tid, err)
					}
					if rev, err := s.LoadBefore(oid, at+1); at != 0 && (err != nil || rev.Tid != at) {
						t.Errorf("before %v oid %v is %v, %v", at+1, oid, rev, err)
					}
				}
				last = at
			}
		})
	}
	for round := range rounds {
		tid = write(tid, round)
	}
	if err := s.queue.room(t.Context(), 1); err != nil { // all are there
		t.Error(err)
	}
	close(stop)
	readers.Wait()
}
