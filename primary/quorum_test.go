package primary

import (
	"context"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A standIn is one secondary as the test knows it.
type standIn struct {
	id, name  string
	disk      zodb.Tid // up to where it has everything
	told      zodb.Tid // up to where it has said that it has
	connected bool
}

// haveUpTo counts the secondaries of the rule for which have is at least tid.
func haveUpTo(rule protocol.SyncRule, all []*standIn, tid zodb.Tid, have func(*standIn) zodb.Tid) (n int) {
	for _, s := range all {
		if (rule.Names == nil || slices.Contains(rule.Names, s.name)) && have(s) >= tid {
			n++
		}
	}
	return n
}

// Whatever comes in which order, and whoever comes back with less or is made anew under its name: when something
// becomes synced it is on as many disks as are required, what is synced stays so, and what as many have told of is.
func TestWhatIsSyncedIsOnEnoughSecondaries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := protocol.SyncRule{Required: rapid.IntRange(1, 3).Draw(t, "required")}
		if rapid.Bool().Draw(t, "named") {
			rule.Names = []string{"a", "b", "c"}
		}
		q := newQuorum(rule, false)
		var all []*standIn
		for _, name := range []string{"a", "b", "c", "d"} {
			all = append(all, &standIn{id: name + "0", name: name})
		}
		const most = 20
		before := zodb.Tid(0)
		for step := range rapid.IntRange(1, 80).Draw(t, "steps") {
			one := rapid.SampledFrom(all).Draw(t, "who")
			if one.disk < most {
				one.disk += zodb.Tid(rapid.IntRange(0, 3).Draw(t, "more")) // whether it tells or not
			}
			switch rapid.SampledFrom([]string{"connects", "tells", "tells", "goes", "loses", "is made anew"}).
				Draw(t, "does") {
			case "tells":
				if one.connected {
					q.ack(one.id, one.name, 0, one.disk)
					one.told = one.disk
				}
			case "goes":
				one.goes(q)
			case "connects":
				one.connects(q)
			case "loses": // as with a restored backup: it comes back as the same node
				one.goes(q)
				one.disk /= 2
				one.connects(q)
			case "is made anew":
				one.goes(q)
				*one = standIn{id: one.name + string(rune('1'+step)), name: one.name}
				one.connects(q)
			}
			synced, _ := q.state()
			switch disks := haveUpTo(rule, all, synced, func(s *standIn) zodb.Tid { return s.disk }); {
			case synced < before:
				t.Fatalf("%v: synced %d, and was %d", rule, synced, before)
			case synced > before && disks < rule.Required:
				t.Fatalf("%v: %d is synced, and on %d disks", rule, synced, disks)
			}
			before = synced
			for tid := synced + 1; tid <= 2*most; tid++ {
				if n := haveUpTo(rule, all, tid, func(s *standIn) zodb.Tid { return s.told }); n >= rule.Required {
					t.Fatalf("%v: %d have told of %d, and synced is %d", rule, n, tid, synced)
				}
			}
		}
	})
}

func (s *standIn) goes(q *quorum) {
	if s.connected {
		q.end(s.id)
		s.connected = false
	}
}

func (s *standIn) connects(q *quorum) {
	s.goes(q)
	q.begin(s.id, s.name, s.disk)
	s.told, s.connected = s.disk, true
}

// What a secondary acknowledged before its disk was emptied, or put back to an older state, is there no more.
func TestASecondaryThatComesBackWithLessCountsWithThat(t *testing.T) {
	for _, names := range [][]string{nil, {"a", "b"}} {
		for what, as := range map[string]string{"as the same node": "n1", "as another one": "n3"} {
			q := newQuorum(protocol.SyncRule{Required: 2, Names: names}, false)
			q.begin("n1", "a", 5)
			q.begin("n2", "b", 0)
			q.end("n1")
			q.begin(as, "a", 3)
			q.ack("n2", "b", 0, 5)
			if synced, _ := q.state(); synced != 3 {
				t.Errorf("%s, names %v: synced %d, and it has 3", what, names, synced)
			}
			q.ack(as, "a", 0, 4)
			if synced, _ := q.state(); synced != 4 {
				t.Errorf("%s, names %v: synced %d, want 4", what, names, synced)
			}
		}
	}
}

func TestOneNodeCountsOnce(t *testing.T) {
	q := newQuorum(protocol.SyncRule{Required: 2}, false)
	q.begin("n", "a", 5)
	q.begin("n", "the same under another name", 7)
	if synced, _ := q.state(); synced != 0 {
		t.Errorf("synced %d with one node", synced)
	}
	q.begin("", "of an older version", 9)
	q.ack("", "of an older version", 0, 9)
	if synced, _ := q.state(); synced != 0 {
		t.Errorf("synced %d with who has no id", synced)
	}
}

func TestOneNameCountsOnce(t *testing.T) {
	q := newQuorum(protocol.SyncRule{Required: 2, Names: []string{"b", "c", "n1"}}, false)
	q.begin("n1", "b", 5) // which is listed by its name and by its id
	q.begin("n2", "b", 5)
	q.ack("n1", "b", 0, 6)
	if synced, _ := q.state(); synced != 0 {
		t.Errorf("synced %d with two nodes of one name", synced)
	}
	q.begin("n3", "c", 4)
	if synced, _ := q.state(); synced != 4 {
		t.Errorf("synced %d, want 4", synced)
	}
	q.ack("n3", "c", 0, 6)
	if synced, _ := q.state(); synced != 5 {
		t.Errorf("synced %d by what the node said whose name another one has", synced)
	}
}

// Nothing ties two nodes together that have no name.
func TestNodesWithoutANameAreNotMadeInPlaceOfEachOther(t *testing.T) {
	q := newQuorum(protocol.SyncRule{Required: 2}, false)
	q.begin("n1", "", 5)
	q.end("n1")
	q.begin("n2", "", 4)
	if synced, _ := q.state(); synced != 4 {
		t.Errorf("synced %d, want 4", synced)
	}
}

// The connection before may end after the next one has begun. A node is gone when its last one has ended, and then
// nothing is left of that.
func TestANodeLivesUntilItsLastConnectionEnds(t *testing.T) {
	q := newQuorum(protocol.SyncRule{Required: 2}, false)
	q.begin("n1", "db", 5)
	q.begin("n1", "db", 5)
	q.end("n1")
	q.begin("n2", "db", 3) // beside it, not in its place
	if synced, _ := q.state(); synced != 3 {
		t.Errorf("synced %d, want 3", synced)
	}
	q.end("n1")
	q.end("n2")
	if len(q.living) > 0 {
		t.Errorf("kept of nodes that are gone: %v", q.living)
	}
}

func TestAnAcknowledgementTakesNothingBack(t *testing.T) {
	q := newQuorum(protocol.SyncRule{Required: 2}, false)
	q.begin("n1", "b", 5)
	q.begin("n2", "c", 0)
	q.ack("n1", "b", 0, 3)
	q.ack("n2", "c", 0, 5)
	if synced, _ := q.state(); synced != 5 {
		t.Errorf("synced %d, want 5", synced)
	}
}

func TestWithoutARuleNothingIsWaitedFor(t *testing.T) {
	q := newQuorum(protocol.SyncRule{}, false)
	q.begin("n1", "b", 5)
	q.ack("n1", "b", 0, 6)
	if synced, _ := q.state(); synced != 0 {
		t.Errorf("synced %d", synced)
	}
}

func TestWhoWaitsHearsOfWhatIsSynced(t *testing.T) {
	p := New(newSource(), Options{Sync: protocol.SyncRule{Required: 1}})
	p.quorum.begin("n1", "b", 1)
	if err := p.AwaitSynced(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	_, moved := p.quorum.state()
	p.quorum.ack("n1", "b", 0, 3)
	select {
	case <-moved:
	default:
		t.Error("who waits is not told")
	}
	ended, cancel := context.WithCancelCause(t.Context())
	gaveUp := errors.New("gave up")
	cancel(gaveUp)
	if err := p.AwaitSynced(ended, 4); !errors.Is(err, gaveUp) {
		t.Errorf("3 is synced, and who waits for 4 hears %v", err)
	}
}

// Without names two nodes of one name are two copies. But one that was made anew is not two.
func TestWhatAnEmptiedSecondaryHadCountsNoMore(t *testing.T) {
	q := newQuorum(protocol.SyncRule{Required: 2}, false)
	q.begin("n1", "db", 5)
	q.begin("n2", "db", 3)
	if synced, _ := q.state(); synced != 3 {
		t.Errorf("synced %d, want 3", synced)
	}
	q.end("n1")
	q.begin("n3", "db", 0) // n1, emptied
	q.ack("n2", "db", 0, 5)
	if synced, _ := q.state(); synced != 3 {
		t.Errorf("synced %d by what is not there any more", synced)
	}
	q.ack("n3", "db", 0, 4)
	if synced, _ := q.state(); synced != 4 {
		t.Errorf("synced %d, want 4", synced)
	}
}

func TestOnlyWhatReadersSeeCountsWhereThatIsAsked(t *testing.T) {
	q := newQuorum(protocol.SyncRule{Required: 1}, true)
	q.begin("n", "a", 1)
	q.ack("n", "a", 3, 8)
	if synced, _ := q.state(); synced != 3 {
		t.Errorf("synced %d, want 3", synced)
	}
}

// Connections of before are about to end. What they still acknowledge is of the time before.
func TestNothingCountsAfterARenewal(t *testing.T) {
	q := newQuorum(protocol.SyncRule{Required: 1}, false)
	q.begin("n", "a", 8)
	q.reset()
	q.ack("n", "a", 0, 9)
	if synced, _ := q.state(); synced != 0 {
		t.Errorf("synced %d", synced)
	}
}

// A teller is told who counts.
type teller struct {
	voter
	told chan Counting
	err  error
}

func (m *teller) Counts(c Counting) error {
	m.told <- c
	return m.err
}

// The node is told of a secondary before that is welcomed, and so before it can acknowledge anything; where it cannot
// take note, the secondary is refused. Who does not count is nobody's concern.
func TestTheNodeIsToldWhoCounts(t *testing.T) {
	src := newSource(plain(3)...)
	m := &teller{told: make(chan Counting, 1)}
	p := start(t, src, Options{Member: m, Sync: protocol.SyncRule{Required: 1, Names: []string{"b"}}})
	as := func(name, node string, last int) *protocol.Hello {
		h := hello(protocol.Position{Tid: tidAt(last), Status: ' ', Digest: digestOf(t, src, tidAt(last))})
		h.Name, h.Node = name, node
		return h
	}
	told := func(want Counting) {
		t.Helper()
		if got := <-m.told; got != want {
			t.Errorf("told %+v, want %+v", got, want)
		}
	}
	counted := func(node string) bool {
		p.quorum.mu.Lock()
		defer p.quorum.mu.Unlock()
		c := p.quorum.credits["b"]
		return c != nil && c.node == node && p.quorum.living[node] > 0
	}
	comes := func(name, node string, last int) (leave func()) {
		t.Helper()
		c := follow(t, p.addr, as(name, node, last))
		return func() {
			c.hangUp()
			p.eventually(t, "it is gone", func(s Status) bool {
				return !slices.ContainsFunc(s.Secondaries, func(one SecondaryStatus) bool {
					return one.State != StateDisconnected
				})
			})
		}
	}
	comes("reader", "r", 2)()
	leave := comes("b", "b1", 2)
	told(Counting{Node: "b1"})
	p.eventually(t, "it counts", func(Status) bool { return counted("b1") && p.Synced() == tidAt(2) })
	leave()
	leave = comes("b", "b1", 1)
	told(Counting{Node: "b1", Less: true})
	p.eventually(t, "it counts", func(Status) bool { return counted("b1") })
	leave()
	leave = comes("b", "b2", 1)
	told(Counting{Node: "b2", Replaces: "b1"})
	p.eventually(t, "it counts", func(Status) bool { return counted("b2") })
	leave()
	m.err = errors.New("the disk is full")
	answer := connect(t, p.addr).ask(as("b", "b2", 1))
	told(Counting{Node: "b2"})
	if r, ok := answer.(*protocol.Refusal); !ok || r.Code != protocol.CodeInternal {
		t.Errorf("where it cannot be noted: %#v", answer)
	}
}

// Where commits wait until readers see them, a secondary whose readers see them later does not count; it does where
// they wait for a disk.
func TestASecondaryWithAnApplyDelayCountsForItsDiskOnly(t *testing.T) {
	for _, applied := range []bool{false, true} {
		p := New(newSource(), Options{Sync: protocol.SyncRule{Required: 1}, SyncApplied: applied})
		c := &peer{p: p}
		c.member(&protocol.Hello{Node: "n1", Capabilities: []string{protocol.ApplyDelay}})
		p.quorum.begin(c.countsAs(), "b", 5)
		p.quorum.ack(c.countsAs(), "b", 6, 6)
		if synced, _ := p.quorum.state(); (synced == 6) == applied {
			t.Errorf("applied %v: synced up to %d", applied, synced)
		}
	}
}

// A copy that ends, as that of zrsd seed, gets what others get. Commits do not count on it, and it is not listed as a
// secondary that is lost.
func TestACopyThatEndsNeitherCountsNorIsMissed(t *testing.T) {
	p := start(t, newSource(plain(1)...), Options{Sync: protocol.SyncRule{Required: 1}})
	h := hello(protocol.Position{})
	h.Name, h.Node, h.Capabilities = "copy", "c1", []string{protocol.Once}
	copies := follow(t, p.addr, h)
	copies.next()
	if only(p.Status()).Name != "copy" {
		t.Errorf("%+v", p.Status().Secondaries)
	}
	c := &peer{p: p.Primary}
	c.member(h)
	if node := c.countsAs(); node != "" {
		t.Errorf("it counts as %q", node)
	}
	if list := p.rosterEntries(); len(list) != 0 {
		t.Errorf("the others hear of it: %+v", list)
	}
	copies.hangUp()
	p.eventually(t, "nobody is missed", func(s Status) bool { return len(s.Secondaries) == 0 })
}
