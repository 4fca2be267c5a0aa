package cluster

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zeo"
)

// What clients may do follows from the role, from what the node has heard, and from what an operator said.
func TestWhatClientsMayDo(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*Node)
		access  zeo.Access
		fenced  bool
	}{
		"a primary":   {func(*Node) {}, zeo.Writable, false},
		"a secondary": {func(n *Node) { n.setPrimary(false) }, zeo.ReadOnly, false},
		"a frozen primary": {
			func(n *Node) { update(n, func(id *state.State) { id.Frozen = true }) }, zeo.Frozen, false,
		},
		"one that has voted for another": {func(n *Node) {
			update(n, func(id *state.State) { id.Vote(2, nodeB); id.Frozen = true })
		}, zeo.ReadOnly, true},
		"one that has heard of a higher epoch": {func(n *Node) {
			update(n, func(id *state.State) { id.MaxEpochBegun = 2 })
		}, zeo.ReadOnly, true},
		"one that could not write that down": {func(n *Node) { n.noteUnwritten(2) }, zeo.ReadOnly, true},
		"one with a conflict": {
			func(n *Node) { n.conflictFound.Store(new(Conflict)) }, zeo.ReadOnly, false,
		},
	} {
		n, _, _ := standing(t, nil)
		n.setPrimary(true)
		c.prepare(n)
		if n.Access() != c.access || n.Fenced() != c.fenced {
			t.Errorf("%s: access %v, fenced %v", name, n.Access(), n.Fenced())
		}
	}
}

// Commits wait before clients can make some, and are told when clients that write have been disconnected.
func TestCommitsWaitWhileClientsCanWrite(t *testing.T) {
	var n *Node
	waits := func() bool {
		n.sync.mu.Lock()
		defer n.sync.mu.Unlock()
		return n.sync.now != nil && !n.sync.now.over()
	}
	var seen []bool
	n, _, _ = standing(t, func(opt *Options) { opt.SetAccess = func(zeo.Access) { seen = append(seen, waits()) } })
	n.setPrimary(true)
	n.applyAccess()
	n.setPrimary(false)
	n.applyAccess()
	if !slices.Equal(seen, []bool{true, true}) || waits() {
		t.Errorf("commits waited %v while access changed, and afterwards %v", seen, waits())
	}
	n.opt.SetAccess = nil
	if n.applyAccess(); waits() {
		t.Error("on a node without clients")
	}
}

// A primary counts the time from when it takes transactions, again after a time in which it took none.
func TestSinceWhenAPrimaryTakesTransactions(t *testing.T) {
	n, _, _ := standing(t, nil)
	longAgo := time.Now().Add(-time.Hour)
	n.setPrimary(true)
	if time.Since(n.leadingSince()) > time.Minute {
		t.Error("it does not count from when it has become primary")
	}
	for _, step := range []struct {
		access zeo.Access
		anew   bool
	}{
		{zeo.Writable, false}, {zeo.ReadOnly, false}, {zeo.ReadOnly, false}, {zeo.Frozen, true}, {zeo.Writable, false},
		{zeo.ReadOnly, false}, {zeo.Writable, true},
	} {
		n.since = longAgo
		if n.noteAccess(step.access); n.leadingSince().Equal(longAgo) == step.anew {
			t.Errorf("%+v: it counts from %v", step, n.leadingSince())
		}
	}
}

// Before a primary takes transactions for the first time, clients that want to write wait: none is sent away.
func TestSinceWhenAPrimarySendsNoWriterAway(t *testing.T) {
	n, _, _ := standing(t, nil)
	n.noteAccess(zeo.ReadOnly)
	for range 2 { // also when it is promoted again
		n.setPrimary(true)
		longAgo := time.Now().Add(-time.Hour)
		n.admits = longAgo
		for i, step := range []struct {
			access zeo.Access
			anew   bool
		}{
			{zeo.ReadOnly, false}, {zeo.Writable, false}, {zeo.Frozen, false}, {zeo.ReadOnly, false},
			{zeo.Writable, true},
		} {
			n.noteAccess(step.access)
			if anew := n.admitsFor() < time.Minute; anew != step.anew {
				t.Errorf("step %d, %v: for %v", i, step.access, n.admitsFor())
			}
		}
		n.setPrimary(false)
		n.noteAccess(zeo.ReadOnly)
	}
}

// The addresses of the command line come first, then those that were learned. Where one says that the primary is goes
// before, if it is among them.
func TestWhereAPrimaryIsLookedFor(t *testing.T) {
	n, sec, _ := standing(t, nil)
	update(n, func(id *state.State) { id.FollowFirst([]string{"y:1", "b:1", "z:1"}) })
	for leader, want := range map[string][]string{
		"": {
			"b:1", "y:1", "z:1"}, "z:1": {"z:1", "b:1", "y:1"}, "b:1": {"b:1", "y:1", "z:1"}, "x:1": {"b:1", "y:1",
			"z:1",
		},
	} {
		n.leader = leader
		n.follow()
		if got := sec.looked(); !slices.Equal(got, want) {
			t.Errorf("with %q it looks at %q", leader, got)
		}
		n.stopFollowing()
	}
	if n.isFollowing() || sec.runs != 0 {
		t.Error("it follows still")
	}
	if n.keep = unwritten(); !slices.Equal(n.addresses(), []string{"b:1"}) {
		t.Errorf("without a state: %q", n.addresses())
	}
}

// How a node takes up its role when its session begins.
func TestHowANodeBegins(t *testing.T) {
	for name, c := range map[string]struct {
		starts  state.Role
		prepare func(*Node)
		leads   bool
		logs    bool // that it keeps another role than it was started with
		already bool // a vote request has made it follow
		follows bool
	}{
		"a primary":   {starts: state.RolePrimary, leads: true},
		"a secondary": {starts: state.RoleSecondary, follows: true},
		"a former primary": {starts: state.RolePrimary, prepare: func(n *Node) {
			update(n, (*state.State).BecomeSecondary)
		}, logs: true, follows: true},
		"one that was promoted": {starts: state.RoleSecondary, prepare: func(n *Node) {
			begins(n, n.st.LastTid())
		}, logs: true, leads: true},
		"one that begins an epoch first": {starts: state.RolePrimary, prepare: func(n *Node) {
			n.startsEpoch = true
		}},
		"one that asks for an identity": {starts: state.RolePrimary, prepare: func(n *Node) {
			n.keep = unwritten()
			n.asksIdentity.Store(true)
		}},
		"one that follows already": {starts: state.RoleSecondary, already: true, follows: true},
	} {
		var out bytes.Buffer
		n, sec, _ := standing(t, func(opt *Options) {
			opt.Starts, opt.Logger = c.starts, hclog.New(&hclog.LoggerOptions{Output: &out})
		})
		if c.prepare != nil {
			c.prepare(n)
		}
		last := n.st.LastTid()
		if err := n.Begin(t.Context(), sec); err != nil {
			t.Fatal(err)
		}
		if n.IsPrimary() != c.leads || n.isFollowing() ||
			strings.Contains(out.String(), "keeps the role of the last failover") != c.logs {
			t.Errorf("%s: leads %v, logs %s", name, n.IsPrimary(), out.String())
		}
		if opens := name == "one that was promoted"; (n.st.LastTid() > last) != opens {
			t.Errorf("%s: the last transaction was %v, and is %v", name, last, n.st.LastTid())
		}
		if c.already {
			n.follow()
		}
		before := n.running
		if err := n.Follow(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n.isFollowing() != c.follows || before != nil && n.running != before {
			t.Errorf("%s: follows %v", name, n.isFollowing())
		}
		opt, release := n.Open()
		if (opt.Access == zeo.Writable) != c.leads || n.sync.now.over() == c.leads {
			t.Errorf("%s: clients may %v", name, opt.Access)
		}
		n.sync.setLeading(false)
		release()
	}
}

// A session ends when its context does, when the server of secondaries ends, or when following fails; a rewind is not
// an error, and a node that was promoted meanwhile needs none.
func TestHowASessionEnds(t *testing.T) {
	failed, rewind := errors.New("failed"), &rewindError{plan: &state.Rewind{}}
	for name, c := range map[string]struct {
		leads bool
		end   func(n *Node, cancel func(), served chan error)
		want  error
	}{
		"with its context": {end: func(_ *Node, cancel func(), _ chan error) { cancel() }},
		"with the server":  {end: func(_ *Node, _ func(), served chan error) { served <- failed }},
		"with a failure":   {end: func(n *Node, _ func(), _ chan error) { n.ended <- failed }, want: failed},
		"with a rewind":    {end: func(n *Node, _ func(), _ chan error) { n.ended <- rewind }},
		"with a failure, as primary": {
			leads: true, end: func(n *Node, _ func(), _ chan error) { n.ended <- failed }, want: failed,
		},
		"not with a rewind, as primary": {leads: true, end: func(n *Node, _ func(), _ chan error) {
			n.ended <- rewind
			go func() { n.ended <- failed }()
		}, want: failed},
	} {
		n, _, _ := standing(t, nil)
		n.setPrimary(c.leads)
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		c.end(n, cancel, served)
		if err := n.Run(ctx, served); !errors.Is(err, c.want) || err != nil && c.want == nil {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		if name == "with the server" && len(served) != 1 {
			t.Errorf("%s: what it sent is lost to its other receiver", name)
		}
		if (n.rewindAfter != nil) != (name == "with a rewind") {
			t.Errorf("%s: rewind %v", name, n.rewindAfter)
		}
	}
}

// Events of connections are handled as long as the session runs.
func TestASessionHandlesEvents(t *testing.T) {
	n, _, _ := standing(t, nil)
	n.setPrimary(true)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx, nil) }()
	n.Outranked(3)
	until(t, "it leads no more", func() bool { return !n.IsPrimary() })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// After its end nobody changes the role of a node, and nobody is followed.
func TestARetiredNodeIsLeftAlone(t *testing.T) {
	n, sec, _ := standing(t, nil)
	n.follow()
	n.Enter(t.Context())
	if !n.entered.Load() {
		t.Error("nobody may come")
	}
	n.Leave(nil)
	if n.entered.Load() || n.life.Err() == nil {
		t.Error("it has not left")
	}
	n.Retire()
	if n.isFollowing() || sec.runs != 0 || len(n.changing) != 1 {
		t.Error("its role can be changed still")
	}
	<-n.changing // for the cleanup
}

// What works for clients ends before the storage is withdrawn from them: here that commits wait again, which takes as
// long as the disk does.
func TestAWithdrawalWaitsForTheEndOfADegradedTime(t *testing.T) {
	inBubble(t, SyncDegrade, func(b *waitingBubble) {
		_, release := b.Open()
		if err := <-commitOf(b.Context(), b.Node, 7); err != nil {
			b.Fatal(err)
		}
		b.opt.FS.(*simdisk.Disk).FailWhen(func(op simdisk.Op) error {
			if op.Kind == simdisk.Create {
				pause.For(b.Context(), time.Minute)
			}
			return nil
		})
		b.server.acknowledge(b.st.LastTid())
		if release(); b.keep.State().Waits.Paused {
			b.Error("the state file is written after the end")
		}
	})
}

// A node that leaves asks nobody any more when that returns.
func TestANodeThatLeavesAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _, _ := standing(t, nil)
		var asks atomic.Int32
		n.opt.Dial = func(ctx context.Context, _ string) (net.Conn, error) {
			asks.Add(1)
			defer asks.Add(-1)
			<-ctx.Done()
			pause.For(t.Context(), time.Second)
			return nil, ctx.Err()
		}
		n.setPrimary(true)
		n.Enter(t.Context())
		for asks.Load() == 0 {
			pause.For(t.Context(), time.Millisecond)
		}
		if n.Leave(nil); asks.Load() > 0 {
			t.Error("it asks still")
		}
	})
}

// A change of the role that waits for others does not keep a node from its end.
func TestAChangeOfTheRoleEndsWithTheNode(t *testing.T) {
	n, _, _ := standing(t, nil)
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- n.changeInTurn(t.Context(), func(context.Context) error {
			close(begun)
			<-n.life.Done()
			return nil
		})
	}()
	<-begun
	n.Retire()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	<-n.changing // for the cleanup
}
