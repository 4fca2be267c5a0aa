package zeo

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// An elsewhere says who leads.
type elsewhere struct {
	leader atomic.Pointer[Leader]
	asked  atomic.Int64
}

// leads has a node lead, for long already. An empty name: nobody does.
func (e *elsewhere) leads(name string) { e.leader.Store(&Leader{Name: name, For: time.Hour}) }

// comes has a node lead from this moment on.
func (e *elsewhere) comes(name string) { e.leader.Store(&Leader{Name: name}) }

func (e *elsewhere) ask(context.Context) Leader {
	defer e.asked.Add(1)
	if leader := e.leader.Load(); leader != nil {
		return *leader
	}
	return Leader{}
}

// secondary starts a server whose storage is only read, on a node that may be the next to lead.
func secondary(t *testing.T, opt Options) (*site, *elsewhere) {
	t.Helper()
	e := new(elsewhere)
	return start(t, opt, StorageOptions{Access: ReadOnly, Elsewhere: e.ask, Hold: true, HoldFor: time.Hour}), e
}

// asks waits until a question that has begun from now on was answered.
func (e *elsewhere) asks(t *testing.T, s *site) {
	t.Helper()
	now := e.asked.Load()
	s.until(t, "it is asked who leads", func() bool { return e.asked.Load() > now+1 })
}

// looksAgain expects what makes ZEO's client try all its addresses anew: no last transaction, and the end.
func (p *peer) looksAgain(id int64) {
	p.t.Helper()
	if m := p.answer(id); m.Flag != 0 || m.Args != nil {
		p.t.Errorf("it is answered with %v %v", m.Flag, m.Args)
	}
	p.cut()
}

// falls registers a reader whom the server has refused as a writer.
func (s *site) falls(t *testing.T) *peer {
	t.Helper()
	p := s.dial(t, wire.M5)
	p.refused(classReadOnly, "register", "1", false)
	p.call("register", "1", true)
	return p
}

func TestAWriterWaitsWhileNobodyLeadsAndEntersWhenThisNodeDoes(t *testing.T) {
	s, e := secondary(t, Options{})
	p := s.dial(t, wire.Z5)
	answer := p.send(0, "register", "1", false)
	e.asks(t, s)
	if p.tell("ping"); s.storage("1").clientCount() > 0 { // nothing is lost of what it says meanwhile
		t.Error("it was let in")
	}
	s.SetAccess("1", Writable)
	tidIn(t, p.answer(answer).Args)
	p.commit(1, 0, "data")
}

func (s *storage) clientCount() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.clients)
}

func TestAWriterIsRefusedWhereAnotherNodeLeads(t *testing.T) {
	s, e := secondary(t, Options{})
	e.leads("a")
	p := s.dial(t, wire.Z5)
	p.refused(classReadOnly, "register", "1", false)
	if e.asked.Load() == 0 {
		t.Error("nobody was asked")
	}
}

// Other nodes may have refused it before there was a leader, and ZEO's client would not ask them again.
func TestAWriterThatHasWaitedLooksAgainWhenAnotherNodeLeads(t *testing.T) {
	s, e := secondary(t, Options{})
	p := s.dial(t, wire.M5)
	answer := p.send(0, "register", "1", false)
	e.asks(t, s)
	e.leads("b")
	p.looksAgain(answer)
}

// Where nobody answers who leads, only a client that tries all addresses again finds another leader.
func TestAWriterThatWaitsLooksAgainEveryFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		life, end := context.WithCancel(t.Context())
		s := &storage{
			opt: StorageOptions{Hold: true, HoldFor: time.Hour}, life: life,
			seek: newSeeker(new(elsewhere).ask, func() {}),
		}
		s.allowed.Store(int32(ReadOnly))
		s.follower.Go(func() { s.seek.run(life) })
		for range 2 {
			came := time.Now()
			decision, _ := s.placeFor(t.Context(), came, true)
			if waited := time.Since(came); decision != again || waited != 5*time.Second {
				t.Errorf("decided %d after %v", decision, waited)
			}
		}
		end()
		s.follower.Wait()
	})
}

func TestReadersEnterAndStayWhoeverLeads(t *testing.T) {
	s, e := secondary(t, Options{})
	reader := s.dial(t, wire.Z5)
	reader.call("register", "1", true)
	waits := s.dial(t, wire.Z5)
	answer := waits.send(0, "register", "1", false)
	e.asks(t, s)
	e.leads("b")
	waits.looksAgain(answer)
	s.SetAccess("1", Writable)
	s.SetAccess("1", ReadOnly)
	reader.call("ping")
}

func TestAFallbackReaderLooksAgainWhenTheLeaderChanges(t *testing.T) {
	for name, change := range map[string]func(*site, *elsewhere){
		"another leads": func(_ *site, e *elsewhere) { e.leads("b") },
		"the same leads again, and nobody knows that it did not": func(_ *site, e *elsewhere) { e.leads("a, again") },
		"this node leads": func(s *site, _ *elsewhere) { s.SetAccess("1", Writable) },
		"the same leads again, after nobody did": func(s *site, e *elsewhere) {
			e.leads("")
			e.asks(t, s)
			e.asks(t, s)
			e.leads("a")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, e := secondary(t, Options{})
			e.leads("a")
			p := s.falls(t)
			e.asks(t, s)
			p.call("ping")
			change(s, e)
			p.cut()
		})
	}
}

// ZEO's client takes the end of a connection before get_info is answered for the end of its first wait. So a client is
// let connect first, where it finds all that the leader has.
func TestAWriterConnectsBeforeItLooksAgainWhereEverythingIsThere(t *testing.T) {
	s, e := secondary(t, Options{})
	last := s.replicate(t)
	wait := func() (*peer, int64) {
		p := s.dial(t, wire.M5)
		answer := p.send(0, "register", "1", false)
		e.asks(t, s)
		return p, answer
	}
	connects, first := wait()
	writes, second := wait()
	e.leader.Store(&Leader{Name: "b", For: time.Hour, Last: last})

	if got := tidIn(t, connects.answer(first).Args); got != last {
		t.Errorf("it enters at %v, want %v", got, last)
	}
	if got := tidIn(t, connects.call("lastTransaction")); got != last {
		t.Errorf("the last transaction is %v, want %v", got, last)
	}
	connects.call("getInvalidations", tidValue(last))
	connects.call("get_info")
	connects.cut()

	tidIn(t, writes.answer(second).Args)
	writes.send(0, "new_oids")
	writes.cut()
}

// A client whose cache is ahead of the server ends such a connection by itself, and waits for nine seconds.
func TestAWriterDoesNotConnectFirstWhereSomethingMayBeMissing(t *testing.T) {
	for name, ahead := range map[string]zodb.Tid{"a transaction is missing": 1, "what it has is not known": 0} {
		t.Run(name, func(t *testing.T) {
			s, e := secondary(t, Options{})
			last := s.replicate(t)
			p := s.dial(t, wire.Z5)
			answer := p.send(0, "register", "1", false)
			e.asks(t, s)
			e.leader.Store(&Leader{Name: "b", For: time.Hour, Last: (last + 1) * ahead})
			p.looksAgain(answer)
		})
	}
}

// A leader that has come back may have sent the client away a moment before, and nobody else knows that it was away.
func TestAWriterIsNotRefusedWhereTheLeaderHasJustBegun(t *testing.T) {
	for name, hold := range map[string]bool{"on a node that may lead": true, "on one that never does": false} {
		t.Run(name, func(t *testing.T) {
			e := new(elsewhere)
			s := start(t, Options{}, StorageOptions{Access: ReadOnly, Elsewhere: e.ask, Hold: hold, HoldFor: time.Hour})
			e.comes("a")
			p := s.dial(t, wire.M5)
			p.looksAgain(p.send(0, "register", "1", false))
			e.leads("a")
			s.falls(t).call("ping")
		})
	}
}

// One that has come after the leader began to lead has reached it by itself if it can: it is not made to begin anew,
// which whoever waits for it in the client would be told of.
func TestAWriterThatCameLaterThanTheLeaderIsRefused(t *testing.T) {
	s, e := secondary(t, Options{})
	e.leader.Store(&Leader{Name: "a", For: time.Hour})
	s.falls(t).call("ping")
}

// The way of a client to a leader that was there all the time may have been cut.
func TestAFallbackReaderLooksAgainAfterAWhile(t *testing.T) {
	e := new(elsewhere)
	s := start(t, Options{}, StorageOptions{Access: ReadOnly, Elsewhere: e.ask, Hold: true, FallbackFor: 1})
	e.leads("a")
	p := s.dial(t, wire.M5)
	p.refused(classReadOnly, "register", "1", false)
	p.send(0, "register", "1", true)
	p.cut()
}

func TestANodeThatNeverLeadsRefusesWritersAndSendsFallbackReadersAway(t *testing.T) {
	e := new(elsewhere)
	s := start(t, Options{}, StorageOptions{Access: ReadOnly, Elsewhere: e.ask})
	p := s.falls(t)
	e.asks(t, s)
	p.call("ping")
	e.leads("a")
	p.cut()
}

func TestWhoWaitsIsCountedAsARegisteredClient(t *testing.T) {
	s, e := secondary(t, Options{MaxUnregistered: 1, MaxClients: 3})
	var answers []int64
	var all []*peer
	for range 3 {
		p := s.dial(t, wire.Z5)
		all, answers = append(all, p), append(answers, p.send(0, "register", "1", false))
		e.asks(t, s)
	}
	s.turnedAway(t)
	s.SetAccess("1", Writable)
	for i, p := range all {
		tidIn(t, p.answer(answers[i]).Args)
	}
}

func TestAClientThatGoesWhileItWaitsIsForgotten(t *testing.T) {
	s, e := secondary(t, Options{})
	p := s.dial(t, wire.Z5)
	p.send(0, "register", "1", false)
	e.asks(t, s)
	_ = p.conn.Close()
	s.until(t, "it is forgotten", func() bool { return len(s.Clients()) == 0 })
}

func TestAClientThatWaitsMaySayThatItIsThere(t *testing.T) {
	s, e := secondary(t, Options{})
	p := s.dial(t, wire.M5)
	answer := p.send(0, "register", "1", false)
	for range 3 {
		b, err := p.codec.Append(nil, &wire.Message{ID: int64(-1), Flag: 0, Method: ".reply"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.conn.Write(b); err != nil {
			t.Fatal(err)
		}
		e.asks(t, s)
	}
	s.SetAccess("1", Writable)
	tidIn(t, p.answer(answer).Args)
	p.call("ping")
}

// replicate adds a transaction that came from elsewhere, and returns its tid.
func (s *site) replicate(t *testing.T) zodb.Tid {
	t.Helper()
	replicated, err := s.st.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	tid, err := replicated.Finish(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

// letIn registers a writer where nobody leads, and looks again for as long as it is sent to.
func (s *site) letIn(t *testing.T) *peer {
	t.Helper()
	s.replicate(t)
	for sent := 0; ; sent++ {
		p := s.dial(t, wire.Z5)
		if p.call("register", "1", false) == nil {
			p.cut()
			continue
		}
		if sent == 0 {
			t.Error("it was let in before a node that leads could have greeted it")
		}
		return p
	}
}

// A client with a fallback may read for as long as it takes; one without would not come back if it was refused.
func TestWritersAreAdmittedAsReadersWhenNobodyLeadsForLong(t *testing.T) {
	e := new(elsewhere)
	s := start(t, Options{}, StorageOptions{Access: ReadOnly, Elsewhere: e.ask, Hold: true, HoldFor: 1})
	p := s.letIn(t)
	p.stored(1, 0, "data")
	p.refused(classReadOnly, "vote", handle)
	p.call("tpc_abort", handle)
	s.SetAccess("1", Writable)
	p.commit(1, 0, "data")
}

func TestWritersThatReadMeanwhileLookAgainWhenAnotherNodeLeads(t *testing.T) {
	e := new(elsewhere)
	s := start(t, Options{}, StorageOptions{Access: ReadOnly, Elsewhere: e.ask, Hold: true, HoldFor: 1})
	p := s.letIn(t)
	e.leads("b")
	p.cut()
}

// The first transaction of an epoch is there before anybody is let in, in either role: a client whose cache is above
// that would not come back.
func TestWhoEntersSeesWhatWasThereWhenTheNodeBeganToLead(t *testing.T) {
	g := newBarrier()
	s := start(t, Options{}, StorageOptions{Access: ReadOnly, AwaitCommitted: g.cleared})
	txn, err := s.st.Begin(t.Context(), &zodb.TxnMeta{Description: []byte("an epoch begins")})
	if err != nil {
		t.Fatal(err)
	}
	first, err := txn.Finish(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.SetAccess("1", Writable)
	p, q := s.dial(t, wire.Z5), s.dial(t, wire.Z5)
	writer, reader := p.send(0, "register", "1", false), q.send(0, "register", "1", true)
	g.open(first)
	if got := tidIn(t, p.answer(writer).Args); got != first {
		t.Errorf("a writer enters at %v, want %v", got, first)
	}
	if got := tidIn(t, q.answer(reader).Args); got != first {
		t.Errorf("a reader enters at %v, want %v", got, first)
	}
}

func TestAStorageThatIsBeingOpenedAgainIsNotUnknown(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	s.withdraw()
	p := s.dial(t, wire.Z5)
	p.looksAgain(p.send(0, "register", "1", false))
	q := s.dial(t, wire.Z5)
	q.refused(classValue, "register", "another", false)
}

// A client that came just before its storage was closed, to be opened again, does not wait for answers that nobody
// gives any more.
func TestAWriterWhoseStorageIsBeingOpenedAgainLooksAgain(t *testing.T) {
	s, _ := secondary(t, Options{})
	st := s.storage("1")
	s.withdraw()
	if decision, _ := st.placeFor(t.Context(), time.Now(), true); decision != again {
		t.Errorf("decided %d", decision)
	}
}

func TestInvalidationsAreToldOnlySinceATransactionOfThisHistory(t *testing.T) {
	s := start(t, Options{Recent: 4}, StorageOptions{})
	p, _ := s.register(t)
	var tids []zodb.Tid
	for i := range 8 {
		tids = append(tids, p.commit(zodb.Oid(i+1), 0, "data"))
	}
	last := tids[len(tids)-1]
	for i, tid := range tids {
		got, ok := p.call("getInvalidations", tidValue(tid)).(pickle.Tuple)
		if !ok || tidIn(t, got[0]) != last || len(oidsIn(got[1])) != len(tids)-1-i {
			t.Errorf("since transaction %d: %v", i, got)
		}
	}
	for name, tid := range map[string]zodb.Tid{
		"none": 0, "before the first": tids[0] - 1, "between two that are remembered": last - 1,
		"between two that are not": tids[1] - 1, "above the last": last + 1, "the last that there can be": maxTid,
	} {
		if got := p.call("getInvalidations", tidValue(tid)); got != nil {
			t.Errorf("%s: since %v: %v", name, tid, got)
		}
	}
}

func oidsIn(v pickle.Value) []pickle.Value {
	switch v := v.(type) {
	case pickle.Tuple:
		return v
	case *pickle.List:
		return v.Items
	}
	return nil
}

// What is durable and not told yet is no reason to say that somebody knows it.
func TestInvalidationsEndWithWhatMayBeTold(t *testing.T) {
	g := newBarrier()
	s := start(t, Options{Recent: 1}, StorageOptions{AwaitCommitted: g.cleared})
	g.open(1)
	p, _ := s.register(t)
	var tids []zodb.Tid
	for i := range 3 {
		answer := p.finishing(zodb.Oid(i+1), 0, "data")
		g.open(maxTid)
		tids = append(tids, tidIn(t, p.answer(answer).Args))
	}
	g.open(tids[2])
	p.finishing(9, 0, "not told")
	s.until(t, "it is durable", func() bool { return s.st.LastTid() > tids[2] })
	q, _ := s.register(t)
	got, ok := q.call("getInvalidations", tidValue(tids[0])).(pickle.Tuple)
	if !ok || tidIn(t, got[0]) != tids[2] || len(oidsIn(got[1])) != 2 {
		t.Errorf("got %v, want two objects up to %v", got, tids[2])
	}
	if got := q.call("getInvalidations", tidValue(s.st.LastTid())); got != nil {
		t.Errorf("since what is not told yet: %v", got)
	}
	g.open(maxTid)
}

// A client whose cache is ahead of the server, which is an older copy then, goes without a word: only the log here can
// say what an operator may do.
func TestAClientThatLeavesAtOnceIsExplainedInTheLog(t *testing.T) {
	var log syncBuilder
	s := start(t, Options{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})}, StorageOptions{})
	for range 20 {
		p, _ := s.register(t)
		_ = p.conn.Close()
		s.until(t, "it is forgotten", func() bool { return len(s.Clients()) == 0 })
	}
	p, _ := s.register(t)
	p.call("ping")
	_ = p.conn.Close()
	s.stop()
	if n := strings.Count(log.String(), ".zec"); n != 1 {
		t.Errorf("%d lines about a cache:\n%s", n, log.String())
	}
}

func TestAClientThatHasAskedForSomethingMayLeave(t *testing.T) {
	var log syncBuilder
	s := start(t, Options{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})}, StorageOptions{})
	for _, method := range []string{"ping", "get_info"} {
		p, _ := s.register(t)
		p.call(method)
		_ = p.conn.Close()
	}
	s.stop()
	if strings.Contains(log.String(), ".zec") {
		t.Errorf("it says:\n%s", log.String())
	}
}

// A client that is kept waiting does not register at another server meanwhile. Here it waits for what may not be told.
func TestWhoCannotEnterYetTriesTheOthersFirst(t *testing.T) {
	open := start(t, Options{}, StorageOptions{})
	w, _ := open.register(t)
	w.commit(1, 0, "of a primary that was lost")
	open.stop()
	g := newBarrier()
	s := offer(t, open.st, Options{}, StorageOptions{Access: ReadOnly, AwaitCommitted: g.cleared})
	p := s.dial(t, wire.Z5)
	p.looksAgain(p.send(0, "register", "1", true))
	if !s.storage("1").unclear.Load() {
		t.Error("the next one is greeted as early as by others")
	}
	g.open(maxTid)
	q := s.dial(t, wire.Z5)
	q.call("register", "1", true)
	if s.storage("1").unclear.Load() {
		t.Error("the next one is greeted late")
	}
}

// A copy that has nothing yet would look like a new database.
func TestNobodyIsAdmittedToReadNothing(t *testing.T) {
	e := new(elsewhere)
	s := start(t, Options{}, StorageOptions{Access: ReadOnly, Elsewhere: e.ask, Hold: true, HoldFor: 1})
	for range 3 {
		p := s.dial(t, wire.Z5)
		p.looksAgain(p.send(0, "register", "1", false))
	}
}
