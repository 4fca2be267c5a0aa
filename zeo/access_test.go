package zeo

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// A barrier is a Cleared that opens up to a transaction when the test says so.
type barrier struct {
	mu    sync.Mutex
	upTo  zodb.Tid
	moved chan struct{}
	asked chan zodb.Tid // for what it was asked
}

func newBarrier() *barrier {
	return &barrier{moved: make(chan struct{}), asked: make(chan zodb.Tid, 100)}
}

func (g *barrier) open(upTo zodb.Tid) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.upTo = upTo
	close(g.moved)
	g.moved = make(chan struct{})
}

func (g *barrier) cleared(ctx context.Context, tid zodb.Tid) error {
	g.asked <- tid
	for {
		g.mu.Lock()
		open, moved := g.upTo >= tid, g.moved
		g.mu.Unlock()
		if open {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// finishing sends the messages of a commit up to tpc_finish, whose answer is still to come.
func (p *peer) finishing(oid zodb.Oid, serial zodb.Tid, data string) (answer int64) {
	p.t.Helper()
	p.stored(oid, serial, data)
	p.call("vote", handle)
	return p.send(0, "tpc_finish", handle)
}

func TestNobodySeesACommitBeforeItIsCleared(t *testing.T) {
	g := newBarrier()
	s := start(t, Options{}, StorageOptions{AwaitCommitted: g.cleared})
	writer, _ := s.register(t)
	g.open(1)
	reader, before := s.register(t)
	for len(g.asked) > 0 {
		<-g.asked
	}
	answer := writer.finishing(1, 0, "data")
	tid := <-g.asked // it is durable, and waits
	if last := tidIn(t, reader.call("lastTransaction")); last != before {
		t.Errorf("a reader sees %v", last)
	}
	if later, last := s.register(t); last != before {
		t.Errorf("who comes now sees %v", last)
		later.cut()
	}
	if s.st.LastTid() != tid {
		t.Errorf("the storage has %v, asked was for %v", s.st.LastTid(), tid)
	}
	g.open(tid)
	if got := tidIn(t, writer.answer(answer).Args); got != tid {
		t.Errorf("committed %v, want %v", got, tid)
	}
	if data, _ := reader.current(1); data != "data" {
		t.Errorf("read %q", data)
	}
}

func TestOthersVoteWhileACommitWaits(t *testing.T) {
	g := newBarrier()
	g.open(1)
	s := start(t, Options{}, StorageOptions{AwaitCommitted: g.cleared})
	one, _ := s.register(t)
	two, _ := s.register(t)
	first := one.finishing(1, 0, "one")
	second := two.finishing(2, 0, "two")
	g.open(maxTid)
	a, b := tidIn(t, one.answer(first).Args), tidIn(t, two.answer(second).Args)
	if a >= b {
		t.Errorf("committed %v and %v", a, b)
	}
}

func TestAfterAStartNobodyIsAdmittedBeforeWhatIsThereIsCleared(t *testing.T) {
	open := start(t, Options{}, StorageOptions{})
	p, _ := open.register(t)
	tid := p.commit(1, 0, "before the crash")
	open.stop()
	g := newBarrier()
	s := offer(t, open.st, Options{}, StorageOptions{AwaitCommitted: g.cleared})
	q := s.dial(t, "Z5")
	answer := q.send(0, "register", "1", false)
	if asked := <-g.asked; asked != tid {
		t.Errorf("asked for %v, want %v", asked, tid)
	}
	g.open(tid)
	if got := tidIn(t, q.answer(answer).Args); got != tid {
		t.Errorf("it is let in at %v", got)
	}
}

func TestAServerEndsWhileCommitsWait(t *testing.T) {
	g := newBarrier()
	g.open(1)
	s := start(t, Options{}, StorageOptions{AwaitCommitted: g.cleared})
	p, _ := s.register(t)
	for len(g.asked) > 0 {
		<-g.asked
	}
	p.finishing(1, 0, "data")
	<-g.asked
	q := s.dial(t, "Z5") // and one waits to be let in
	g.open(0)
	q.send(0, "register", "1", true)
	s.stop()
	p.cut()
	q.cut()
}

func TestAFrozenStorageIsReadAndRefusesCommits(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	p, _ := s.register(t)
	first := p.commit(1, 0, "data")
	s.SetAccess("1", Frozen)
	p.stored(1, first, "more")
	p.refused(classReadOnly, "vote", handle)
	p.call("tpc_abort", handle)
	if data, _ := p.current(1); data != "data" {
		t.Errorf("read %q", data)
	}
	s.SetAccess("1", Writable)
	p.commit(1, first, "more")
}

func TestATransactionThatVotedBeforeTheFreezeIsNotFinished(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	p, _ := s.register(t)
	p.stored(1, 0, "data")
	p.call("vote", handle)
	s.SetAccess("1", Frozen)
	p.refused(classReadOnly, "tpc_finish", handle)
	p.call("tpc_abort", handle)
	if last := s.st.LastTid(); last != 0 {
		t.Errorf("it committed %v", last)
	}
}

func TestWritersAreSentAwayWhenTheStorageIsOnlyRead(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	writer, _ := s.register(t)
	reader := s.dial(t, "Z5")
	reader.call("register", "1", true)
	s.SetAccess("1", ReadOnly)
	writer.cut()
	reader.call("lastTransaction")
	again := s.dial(t, "Z5")
	again.refused(classReadOnly, "register", "1", false)
	s.SetAccess("1", Writable)
	again.call("register", "1", false)
}

// Between the look at the lease and the telling lies a lock, for which readers that wait for the disk may make us wait.
// So it is looked at again when the lock is there.
func TestWhatWasClearedBeforeTheLockIsAskedForAgain(t *testing.T) {
	g := newBarrier()
	var armed, ended atomic.Bool
	again := make(chan zodb.Tid, 1)
	s := start(t, Options{}, StorageOptions{AwaitCommitted: func(ctx context.Context, tid zodb.Tid) error {
		if ended.Load() && ctx.Err() == nil {
			select {
			case again <- tid:
			default:
			}
		}
		err := g.cleared(ctx, tid)
		if err == nil && armed.CompareAndSwap(true, false) {
			g.open(0) // the lease ends after the look at it
			ended.Store(true)
		}
		return err
	}})
	g.open(maxTid)
	writer, _ := s.register(t)
	reader, before := s.register(t)
	armed.Store(true)
	answer := writer.finishing(1, 0, "data")
	var tid zodb.Tid
	select {
	case tid = <-again: // with the lock it was not told, and it is waited again
	case <-time.After(patience):
		t.Fatal("it was told without a look with the lock")
	}
	if last := tidIn(t, reader.call("lastTransaction")); last != before {
		t.Errorf("a reader sees %v outside of the lease", last)
	}
	g.open(tid)
	if got := tidIn(t, writer.answer(answer).Args); got != tid {
		t.Errorf("committed %v, want %v", got, tid)
	}
}
