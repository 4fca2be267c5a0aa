package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/internal/watchdog"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/zodb"
)

func TestWhatARuleForWaitingHasWhereNothingIsSaid(t *testing.T) {
	for name, c := range map[string]struct{ given, want SyncConfig }{
		"nothing": {SyncConfig{}, SyncConfig{Ack: SyncDurable, Timeout: DefaultSyncTimeout, OnTimeout: SyncBlock}},
		"all": {
			SyncConfig{Required: 1, Names: []string{"a"}, Ack: SyncApplied, Timeout: 1, OnTimeout: SyncDegrade},
			SyncConfig{Required: 1, Names: []string{"a"}, Ack: SyncApplied, Timeout: 1, OnTimeout: SyncDegrade},
		},
	} {
		got := c.given
		if err := got.Check(); err != nil || !slices.Equal(got.Names, c.want.Names) ||
			got.Required != c.want.Required ||
			got.Ack != c.want.Ack || got.Timeout != c.want.Timeout || got.OnTimeout != c.want.OnTimeout {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if err := (&SyncConfig{Required: 1, Names: []string{""}}).Check(); err == nil {
		t.Error("an empty name was taken")
	}
}

// A node leaves itself out of the names, by its name and by its id.
func TestANodeLeavesItselfOutOfTheRule(t *testing.T) {
	n := lone(t, func(*Options) {})
	n.opt.Sync = SyncConfig{Required: 1, Names: []string{"own", "b", n.keep.Node()}}
	if got := n.SyncRule(); got.Required != 1 || !slices.Equal(got.Names, []string{"b"}) {
		t.Errorf("%+v", got)
	}
}

// waitingPrimary is a primary whose commits wait for one secondary, which has nothing yet.
func waitingPrimary(t *testing.T, change func(*SyncConfig)) (*Node, *fakeServer) {
	t.Helper()
	n, _, server := standing(t, func(opt *Options) {
		opt.Watch = new(watchdog.Board)
		opt.Sync = SyncConfig{Required: 1, Timeout: time.Hour}
		if change != nil {
			change(&opt.Sync)
		}
		if err := opt.Sync.Check(); err != nil {
			t.Fatal(err)
		}
	})
	n.setPrimary(true)
	n.entered.Store(true)
	n.sync.setLeading(true)
	t.Cleanup(func() {
		n.sync.setLeading(false)
		n.sync.recovering.Wait()
	})
	return n, server
}

// commitOf waits for a transaction as a client does that has committed it.
func commitOf(ctx context.Context, n *Node, tid zodb.Tid) <-chan error {
	told := make(chan error, 1)
	go func() { told <- n.sync.AwaitCommitted(ctx, tid) }()
	return told
}

// until waits for something to be true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	for !is() {
		if !pause.For(ctx, time.Millisecond) {
			t.Fatalf("never: %s", what)
		}
	}
}

// isWaiting waits until a commit waits for secondaries.
func isWaiting(t *testing.T, n *Node) {
	t.Helper()
	until(t, "a commit waits", func() bool { return n.sync.status().Waiting > 0 })
}

// W1: a client hears of a commit when enough secondaries have it; not before.
func TestACommitIsToldWhenEnoughSecondariesHaveIt(t *testing.T) {
	n, server := waitingPrimary(t, nil)
	told := commitOf(t.Context(), n, 7)
	isWaiting(t, n)
	server.acknowledge(6)
	select {
	case err := <-told:
		t.Fatalf("it was told before a secondary had it: %v", err)
	default:
	}
	server.acknowledge(7)
	if err := <-told; err != nil {
		t.Error(err)
	}
	if n.sync.status().Waiting != 0 {
		t.Error("it waits still")
	}
	if err := <-commitOf(t.Context(), n, 7); err != nil {
		t.Error(err)
	}
	if got := n.Sync().Waits.Count; got != 1 {
		t.Errorf("%d waits were measured, want that of the one commit that had to wait", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	told = commitOf(ctx, n, 8)
	isWaiting(t, n)
	cancel()
	if err := <-told; !errors.Is(err, context.Canceled) {
		t.Errorf("a client that has gone away was told of its commit: %v", err)
	}
}

// Where commits do not wait, on a node that nobody can follow, and on one that is not primary, nothing is waited for.
func TestWhereNothingIsWaitedFor(t *testing.T) {
	for name, prepare := range map[string]func(*Node){
		"no rule":         func(n *Node) { n.opt.Sync.Required = 0 },
		"no secondaries":  func(n *Node) { n.replicationServer = nil },
		"no primary":      func(n *Node) { n.sync.setLeading(false) },
		"none any more":   func(n *Node) { n.sync.setLeading(true); n.sync.setLeading(false) },
		"degraded":        func(n *Node) { n.sync.since = time.Now() },
		"it was degraded": func(n *Node) { n.sync.since = time.Now(); n.sync.setLeading(false) },
	} {
		n, _ := waitingPrimary(t, nil)
		prepare(n)
		if err := n.sync.AwaitCommitted(t.Context(), zodb.MaxTid); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A commit that waits is told of when the node is primary no more: its writers are disconnected by then. One of the
// next time waits again.
func TestACommitWaitsAsLongAsTheNodeIsPrimary(t *testing.T) {
	n, _ := waitingPrimary(t, nil)
	told := commitOf(t.Context(), n, 7)
	isWaiting(t, n)
	n.sync.setLeading(true) // as before
	n.sync.mu.Lock()
	over := n.sync.now.over()
	n.sync.mu.Unlock()
	if over {
		t.Error("a primary that goes on lets its commits be told")
	}
	n.sync.setLeading(false)
	if err := <-told; err != nil {
		t.Error(err)
	}
	n.sync.setLeading(true)
	told = commitOf(t.Context(), n, 7)
	isWaiting(t, n)
	n.sync.setLeading(false)
	<-told
}

// W3: where commits block, they wait on, and the node says so when that takes too long, until they are acknowledged.
func TestABlockedCommitWaitsOn(t *testing.T) {
	n, server := waitingPrimary(t, func(c *SyncConfig) { c.Timeout = time.Millisecond })
	if why := n.FaultReason(); why != "" {
		t.Errorf("at first it says %q", why)
	}
	told := commitOf(t.Context(), n, 7)
	until(t, "it says that commits wait", func() bool { return n.FaultReason() != "" })
	if why := n.FaultReason(); !strings.Contains(why, "of any must have them") || n.sync.status().Degraded {
		t.Errorf("it says %q, degraded %v", why, n.sync.status().Degraded)
	}
	select {
	case err := <-told:
		t.Fatalf("it was told of: %v", err)
	default:
	}
	server.acknowledge(7)
	if err := <-told; err != nil || n.FaultReason() != "" {
		t.Errorf("%v; it says %q", err, n.FaultReason())
	}
	n.sync.overdue = 9
	n.sync.setLeading(false)
	n.sync.setLeading(true)
	if why := n.FaultReason(); why != "" {
		t.Errorf("a new time begins with %q", why)
	}
}

// W4: where commits degrade, they are told when that is written down, and wait again when the secondaries have all.
func TestADegradedCommitIsToldWhenThatIsWrittenDown(t *testing.T) {
	n, server := waitingPrimary(t, func(c *SyncConfig) { c.Timeout, c.OnTimeout = time.Millisecond, SyncDegrade })
	update(n, func(id *state.State) { id.Waits = n.waitsFrom(id) })
	full := errors.New("full")
	tried := make(chan struct{}, 100)
	n.opt.FS.(*simdisk.Disk).FailWhen(func(op simdisk.Op) error {
		if op.Kind != simdisk.Create {
			return nil
		}
		select {
		case tried <- struct{}{}:
		default:
		}
		return full
	})
	told := commitOf(t.Context(), n, 7)
	for range 3 {
		<-tried
	}
	select {
	case err := <-told:
		t.Fatalf("it was told of, and the state file says that it was not: %v", err)
	default:
	}
	n.opt.FS.(*simdisk.Disk).Heal()
	if err := <-told; err != nil || !n.keep.State().Waits.Paused {
		t.Errorf("%v: %+v", err, n.keep.State().Waits)
	}
	until(t, "it is degraded", func() bool { return n.sync.status().Degraded })
	if now := n.sync.status(); now.Degradations != 1 || now.DegradedSince == nil {
		t.Errorf("%+v", now)
	}
	if err := <-commitOf(t.Context(), n, 8); err != nil {
		t.Error(err)
	}
	last := n.st.LastTid()
	server.acknowledge(last)
	n.sync.recovering.Wait()
	if w := n.keep.State().Waits; w.Paused || w.After != last || n.sync.status().Degraded {
		t.Errorf("%+v, degraded %v", w, n.sync.status().Degraded)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n.opt.Sync.Timeout = time.Hour
	told = commitOf(ctx, n, zodb.MaxTid)
	isWaiting(t, n)
	cancel()
	if err := <-told; err == nil {
		t.Error("after that commits do not wait")
	}
}

// A node that is primary no more has nothing to recover from, and does not write down that commits wait.
func TestADegradedTimeEndsWithThePrimary(t *testing.T) {
	n, _ := waitingPrimary(t, func(c *SyncConfig) { c.Timeout, c.OnTimeout = time.Millisecond, SyncDegrade })
	update(n, func(id *state.State) { id.Waits = n.waitsFrom(id) })
	if err := <-commitOf(t.Context(), n, zodb.MaxTid); err != nil {
		t.Error(err)
	}
	until(t, "it is degraded", func() bool { return n.sync.status().Degraded })
	n.sync.setLeading(false)
	n.sync.recovering.Wait()
	if !n.keep.State().Waits.Paused {
		t.Error("what was told while commits did not wait is forgotten")
	}
	n.sync.setLeading(true)
	if n.sync.status().Degraded {
		t.Error("the next time begins degraded")
	}
}

// Several commits that wait for too long are one degraded time, of a node that is primary still.
func TestADegradedTimeIsCountedOnce(t *testing.T) {
	n, _ := waitingPrimary(t, func(c *SyncConfig) { c.OnTimeout = SyncDegrade })
	told := 0
	for range 2 {
		n.sync.timedOut(t.Context(), n.sync.now, func() { told++ }, 7)
	}
	if got := n.sync.status(); told != 2 || got.Degradations != 1 || !got.Degraded {
		t.Errorf("%d were told: %+v", told, got)
	}
	n, _ = waitingPrimary(t, func(c *SyncConfig) { c.OnTimeout = SyncDegrade })
	before := n.sync.now
	n.sync.setLeading(false)
	n.sync.timedOut(t.Context(), before, func() {}, 7)
	if got := n.sync.status(); got.Degradations != 0 || got.Degraded {
		t.Errorf("a node that is primary no more is degraded: %+v", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	n, _ = waitingPrimary(t, func(c *SyncConfig) { c.OnTimeout = SyncDegrade })
	n.sync.timedOut(ended, n.sync.now, func() {}, 7)
	if n.sync.status().Degraded {
		t.Error("a commit that waits no more has degraded the node")
	}
}

// What is shown of a rule.
func TestWhatIsShownOfWaiting(t *testing.T) {
	n, server := waitingPrimary(t, nil)
	server.acknowledge(5)
	if got := n.Sync(); got == nil || got.Required != 1 || got.Names == nil || *got.SyncedTid != 5 ||
		got.DegradedSince != nil ||
		got.Timeout != 3600 || got.OnTimeout != SyncBlock || got.Ack != SyncDurable {
		t.Errorf("%+v", got)
	}
	for name, prepare := range map[string]func(*Node){
		"no rule":        func(n *Node) { n.opt.Sync.Required = 0 },
		"no secondaries": func(n *Node) { n.replicationServer = nil },
		"no primary":     func(n *Node) { n.setPrimary(false) },
	} {
		n, _ := waitingPrimary(t, nil)
		if prepare(n); n.Sync() != nil {
			t.Errorf("%s: %+v", name, n.Sync())
		}
	}
}

// What a primary notes, when a session begins, of what its clients were told: R8.
func TestWhatASessionNotesOfWaiting(t *testing.T) {
	noted := func(required int, paused bool) *state.Waits {
		return &state.Waits{Epoch: 1, After: 1, Required: required, Nodes: []string{nodeB}, Paused: paused}
	}
	for name, c := range map[string]struct {
		leads, alone bool
		required     int
		before       *state.Waits
		want         func(last zodb.Tid) *state.Waits
	}{
		"the same rule": {
			leads: true, required: 1, before: noted(1, false), want: func(zodb.Tid) *state.Waits {
				return noted(1,
					false)
			},
		},
		"for more now": {
			leads: true, required: 2, before: noted(1, false), want: func(zodb.Tid) *state.Waits {
				return noted(1,
					false)
			},
		},
		"for fewer now": {
			leads: true, required: 1, before: noted(2, false), want: func(zodb.Tid) *state.Waits {
				return noted(1,
					false)
			},
		},
		"it was degraded": {leads: true, required: 1, before: noted(1, true), want: func(last zodb.Tid) *state.Waits {
			w := noted(1, false)
			w.After = last
			return w
		}},
		"nothing was noted": {leads: true, required: 1, want: func(last zodb.Tid) *state.Waits {
			return &state.Waits{Epoch: 1, After: last, Required: 1}
		}},
		"commits do not wait": {
			leads: true, before: noted(1, false), want: func(zodb.Tid) *state.Waits { return nil },
		},
		"nobody can follow": {
			leads: true, alone: true, required: 1, before: noted(1, false),
			want: func(zodb.Tid) *state.Waits { return nil },
		},
		"a secondary keeps it": {
			required: 1, before: noted(1, true), want: func(zodb.Tid) *state.Waits { return noted(1, true) },
		},
		"a secondary begins none": {required: 1, want: func(zodb.Tid) *state.Waits { return nil }},
	} {
		n, _, _ := standing(t, func(opt *Options) {
			opt.Sync = SyncConfig{Required: c.required}
			if c.alone {
				opt.ReplicationAddr = ""
			}
		})
		n.setPrimary(c.leads)
		update(n, func(id *state.State) { id.Waits = c.before })
		if err := n.settleWaits(); err != nil {
			t.Fatal(err)
		}
		got, want := n.keep.State().Waits, c.want(n.st.LastTid())
		if (got == nil) != (want == nil) || got != nil && (got.Epoch != want.Epoch || got.After != want.After ||
			got.Required != want.Required || got.Paused != want.Paused || !slices.Equal(got.Nodes, want.Nodes)) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	n, _, _ := standing(t, nil)
	n.keep = unwritten()
	if err := n.settleWaits(); err != nil {
		t.Error(err)
	}
}

// Whom commits wait for is noted before that node counts, and what it may have lacked is not known from then on.
func TestWhoIsNotedAsOneThatCommitsWaitFor(t *testing.T) {
	for name, c := range map[string]struct {
		leads    bool
		counting primary.Counting
		nodes    []string
		moved    bool // nothing is known of what is there
	}{
		"a new one":              {true, primary.Counting{Node: nodeB}, []string{nodeA, nodeB}, false},
		"one that is noted":      {true, primary.Counting{Node: nodeA}, []string{nodeA}, false},
		"one that has less":      {true, primary.Counting{Node: nodeA, Less: true}, []string{nodeA}, true},
		"one in another's place": {true, primary.Counting{Node: nodeB, Replaces: nodeA}, []string{nodeB}, true},
		"at a secondary":         {false, primary.Counting{Node: nodeB}, []string{nodeA}, false},
	} {
		n, _, _ := standing(t, nil)
		n.setPrimary(c.leads)
		update(n, func(id *state.State) { id.Waits = &state.Waits{Epoch: 1, Required: 1, Nodes: []string{nodeA}} })
		before := n.keep.State()
		if err := n.Counts(c.counting); err != nil {
			t.Fatal(err)
		}
		w, same := n.keep.State().Waits, slices.Equal(c.nodes, []string{nodeA}) && !c.moved
		if !slices.Equal(w.Nodes, c.nodes) || (w.After == n.st.LastTid()) != c.moved {
			t.Errorf("%s: %+v", name, w)
		}
		if (n.keep.State() == before) != same {
			t.Errorf("%s: it is written down: %v", name, !same)
		}
	}
	n, _, _ := standing(t, nil)
	n.setPrimary(true)
	before := n.keep.State()
	for name, change := range map[string]func() error{
		"a node counts": func() error { return n.Counts(primary.Counting{Node: nodeB}) },
		"it degrades":   n.pauseWaits, "it recovers": n.resumeWaits,
	} {
		if err := change(); err != nil || n.keep.State() != before {
			t.Errorf("%s: nothing was noted, and now %+v, %v", name, n.keep.State().Waits, err)
		}
	}
	update(n, func(id *state.State) { id.Waits = &state.Waits{Epoch: 1, Required: 1, Paused: true} })
	before = n.keep.State()
	if err := n.pauseWaits(); err != nil || n.keep.State() != before {
		t.Errorf("that commits do not wait is written down again: %v", err)
	}
	n.keep = unwritten()
	if err := n.pauseWaits(); err != nil {
		t.Error(err)
	}
}
