package zeo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// A storage is a storage that clients use.
type storage struct {
	name string
	st   *filestorage.Storage
	opt  StorageOptions
	log  hclog.Logger
	keep int // transactions in recent

	unclear  atomic.Bool  // the last client could not enter, because its transactions are not cleared yet
	allowed  atomic.Int32 // an Access; changed with mu held
	follower sync.WaitGroup
	stop     func()
	life     context.Context // ends when it is withdrawn
	news     news
	telling  sync.Mutex // held while transactions are announced
	relief   relief
	last     atomic.Pointer[last]

	// mu is held, shared, while an answer about data is made and put on an outbox, and for writing while a transaction
	// becomes visible.
	mu              sync.RWMutex
	visible         zodb.Tid
	moment          *filestorage.Moment        // what is visible ends with it, see moment.go; nil: with the storage
	floor           zodb.Tid                   // who enters waits until this is visible
	announced       chan struct{}              // one slot: invalidations wait to be sent
	moved           chan struct{}              // closed, and replaced, when visible moves
	recent          []filestorage.Invalidation // the last transactions up to visible, the oldest first
	clients         map[*client]struct{}
	pendingFinishes map[zodb.Tid]pendingFinish

	seek   *seeker        // nil: nobody knows of other nodes
	users  sync.WaitGroup // of the storage: clients and packs
	closed bool           // of mu: nobody may use it any more
	failed error          // of mu: why what is not visible may never be
	stats  stats
}

// serve begins to follow st.
func serve(name string, st *filestorage.Storage, opt StorageOptions, keep int, log hclog.Logger) (*storage, error) {
	s := &storage{
		name:            name,
		st:              st,
		opt:             opt,
		log:             log,
		keep:            keep,
		news:            news{there: make(chan struct{}, 1)},
		relief:          newRelief(),
		announced:       make(chan struct{}, 1),
		moved:           make(chan struct{}),
		clients:         make(map[*client]struct{}),
		pendingFinishes: make(map[zodb.Tid]pendingFinish),
		moment:          opt.Moment,
	}
	if s.opt.HoldFor <= 0 {
		s.opt.HoldFor = defaultHoldFor
	}
	if s.opt.FallbackFor <= 0 {
		s.opt.FallbackFor = defaultFallbackFor
	}
	if opt.Elsewhere != nil {
		s.seek = newSeeker(opt.Elsewhere, s.leaderFound)
	}
	s.stats.start = time.Now()
	s.allowed.Store(int32(opt.Access))
	unwatch, err := s.begin()
	if err != nil {
		return nil, fmt.Errorf("reading the last transactions of storage %s: %w", name, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.life = ctx
	s.stop = func() { unwatch(); stop() }
	s.follower.Go(func() { s.send(ctx) })
	s.follower.Go(func() { s.relief.run(ctx) })
	if s.moment == nil {
		s.follower.Go(func() { s.follow(ctx) })
	}
	if s.seek != nil {
		s.follower.Go(func() { s.seek.run(ctx) })
	}
	return s, nil
}

// begin finds out what is visible at first, and has the storage report what is committed from then on.
func (s *storage) begin() (unwatch func(), err error) {
	if s.moment != nil {
		s.visible = s.moment.Tid
		s.recent, err = s.st.InvalidationsUpTo(context.Background(), s.visible, s.keep)
		return func() {}, err
	}
	unwatch = s.st.Watch(s.news.add) // before the last transactions are read, so that none is missed
	if s.recent, err = s.st.LastInvalidations(s.keep); err != nil {
		unwatch()
		return nil, err
	}
	if n := len(s.recent); n > 0 {
		s.visible = s.recent[n-1].Tid
	}
	return unwatch, nil
}

// withdraw disconnects all clients, stops following, and returns when nobody uses the storage any more.
func (s *storage) withdraw() {
	s.stop()
	s.follower.Wait()
	s.closeClients(errWithdrawn)
	s.users.Wait()
}

var errWithdrawn = errors.New("the storage is closed, or has another role now")

func (s *storage) closeClients(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.clients {
		c.out.close(why)
	}
}

// use keeps the storage from being withdrawn until s.users.Done is called; it reports whether that is possible.
func (s *storage) use() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.users.Add(1)
	}
	return !s.closed
}

// awaitCommitted waits until clients may see transactions up to tid. The error is that of ctx: until then, clients
// wait.
func (s *storage) awaitCommitted(ctx context.Context, tid zodb.Tid) error {
	var unanswered trouble
	for s.opt.AwaitCommitted != nil {
		err := s.opt.AwaitCommitted(ctx, tid)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
			return nil
		}
		if unanswered.worthTelling(err, time.Now()) {
			s.log.Error("commit clearance failed, retrying", "storage", s.name,
				"interval", clearPause, "error", err, "warning", warning.StorageFailed)
		}
		pause.For(ctx, clearPause)
	}
	return nil
}

// over is a context that has ended.
var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// stillCleared reports whether clients may see the transaction at this moment. It is asked with mu held, because
// readers that wait for the disk may have delayed the lock, and the first answer may be out of date.
func (s *storage) stillCleared(tid zodb.Tid) bool {
	return s.opt.AwaitCommitted == nil || s.opt.AwaitCommitted(over, tid) == nil
}

// clearPause is waited before a failed question is asked again.
const clearPause = time.Second

// oidsOf returns every oid that a transaction wrote, once.
func oidsOf(txn zodb.Transaction) ([]zodb.Oid, error) {
	var oids []zodb.Oid
	seen := make(map[zodb.Oid]struct{})
	for rec, err := range zodb.Records(txn) {
		if err != nil {
			return nil, err
		}
		if _, twice := seen[rec.Oid]; !twice {
			seen[rec.Oid] = struct{}{}
			oids = append(oids, rec.Oid)
		}
	}
	return oids, nil
}

// A pendingFinish is a commit whose client waits for the reply of tpc_finish.
type pendingFinish struct {
	c     *client
	reply func() // adds the reply to the client's outbox
	begun time.Time
}

// announce makes transactions visible to all clients in one step. It reports false, and has done nothing, when they may
// not be told now. One of the clients, if any, is here: it is not woken, since its goroutine flushes its outbox next.
func (s *storage) announce(batch []filestorage.Invalidation, here *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stillCleared(batch[len(batch)-1].Tid) {
		return false
	}
	ordered := rising(s.visible, batch)
	s.visible = batch[len(batch)-1].Tid
	s.news.done(s.visible)
	close(s.moved)
	s.moved = make(chan struct{})
	if s.recent = append(s.recent, batch...); len(s.recent) > s.keep {
		s.recent = s.recent[len(s.recent)-s.keep:]
	}
	if !ordered {
		s.startAgain()
		return true
	}
	s.stats.invalidations.Add(int64(len(batch) * len(s.clients)))
	calls := make([]*wire.Message, len(batch))
	committers := make(map[*client]struct{})
	for i := range batch {
		calls[i] = wire.Call(wire.InvalidationMethod, tidValue(batch[i].Tid), oidList(batch[i].Oids))
		if f, ok := s.pendingFinishes[batch[i].Tid]; ok {
			committers[f.c] = struct{}{}
		}
	}
	each := make([]encodings, len(batch))
	var all encodings
	for c := range s.clients {
		if _, own := committers[c]; own {
			s.announceTo(c, batch, calls, each)
			if c != here {
				c.out.wake()
			}
		} else {
			c.add(all.of(c, calls...))
		}
	}
	for i := range batch {
		delete(s.pendingFinishes, batch[i].Tid)
	}
	if len(s.clients) == len(committers) {
		return true
	}
	select {
	case s.announced <- struct{}{}:
	default: // the last one is not sent yet
	}
	return true
}

// sendPause is the least time between two rounds of sending invalidations. They gather meanwhile, in their order, and
// leave earlier where a client is sent anything else. So a client costs one write a round, however many the commits.
const sendPause = 3 * time.Millisecond

// send sends invalidations in rounds: the first at once, the others as sendPause allows.
func (s *storage) send(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-s.announced:
		case <-ctx.Done():
			return
		}
		s.wakeClients()
		pause.Reset(sendPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *storage) wakeClients() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for c := range s.clients {
		c.out.wake()
	}
}

// announceTo sends a client transactions of which it has committed some.
func (s *storage) announceTo(c *client, batch []filestorage.Invalidation, calls []*wire.Message, each []encodings) {
	for i := range batch {
		if f, ok := s.pendingFinishes[batch[i].Tid]; ok && f.c == c {
			f.reply()
			s.stats.commitTimes.Observe(time.Since(f.begun))
		} else {
			c.add(each[i].of(c, calls[i]))
		}
	}
}

// encodings has messages in each encoding that is asked for.
type encodings map[wire.Codec][]byte

func (e *encodings) of(c *client, messages ...*wire.Message) []byte {
	if *e == nil {
		*e = make(encodings)
	}
	b, ok := (*e)[c.codec]
	if !ok {
		for _, m := range messages {
			b = append(b, c.encode(m)...)
		}
		(*e)[c.codec] = b
	}
	return b
}

// enter registers a client and answers it, so that it gets everything after the tid in the answer. It reports whether
// the storage can still be used as it was a moment ago; the client keeps it open until leave.
func (s *storage) enter(c *client, m *wire.Message, readOnly, onlyReads bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !readOnly && onlyReads != (s.access() == ReadOnly) || (onlyReads || c.turned) && !s.leaderless(c) {
		return false
	}
	s.users.Add(1)
	s.clients[c] = struct{}{}
	c.storage, c.readOnly, c.onlyReads, c.entered = s, readOnly, onlyReads, s.visible
	c.logWith("storage", s.name)
	c.counters.entered.Store(&entry{storage: s.name, encoding: c.encoding, readOnly: readOnly})
	c.reply(m, tidValue(s.visible))
	return true
}

// leaderless has the seeker look on for a client that is here for want of a node to write on, and reports whether there
// is none yet. It is called with mu held.
func (s *storage) leaderless(c *client) bool {
	switch {
	case s.access() != ReadOnly:
		return false
	case s.seek == nil:
		return true
	}
	s.seek.enter()
	c.seeks = true
	if now := s.seek.view(); now.changes == c.changes && (c.turned || now.leader == "") {
		c.looksAgain = time.AfterFunc(s.opt.FallbackFor, func() { c.out.close(errLeader) })
		return true
	}
	s.seek.leave()
	c.seeks = false
	return false
}

// leave is the last that a client does with the storage.
func (s *storage) leave(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
	s.stats.received.Add(c.counters.received.Load())
	s.stats.sent.Add(c.counters.sent.Load())
	if c.seeks {
		s.seek.leave()
		c.looksAgain.Stop()
	}
	s.users.Done()
}

// view calls f with the last visible transaction, which stays that until f returns.
func (s *storage) view(f func(visible zodb.Tid)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f(s.visible)
}

// expect notes how to answer who commits tid; it must be called before the transaction is handed over.
func (s *storage) expect(c *client, tid zodb.Tid, reply func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pendingFinishes[tid] = pendingFinish{c, reply, time.Now()}
}

// lost is forget for a transaction that others may wait for. The storage takes no more: none of those that are not
// visible will be, at least not to this server.
func (s *storage) lost(tid zodb.Tid, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pendingFinishes, tid)
	s.failed = why
	close(s.moved)
	s.moved = make(chan struct{})
}

// forget takes back expect, for a transaction that was not committed.
func (s *storage) forget(tid zodb.Tid) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pendingFinishes, tid)
}

// since returns the oids written after tid, a transaction of this history, from what is remembered. A tid that is not
// remembered, although later and earlier ones are, is of another history: what its client knows may be nowhere else.
// It is called with mu held.
func (s *storage) since(tid zodb.Tid) (oids []zodb.Oid, ok bool) {
	if tid == s.visible {
		return nil, true
	}
	at := slices.IndexFunc(s.recent, func(inv filestorage.Invalidation) bool { return inv.Tid == tid })
	if at < 0 {
		return nil, false
	}
	seen := make(map[zodb.Oid]struct{})
	for _, inv := range s.recent[at+1:] {
		for _, oid := range inv.Oids {
			if _, twice := seen[oid]; !twice {
				seen[oid] = struct{}{}
				oids = append(oids, oid)
			}
		}
	}
	return oids, true
}

// await waits until tid is visible, so that what is said about it comes after its invalidation. It fails when that may
// never be.
func (s *storage) await(ctx context.Context, tid zodb.Tid) error {
	for {
		s.mu.RLock()
		reached, moved, failed := s.visible >= tid, s.moved, s.failed
		s.mu.RUnlock()
		if reached || failed != nil {
			return failed
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// maxYearsAhead is how many years a tid that a client gives may be ahead of the clock. Every later tid has to be above:
// after the last one there is, nothing could be committed any more. Files of clocks that went wrong by days or years
// are copied over ZEO all the same, as runzeo lets them.
const maxYearsAhead = 10

// maxStep is how far it may be ahead of the last transaction where that is further ahead already.
const maxStep = 24 * time.Hour

// maxGivenOid is the highest oid that a client may give to an object. It leaves as many for new ones.
const maxGivenOid zodb.Oid = math.MaxInt64

// A given is what a client itself has chosen of a transaction: the highest tid and the highest oid.
type given struct {
	tid zodb.Tid
	oid zodb.Oid
}

func (g *given) record(oid zodb.Oid, tid zodb.Tid) { g.oid, g.tid = max(g.oid, oid), max(g.tid, tid) }

// believes refuses what would leave no tids or oids for later transactions. It is asked before the vote begins: a tid
// that was given to a transaction counts, whatever becomes of that.
func (s *storage) believes(g given, now time.Time) error {
	if last := s.st.LastTid(); g.tid > last {
		bound := now.AddDate(maxYearsAhead, 0, 0)
		if step := last.Time().Add(maxStep); last != 0 && step.After(bound) {
			bound = step
		}
		if most, err := zodb.TidFromTime(bound); err != nil || g.tid > most {
			return raise(
				classStorage,
				fmt.Sprintf("the client sent tid %v, more than %d years after the server's clock and more than %v "+
					"after the last transaction %v: set the clocks right; a file with such tids can be copied, and "+
					"not sent by a client", g.tid, maxYearsAhead, maxStep, last),
			)
		}
	}
	if g.oid > maxGivenOid {
		return raise(
			classStorage,
			fmt.Sprintf("the client sent oid %v: it would leave too few oids for new objects", g.oid),
		)
	}
	return nil
}

// Tids rise along a history, but in files of clocks that were wrong: such a file is served by the order of its
// transactions. Only a secondary that fills up gets one like that while clients are connected.

// rising reports whether the tids of a batch are in order, after that of the last transaction.
func rising(last zodb.Tid, batch []filestorage.Invalidation) bool {
	for i := range batch {
		if batch[i].Tid <= last {
			return false
		}
		last = batch[i].Tid
	}
	return true
}

// startAgain disconnects all clients, because none takes an invalidation whose tid is not above the one before. What is
// new they learn when they come again. It is called with mu held.
func (s *storage) startAgain() {
	s.log.Info(
		"the tids of this history go down here: clients must reconnect",
		"storage",
		s.name,
		"last_tid",
		s.visible,
	)
	for c := range s.clients {
		c.out.close(errDown)
	}
	clear(s.pendingFinishes) // none of theirs is among what a secondary is sent
}

var errDown = errors.New("the tids of this history go down: reconnect")
