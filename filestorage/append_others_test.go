package filestorage

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// Who attaches to the file while a group is written, of more transactions than commits ever have in one, sees what was
// committed before it, and later all of it.
func TestAttachDuringAnAppend(t *testing.T) {
	d := newDataFile()
	d.fill(10, 3, 50)
	from := len(d.bytes)
	base := *d
	s := base.storage(t)
	d.fill(3*nearEnd, 10, 30)
	a := mustAppend(t, s, AppendOptions{})
	if err := a.Write(t.Context(), d.bytes[from:]); err != nil {
		t.Fatal(err)
	}
	if info, err := s.file.Stat(); err != nil || info.Size() != int64(len(d.bytes)) {
		t.Fatalf("%d bytes are in the file, %v", info.Size(), err)
	}
	for _, want := range []int64{int64(from), int64(len(d.bytes))} {
		attached, err := Attach(t.Context(), s.Path(), AttachOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if attached.Size() != want {
			t.Errorf("attached at %d, want %d", attached.Size(), want)
		}
		if err := errors.Join(attached.Close(), a.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
}

// An attached reader, and an iterator of the storage itself, that follow an append see every transaction once.
func TestReadersDuringAnAppend(t *testing.T) {
	d := newDataFile()
	d.fill(3000, 7, 40)
	s := emptyStorage(t, Options{})
	attached, err := Attach(t.Context(), s.Path(), AttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := make(chan error)
	for _, txns := range []func(context.Context, zodb.Tid) func(func(zodb.Transaction, error) bool){
		func(ctx context.Context, after zodb.Tid) func(func(zodb.Transaction, error) bool) {
			return s.Follow(ctx, after)
		},
		func(ctx context.Context, after zodb.Tid) func(func(zodb.Transaction, error) bool) {
			return attached.Follow(ctx, after)
		},
	} {
		go func() {
			n := 0
			for txn, err := range txns(ctx, 0) {
				if err != nil {
					seen <- err
					return
				}
				if txn.Meta().Tid != d.tids[n] {
					seen <- errors.New("another transaction: " + txn.Meta().Tid.String())
					return
				}
				if n++; n == len(d.tids) {
					seen <- nil
					return
				}
			}
		}()
	}
	a := mustAppend(t, s, AppendOptions{})
	a.most.txns = 70
	for rest := d.bytes[magicLen:]; len(rest) > 0; {
		n := min(5000, len(rest))
		if err := a.Write(t.Context(), rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := errors.Join(a.Close(t.Context()), <-seen, <-seen); err != nil {
		t.Error(err)
	}
}

// Who waits for the commit lock gets it between two groups. The append continues after one that changed nothing, and
// ends where a pack has replaced the file.
func TestAppendLetsOthersBetweenGroups(t *testing.T) {
	d := newDataFile()
	d.fill(2000, 5, 100)
	half := int(d.at[1000])
	for _, c := range []struct {
		name  string
		other func(*Storage) error
		want  error
	}{
		{"a switchover that leaves tids out", func(s *Storage) error { return s.SkipTids(t.Context(), 10) }, nil},
		{"a pack", func(s *Storage) error {
			_, err := s.Pack(t.Context(), d.tids[500], PackOptions{References: toyReferences})
			return err
		}, ErrMoved},
	} {
		s := emptyStorage(t, Options{})
		if err := appendBytesOf(t, s, d.bytes[:half], half, AppendOptions{}); err != nil {
			t.Fatal(err)
		}
		a := mustAppend(t, s, AppendOptions{})
		a.most.txns = 100
		done := make(chan error)
		go func() { done <- c.other(s) }()
		for s.waiting.Load() == 0 {
			runtime.Gosched()
		}
		err := a.Write(t.Context(), d.bytes[half:])
		if !errors.Is(err, c.want) {
			t.Errorf("%s: the append: %v", c.name, err)
		}
		if err := errors.Join(<-done, a.Close(t.Context())); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.want == nil && s.LastTid() != d.last {
			t.Errorf("%s: the last transaction is %v", c.name, s.LastTid())
		}
		if oid := s.NewOid(); oid != 5 {
			t.Errorf("%s: the next oid is %v", c.name, oid)
		}
		if serial, err := s.GetTid(2); err != nil {
			t.Error(err)
		} else if tid := commit(t, s, 2, serial, "later"); tid <= d.last && c.want == nil {
			t.Errorf("%s: the next tid is %v", c.name, tid)
		}
	}
}

// An append whose context ends leaves the groups that wait for the disk to the storage: a transaction that begins
// before they are durable is based on them.
func TestATransactionAfterAnAppendThatWasLeft(t *testing.T) {
	d := newDataFile()
	d.fill(20, 5, 100)
	st := newStage(t, story{prepare: startIdle})
	first, err := st.s.Append(t.Context(), AppendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := makeOther(t)
	a, err := st.s.Append(t.Context(), o.options(st.s))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Write(t.Context(), o.bytes[a.Pos():]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for st.s.queue.hasRoom() && !st.s.queue.busy() {
			runtime.Gosched()
		}
		cancel()
	}()
	if err := a.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the append: %v", err)
	}
	txn, err := st.s.Begin(t.Context(), &zodb.TxnMeta{Tid: 100})
	if err != nil {
		t.Fatal(err)
	}
	if err := txn.Store(7, 10, []byte("based on what was before")); !errors.As(err, new(*zodb.ConflictError)) {
		t.Errorf("stored: %v", err)
	}
	if err := txn.Store(7, 90, []byte("based on what was appended")); err != nil {
		t.Error(err)
	}
	c, err := txn.Enqueue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	go st.s.syncGroups()
	<-c.Done()
	if err := c.Err(); err != nil || st.s.LastTid() != 100 {
		t.Errorf("%v, the last transaction is %v", err, st.s.LastTid())
	}
	checkIndexAgainstFile(t, "after it", st.s)
	st.end()
}
