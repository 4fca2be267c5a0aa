package zeoload

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

func writer(t *testing.T, c *client.Conn, size int) *Writer {
	t.Helper()
	w, err := NewWriter(c, first, size)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestCommitsAreCommitted(t *testing.T) {
	inBoth(t, func(t *testing.T, s *site) {
		t.Helper()
		ctx := within(t)
		o, err := Commits(ctx, s.clients(ctx, t, 3), first, 1000, time.Millisecond)
		if err != nil || len(o.Latencies) < 3 {
			t.Fatalf("%d commits, %v", len(o.Latencies), err)
		}
		for i := range zodb.Oid(6) {
			if _, _, err := s.storage.Load(first + i); err != nil {
				t.Error(err)
			}
		}
		if n := s.storage.Len(); n != 6 {
			t.Errorf("%d objects, want 6", n)
		}
	})
}

func TestAWriterGoesOnFromItsLastCommit(t *testing.T) {
	inBoth(t, func(t *testing.T, s *site) {
		t.Helper()
		ctx := within(t)
		w := writer(t, s.clients(ctx, t, 1)[0], 1000)
		var last zodb.Tid
		for range 3 {
			if err := w.Commit(ctx); err != nil {
				t.Fatal(err)
			}
			if w.Tid() <= last || w.Tid() != s.storage.LastTid() {
				t.Errorf("commit %v, before %v, the storage says %v", w.Tid(), last, s.storage.LastTid())
			}
			last = w.Tid()
		}
	})
}

func TestAConflictIsAnError(t *testing.T) {
	inBoth(t, func(t *testing.T, s *site) {
		t.Helper()
		ctx := within(t)
		conns := s.clients(ctx, t, 2)
		if err := writer(t, conns[0], 1000).Commit(ctx); err != nil {
			t.Fatal(err)
		}
		var conflict *zodb.ConflictError
		if err := writer(t, conns[1], 1000).Commit(ctx); !errors.As(err, &conflict) {
			t.Errorf("two writers have created the same object: %v", err)
		}
	})
}

func TestSteadyCommitsEndWhenTheyAreTold(t *testing.T) {
	ctx := within(t)
	s := start(t)
	enough := make(chan struct{})
	told := 0
	watcher, err := Dial(ctx, s.addr, true, func(zodb.Tid, []zodb.Oid) {
		if told++; told == 10 {
			close(enough)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	o, err := Steady(ctx, s.clients(ctx, t, 2), first, 1000, time.Millisecond, enough)
	if err != nil || len(o.Latencies) < 10 {
		t.Errorf("%d commits, %v", len(o.Latencies), err)
	}
}

func TestABlobIsStoredAsItIsAskedFor(t *testing.T) {
	inBoth(t, func(t *testing.T, s *site) {
		t.Helper()
		ctx := within(t)
		c := s.clients(ctx, t, 1)[0]
		for i, size := range []int64{0, 1, 1_000_000} {
			oid := first + zodb.Oid(i)
			tid, err := StoreBlob(ctx, c, oid, size)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := c.FetchBlob(ctx, oid, tid, &got); err != nil {
				t.Fatal(err)
			}
			if want := bytes.Repeat([]byte{blobByte}, int(size)); !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%d bytes came back of a blob of %d, or others", got.Len(), size)
			}
		}
	})
}
