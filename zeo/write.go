package zeo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/conflict"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zeo/commit"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// A transaction is a client's, from tpc_begin to its end.
type transaction struct {
	*commit.Transaction
	handle pickle.Value // the client's name for it
	given  given

	// While a vote runs, in a goroutine of its own, the transaction belongs to that.
	cancel context.CancelFunc // of the vote; nil: there was none, or it is known to be over
	voting sync.WaitGroup

	mu      sync.Mutex
	state   voteState
	applies bool        // while waiting: the lock is there
	since   time.Time   // when it came to this
	expiry  *time.Timer // of the commit lock
}

type voteState byte

const (
	buffering voteState = iota
	waiting             // for the commit lock, or voting
	locked              // voted, and holding the commit lock
)

func (t *transaction) set(s voteState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.enter(s)
}

func (t *transaction) is() voteState {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state
}

// awaitVote waits for a vote that runs, after giving it up if there is no need for it any more.
func (t *transaction) awaitVote(giveUp bool) {
	if t.cancel == nil {
		return
	}
	if giveUp {
		t.cancel()
	}
	t.voting.Wait()
	t.cancel()
	t.cancel = nil
}

// unlock notes that the commit lock is free.
func (c *client) unlock(t *transaction) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state == locked {
		c.storage.stats.locked.Store(0)
		if t.expiry != nil {
			t.expiry.Stop()
		}
	}
	t.enter(buffering)
}

// dropTransaction ends the transaction, if there is one, whatever it is doing.
func (c *client) dropTransaction() error {
	t := c.txn
	if t == nil {
		return nil
	}
	c.txn = nil
	t.awaitVote(true)
	var err error
	recovered.Must("aborting a transaction", func() { err = t.Abort() })
	c.unlock(t)
	c.counters.txn.Store(nil)
	c.storage.stats.active.Add(-1)
	c.storage.stats.aborts.Add(1)
	return err
}

// tpc_begin(txn, user, description, extension, tid, status)
func (c *client) begin(m *wire.Message, a *arguments) error {
	handle := a.handle()
	meta := zodb.TxnMeta{User: a.bytes("user"), Description: a.bytes("description")}
	var err error
	if meta.Extension, err = extensionArgument(a); err != nil {
		return err
	}
	if a.more() {
		meta.Tid = a.serial("tid")
	}
	if a.more() {
		if status := a.bytes("status"); len(status) == 1 { // text, or bytes from tools like zodbtools
			meta.Status = zodb.Status(status[0])
		} else {
			a.wrong("status", pickle.Bytes(status))
		}
	}
	if err := a.end(); err != nil {
		return err
	}
	if c.txn != nil {
		if same(c.txn.handle, handle) {
			c.reply(m, nil)
			return nil
		}
		return raise(classTransaction, "Multiple simultaneous tpc_begin requests from one client.")
	}
	t := &transaction{handle: handle, since: time.Now(), given: given{tid: meta.Tid}}
	opt := commit.Options{Dir: c.srv.opt.Buffers, Resolve: c.resolve, Locked: func() error {
		t.apply()
		return c.storage.writable()
	}}
	t.Transaction = commit.New(c.storage.st, meta, opt)
	c.txn = t
	c.counters.txn.Store(t)
	c.storage.stats.active.Add(1)
	c.reply(m, nil)
	return nil
}

// resolve merges records, which are data of clients: a panic over them is a conflict that was not resolved.
func (c *client) resolve(old, committed, sent []byte) (merged []byte, err error) {
	err = recovered.Do(c.logger(), "resolving a conflict", func() (err error) {
		merged, err = conflict.Resolve(old, committed, sent)
		return err
	})
	return merged, err
}

// same compares two names of transactions.
func same(a, b pickle.Value) bool {
	switch x := a.(type) {
	case int64:
		return x == b
	case fmt.Stringer: // a large integer
		y, ok := b.(fmt.Stringer)
		return ok && x.String() == y.String()
	}
	return false
}

// own checks that a call belongs to the transaction that buffers.
func (c *client) own(handle pickle.Value) error {
	switch {
	case c.txn == nil:
		return raise(classTransaction, nil, handle)
	case !same(c.txn.handle, handle):
		return raise(classTransaction, c.txn.handle, handle)
	}
	return nil
}

// buffered is the common part of all calls that only buffer: handle is the last argument. Most of them have no answer,
// so an error is reported at the vote.
func (c *client) buffered(m *wire.Message, a *arguments, f func(t *transaction) error) error {
	handle := a.handle()
	if err := a.end(); err != nil {
		return err
	}
	if err := c.own(handle); err != nil {
		return err
	}
	if c.txn.is() != buffering {
		return raise(classTransaction, "the transaction votes, or has voted")
	}
	c.txn.awaitVote(false)                                    // a vote that is answered
	if err := f(c.txn); err != nil && c.txn.Broken() == nil { // the vote says otherwise
		return err
	}
	c.reply(m, nil)
	return nil
}

// storea(oid, serial, record, txn)
func (c *client) store(m *wire.Message, a *arguments) error {
	oid, serial, record := a.oid(), a.serial("serial"), a.bytes("record")
	c.countStore()
	return c.buffered(m, a, func(t *transaction) error {
		t.given.record(oid, 0)
		if c.large != nil {
			return t.StoreRecord(oid, serial, *c.large)
		}
		return t.Store(oid, serial, c.storage.packed(record))
	})
}

// checkCurrentSerialInTransaction(oid, serial, txn)
func (c *client) check(m *wire.Message, a *arguments) error {
	oid, serial := a.oid(), a.serial("serial")
	return c.buffered(m, a, func(t *transaction) error { return t.Check(oid, serial) })
}

// deleteObject(oid, serial, txn)
func (c *client) deleteObject(m *wire.Message, a *arguments) error {
	oid, serial := a.oid(), a.serial("serial")
	c.countStore()
	return c.buffered(m, a, func(t *transaction) error { return t.Delete(oid, serial) })
}

// restorea(oid, tid, record, hint, txn)
func (c *client) restore(m *wire.Message, a *arguments) error {
	oid, tid := a.oid(), a.tid("tid")
	var record []byte
	if !a.none() {
		record = a.bytes("record")
	}
	hint := a.serial("previous tid")
	c.countStore()
	return c.buffered(m, a, func(t *transaction) error {
		t.given.record(oid, tid)
		if c.large != nil {
			return t.RestoreRecord(oid, tid, *c.large, hint)
		}
		return t.Restore(oid, tid, c.storage.packed(record), hint)
	})
}

// new_oids(n=100)
func (c *client) newOids(m *wire.Message, a *arguments) error {
	n := int64(maxOids)
	if a.more() {
		n = min(max(a.int("number"), 1), maxOids)
	}
	if err := a.end(); err != nil {
		return err
	}
	list := &pickle.List{}
	for range n {
		list.Items = append(list.Items, oidValue(c.storage.st.NewOid()))
	}
	c.reply(m, list)
	return nil
}

const maxOids = 100

// vote(txn) waits for the commit lock and applies the transaction, while the connection continues.
func (c *client) vote(m *wire.Message, a *arguments) error {
	handle := a.handle()
	if err := a.end(); err != nil {
		return err
	}
	if err := c.own(handle); err != nil {
		return err
	}
	t := c.txn
	switch t.is() {
	case waiting:
		return raise(classTransaction, "Already voting (waiting)")
	case locked:
		return raise(classTransaction, "Already voting (locked)")
	case buffering:
		t.awaitVote(false)
	}
	if err := c.storage.believes(t.given, time.Now()); err != nil {
		return err
	}
	t.set(waiting)
	var out *commit.Outcome
	var voted bool
	var err error
	recovered.Must("voting", func() { out, voted, err = t.VoteNow() })
	if voted && passed(out, err) {
		c.passed(m, t, out)
		_ = c.out.flush() // what fails ends the connection
		if !c.alone() {
			return nil
		}
		return c.syncAhead(t)
	}
	ctx, cancel := context.WithCancel(c.ctx)
	t.cancel = cancel
	s := c.storage
	s.stats.waiting.Add(1)
	t.voting.Go(func() {
		if !voted {
			out, err = t.Vote(ctx)
		}
		s.stats.waiting.Add(-1)
		c.voted(ctx, m, t, out, err)
	})
	return nil
}

// syncAhead lets the disk begin with a transaction before the client finishes it. A failure shows when it does.
func (c *client) syncAhead(t *transaction) error {
	sync := t.SyncAhead()
	if sync == nil {
		return nil
	}
	log := c.logger()
	return c.atDisk(func() {
		if err := sync(); err != nil {
			log.Error("cannot commit a transaction that has voted", "error", err, "warning", warning.StorageFailed)
		}
	})
}

// passed reports whether a vote has succeeded.
func passed(out *commit.Outcome, err error) bool { return err == nil && len(out.Conflicts) == 0 }

// passed answers a vote that has succeeded.
func (c *client) passed(m *wire.Message, t *transaction, out *commit.Outcome) {
	c.lock(t)
	c.storage.stats.resolved.Add(int64(out.Resolved))
	if !m.OneWay() {
		c.add(c.encode(wire.Reply(m.ID, oidList(out.Changed))))
	}
}

// A last is the client that has finished a transaction last, and when.
type last struct {
	c  *client
	at time.Time
}

// crowdTime is within which another client must have finished a transaction for its like to be worth waiting for: with
// them one sync serves many.
const crowdTime = time.Millisecond

// alone reports whether nobody else commits. Then the client waits for the disk itself.
func (c *client) alone() bool {
	last := c.storage.last.Load()
	return last == nil || last.c == c || time.Since(last.at) > crowdTime
}

// voted answers a vote.
func (c *client) voted(ctx context.Context, m *wire.Message, t *transaction, out *commit.Outcome, err error) {
	if passed(out, err) {
		c.passed(m, t, out)
		c.out.wake()
		return
	}
	if ctx.Err() != nil {
		t.set(buffering)
		return // given up: nobody waits for an answer
	}
	// An answer that names another transaction comes after the invalidation of that.
	var conflict *zodb.ConflictError
	switch {
	case err == nil:
		err = c.storage.await(ctx, newest(out.Conflicts))
	case errors.As(err, &conflict):
		err = errors.Join(err, c.storage.await(ctx, conflict.Current))
	}
	t.set(buffering)
	var list *pickle.List
	if err == nil {
		list, err = c.conflictList(out.Conflicts)
	}
	if err == nil {
		c.reply(m, list)
		return
	}
	c.storage.stats.conflicts.Add(1)
	if err := c.fail(m, err); err != nil {
		c.out.close(err)
	}
}

// lock notes that the client holds the commit lock, and for how long it may.
func (c *client) lock(t *transaction) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.enter(locked)
	c.storage.stats.locked.Store(time.Now().UnixMicro())
	if d := c.srv.opt.TransactionTimeout; d > 0 {
		t.expiry = time.AfterFunc(d, func() {
			c.srv.critical(c, fmt.Sprintf("Transaction timeout after %d seconds", int(d.Seconds())))
			c.out.close(errTimeout)
			_ = c.conn.Close() // the reader ends, and with it the transaction
		})
	}
}

var errTimeout = errors.New("the transaction held the commit lock for too long")

func newest(conflicts []commit.Conflict) (tid zodb.Tid) {
	for i := range conflicts {
		tid = max(tid, conflicts[i].Current)
	}
	return tid
}

// conflictList asks the client to resolve.
func (c *client) conflictList(conflicts []commit.Conflict) (*pickle.List, error) {
	list := &pickle.List{}
	for i := range conflicts {
		f := &conflicts[i]
		sent, err := c.unpacked(f.Sent)
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, dict("oid", oidValue(f.Oid),
			"serials", pickle.Tuple{tidValue(f.Current), tidValue(f.Seen)}, "data", pickle.Bytes(sent)))
	}
	return list, nil
}

// tpc_finish(txn) hands the transaction over. The reply is sent when it becomes visible.
func (c *client) finish(m *wire.Message, a *arguments) error {
	handle := a.handle()
	if err := a.end(); err != nil {
		return err
	}
	t := c.txn
	if t == nil || !same(t.handle, handle) {
		c.reply(m, nil)
		return nil
	}
	if t.is() == waiting {
		return raise(classTransaction, "tpc_finish before the vote was answered")
	}
	t.awaitVote(false)
	s := c.storage
	if err := s.writable(); err != nil {
		return err
	}
	tid, pending := t.Tid()
	if !pending {
		return raise(classTransaction, "tpc_finish without a vote")
	}
	s.expect(c, tid, func() {
		c.add(c.encode(wire.Call("info", dict("length", int64(s.st.Len()), "size", s.st.Size()))))
		if !m.OneWay() {
			c.add(c.encode(wire.Reply(m.ID, tidValue(tid))))
		}
	})
	var done *filestorage.Commit
	var err error
	recovered.Must(
		"committing a transaction",
		func() { _, done, err = t.Finish(context.WithoutCancel(c.ctx), c.alone()) },
	)
	if done == nil {
		s.forget(tid)
		return err
	}
	if err != nil {
		c.logger().Warn("removing temporary data of a transaction failed", "tid", tid, "error", err,
			"warning", warning.CleanupLeft)
	}
	s.last.Store(&last{c, time.Now()})
	c.txn = nil
	c.unlock(t)
	c.counters.commits.Add(1)
	c.counters.txn.Store(nil)
	s.stats.active.Add(-1)
	s.stats.commits.Add(1)
	if !done.Leads() {
		c.helpers.Go(func() {
			<-done.Done()
			c.committed(tid, done.Err())
		})
		return nil
	}
	relieved := c.atDisk(func() { recovered.Must("making a transaction durable", done.Finalize) })
	if c.committed(tid, done.Err()) {
		recovered.Must("announcing a transaction", func() { s.announceHere(c) })
		_ = c.out.flush() // what fails ends the connection
	}
	return relieved
}

// committed deals with the failure of a transaction that was handed over.
func (c *client) committed(tid zodb.Tid, err error) bool {
	if err != nil {
		c.storage.lost(tid, err)
		c.logger().Error("a commit failed", "tid", tid, "error", err, "warning", warning.StorageFailed)
		c.out.close(err) // whether it is there shows when the client comes again
	}
	return err == nil
}

// tpc_abort(txn) is answered with None, whatever it finds.
func (c *client) abort(m *wire.Message, a *arguments) error {
	handle := a.handle()
	if err := a.end(); err != nil {
		return err
	}
	if c.txn != nil && same(c.txn.handle, handle) {
		c.dropUpload() // one that broke off
		if err := c.dropTransaction(); err != nil {
			return err
		}
	}
	c.reply(m, nil)
	return nil
}
