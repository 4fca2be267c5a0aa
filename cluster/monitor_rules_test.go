package cluster

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// A node that is to be primary asks the others first, and is a secondary where one has heard of a higher epoch: H1.
func TestWhatAStartingPrimaryLearns(t *testing.T) {
	for name, c := range map[string]struct {
		starts  state.Role
		prepare func(n *Node, b *fakeMember)
		alone   bool
		role    state.Role // of the state file
		latest  uint64
		asks    bool
		kind    string // of a conflict
	}{
		"nobody has heard of another": {starts: state.RolePrimary, latest: 1, asks: true},
		"one has heard of epoch 3": {starts: state.RolePrimary, prepare: func(_ *Node, b *fakeMember) {
			b.status.MaxEpochBegun = 3
		}, role: state.RoleSecondary, latest: 3, asks: true},
		"one has voted for epoch 3": {starts: state.RolePrimary, prepare: func(_ *Node, b *fakeMember) {
			b.status.MaxEpochSeen = 3
		}, latest: 1, asks: true},
		"it has heard itself": {starts: state.RolePrimary, prepare: func(n *Node, _ *fakeMember) {
			update(n, func(id *state.State) { id.ObserveBegun(2) })
		}, role: state.RoleSecondary, latest: 2},
		"it knows of nobody": {starts: state.RolePrimary, alone: true, prepare: func(n *Node, _ *fakeMember) {
			update(n, func(id *state.State) { id.ObserveBegun(2) })
		}, latest: 2},
		"one is primary, too": {starts: state.RolePrimary, prepare: func(_ *Node, b *fakeMember) {
			b.status.IsPrimary = true
		}, latest: 1, asks: true, kind: ConflictEpoch},
		"it starts as a secondary": {starts: state.RoleSecondary, prepare: func(_ *Node, b *fakeMember) {
			b.status.MaxEpochBegun = 3
		}, latest: 1},
		"it has no state": {starts: state.RolePrimary, prepare: func(n *Node, _ *fakeMember) {
			n.keep = unwritten()
		}},
	} {
		n, b, _ := among(t, func(opt *Options) { opt.Starts = c.starts })
		if c.alone {
			n.opt.ReplicateFrom = nil
		}
		if c.prepare != nil {
			c.prepare(n, b)
		}
		if err := n.yieldToHigherEpoch(t.Context()); err != nil {
			t.Fatal(err)
		}
		kind := ""
		if met := n.conflictFound.Load(); met != nil {
			kind = met.Kind
		}
		if kind != c.kind || (len(b.asked) > 0) != c.asks {
			t.Errorf("%s: conflict %q; it asked %v", name, kind, b.asked)
		}
		if id := n.keep.State(); id != nil && (id.Role != c.role || id.Latest() != c.latest) {
			t.Errorf("%s: %+v", name, id)
		}
	}
}

// What a primary notices when it asks the others.
func TestWhatThePrimaryNotices(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(n *Node, b *fakeMember)
		higher  uint64
		others  bool
		unbegun int
		asks    bool
		later   zodb.Tid // than the last transaction here
	}{
		"all is well": {asks: true},
		"epoch 3 has begun": {
			prepare: func(_ *Node, b *fakeMember) { b.status.MaxEpochBegun = 3 }, higher: 3, asks: true,
		},
		"one has voted for epoch 3": {
			prepare: func(_ *Node, b *fakeMember) { b.status.MaxEpochSeen = 3 }, unbegun: 1, asks: true,
		},
		"one is primary, too": {
			prepare: func(_ *Node, b *fakeMember) { b.status.IsPrimary = true }, others: true, asks: true,
		},
		"its rival follows by now": {prepare: func(n *Node, b *fakeMember) {
			update(n, func(id *state.State) { id.Rival = nodeB })
			b.status.UpstreamAddr = "c:1"
		}, others: true, asks: true},
		"one has a later transaction of another epoch": {
			prepare: func(_ *Node, b *fakeMember) {
				b.status.Epochs = []protocol.Epoch{{Number: 1, Node: nodeB}}
				b.status.LastTid++
			}, asks: true, later: 1,
		},
		"what it had met is gone": {prepare: func(n *Node, _ *fakeMember) {
			n.conflictFound.Store(&Conflict{Kind: ConflictEpoch, addr: "b:1"})
		}, others: true, asks: true},
		"a secondary asks nobody": {prepare: func(n *Node, _ *fakeMember) { n.setPrimary(false) }},
		"one that was replaced asks nobody": {prepare: func(n *Node, _ *fakeMember) {
			update(n, func(id *state.State) { id.ObserveBegun(2) })
		}},
		"but one that could not write that down": {
			prepare: func(n *Node, b *fakeMember) {
				n.noteUnwritten(3)
				b.status.MaxEpochBegun = 3
			}, higher: 3, asks: true,
		},
		"one without a state asks nobody": {prepare: func(n *Node, _ *fakeMember) { n.keep = unwritten() }},
	} {
		n, b, _ := among(t, nil)
		n.setPrimary(true)
		if c.prepare != nil {
			c.prepare(n, b)
		}
		l := &epochMonitor{Node: n}
		l.check(t.Context())
		got := n.events.take()
		if c.later > 0 {
			c.later += n.st.LastTid()
		}
		if got.later != c.later || got.higher != c.higher || (got.others != nil) != c.others ||
			l.unbegun != c.unbegun ||
			(len(b.asked) > 0) != c.asks {
			t.Errorf("%s: %+v, %d times; it asked %v", name, got, l.unbegun, b.asked)
		}
	}
}

// Only at the third look in a row a primary goes on under a higher epoch: a promotion may be under way. It begins to
// count again when it has tried, when nobody has voted any more, and when it is primary no more.
func TestAPrimaryLooksThreeTimesBeforeItGoesOn(t *testing.T) {
	n, b, c := among(t, nil)
	n.setPrimary(true)
	c.vote = &protocol.Refusal{Code: protocol.CodeInternal, Text: "no"}
	l := &epochMonitor{Node: n}
	look := func(seen uint64) {
		b.status.MaxEpochSeen = seen
		l.check(t.Context())
	}
	for i, seen := range []uint64{5, 5, 0, 5, 5} {
		if look(seen); len(b.votes()) > 0 {
			t.Fatalf("it has asked for votes at look %d", i)
		}
	}
	n.setPrimary(false)
	look(5)
	n.setPrimary(true)
	for range 2 {
		look(5)
	}
	if len(b.votes()) > 0 {
		t.Fatal("it has asked for votes, and was no primary meanwhile")
	}
	if look(5); len(b.votes()) != 1 || l.unbegun != 0 || !strings.Contains(l.said, "not all nodes answer") {
		t.Fatalf("b was asked for %v: %q", b.votes(), l.said)
	}
	for range 2 {
		look(8)
	}
	if len(b.votes()) != 1 || l.said == "" {
		t.Errorf("b was asked for %v: %q", b.votes(), l.said)
	}
	c.vote = nil
	if look(8); n.keep.State().Epoch().Number != 9 || l.said != "" {
		t.Errorf("epoch %d: %q", n.keep.State().Epoch().Number, l.said)
	}
}

// What connections have noticed is acted upon once, by a node whose role nobody else is changing.
func TestWhatEventsDo(t *testing.T) {
	waiting := secondary.Status{State: secondary.StateWaiting}
	for name, c := range map[string]struct {
		leads   bool
		prepare func(*Node)
		note    func(*Node, *pendingEvents)
		want    func(*Node) bool
		logs    string
	}{
		"a higher epoch has begun": {
			leads: true, note: func(_ *Node, e *pendingEvents) { e.higher = 3 },
			want: func(n *Node) bool { return !n.IsPrimary() && n.keep.State().Latest() == 3 },
		},
		"the epoch that it leads has begun": {
			leads: true, note: func(_ *Node, e *pendingEvents) { e.higher = 1 }, want: (*Node).IsPrimary,
		},
		"a primary hands over": {
			note: func(n *Node, e *pendingEvents) { e.successor = &handover{2, n.st.LastTid()} },
			want: func(n *Node) bool { return n.IsPrimary() && n.keep.State().Epoch().Number == 2 },
		},
		"it cannot take over": {
			note: func(_ *Node, e *pendingEvents) { e.successor = &handover{2, zodb.MaxTid} },
			want: func(n *Node) bool { return !n.IsPrimary() }, logs: "it cannot become primary",
		},
		"it has a rival": {
			leads: true, note: func(_ *Node, e *pendingEvents) { e.others = &verdict{rival: nodeB} },
			want: func(n *Node) bool { return n.keep.State().Rival == nodeB },
		},
		"a secondary has none": {
			note: func(_ *Node, e *pendingEvents) { e.others = &verdict{rival: nodeB} },
			want: func(n *Node) bool { return n.keep.State().Rival == "" },
		},
		"one that was replaced has none": {
			leads: true, prepare: func(n *Node) { n.noteUnwritten(2) },
			note: func(_ *Node, e *pendingEvents) { e.others = &verdict{rival: nodeB} },
			want: func(n *Node) bool { return n.keep.State().Rival == "" },
		},
		"a primary says where it is": {
			prepare: func(n *Node) { n.sec.(*scriptedSecondary).set(waiting) },
			note:    func(_ *Node, e *pendingEvents) { e.leader = "z:1" },
			want: func(n *Node) bool {
				return n.keep.State().Follow[0] == "z:1" && n.isFollowing() &&
					n.sec.(*scriptedSecondary).looked()[0] == "z:1"
			},
		},
		"it cannot write down that it has a rival": {
			leads: true, prepare: full, note: func(_ *Node, e *pendingEvents) { e.others = &verdict{rival: nodeB} },
			want: (*Node).IsPrimary, logs: "another node is primary, and the state file cannot be written",
		},
		"it cannot write down a higher epoch": {
			leads: true, prepare: full, note: func(_ *Node, e *pendingEvents) { e.higher = 3 },
			want: (*Node).Fenced, logs: "another node is now primary, and the state file cannot be written",
		},
		"it cannot write down where the primary is": {
			prepare: func(n *Node) {
				full(n)
				n.sec.(*scriptedSecondary).set(waiting)
			},
			note: func(_ *Node, e *pendingEvents) { e.leader = "z:1" },
			want: func(n *Node) bool { return !n.isFollowing() }, logs: "cannot save the primary's address",
		},
		"it follows another node that does not say so": {
			prepare: func(n *Node) {
				n.sec.(*scriptedSecondary).set(secondary.Status{Connected: true, Address: "y:1"})
			},
			note: func(_ *Node, e *pendingEvents) { e.leader = "z:1" },
			want: func(n *Node) bool { return !n.isFollowing() },
		},
		"nobody says so": {
			prepare: func(n *Node) { n.sec.(*scriptedSecondary).set(waiting) },
			note:    func(*Node, *pendingEvents) {}, want: func(n *Node) bool { return !n.isFollowing() },
		},
		"a later transaction was seen": {
			leads: true, prepare: func(n *Node) { begins(n, n.st.LastTid()) },
			note: func(n *Node, e *pendingEvents) { e.later = n.st.LastTid() + 5 },
			want: func(n *Node) bool { return n.st.LastTid() > n.keep.State().Epoch().Begin+5 },
		},
		"a client has left": {
			leads: true, prepare: func(n *Node) { begins(n, n.st.LastTid()) },
			note: func(_ *Node, e *pendingEvents) { e.clientLeft = true },
			want: func(n *Node) bool { return n.st.LastTid() > n.keep.State().Epoch().Begin },
		},
		"a node without a state hears of an epoch": {
			prepare: func(n *Node) { n.keep = unwritten() },
			note:    func(_ *Node, e *pendingEvents) { e.higher = 3 },
			want:    func(n *Node) bool { return n.keep.State() == nil },
		},
	} {
		var out bytes.Buffer
		n, _, _ := standing(t, func(opt *Options) { opt.Logger = hclog.New(&hclog.LoggerOptions{Output: &out}) })
		n.setPrimary(c.leads)
		if c.prepare != nil {
			c.prepare(n)
		}
		n.events.note(func(e *pendingEvents) { c.note(n, e) })
		if len(n.events.news) != 1 {
			t.Errorf("%s: nobody is woken", name)
		}
		n.handleEvents(t.Context())
		fails := strings.Contains(out.String(), "cannot")
		if !c.want(n) || !strings.Contains(out.String(), c.logs) || fails != (c.logs != "") {
			t.Errorf("%s: leads %v, keeps %+v; it logs %s", name, n.IsPrimary(), n.keep.State(), out.String())
		}
		if len(n.changing) > 0 || n.events.take() != (pendingEvents{}) {
			t.Errorf("%s: it is not at its end", name)
		}
	}
}

// full leaves no room for a state file.
func full(n *Node) {
	n.opt.FS.(*simdisk.Disk).FailWhen(func(op simdisk.Op) error {
		if op.Kind == simdisk.Create {
			return syscall.ENOSPC
		}
		return nil
	})
}

// While somebody else changes the role, events wait, or end with their context.
func TestEventsWaitForAChange(t *testing.T) {
	n, _, _ := standing(t, nil)
	n.setPrimary(true)
	n.changing <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n.Outranked(3)
	n.handleEvents(ctx)
	if !n.IsPrimary() || len(n.changing) != 1 {
		t.Error("the role was changed by two at a time")
	}
	<-n.changing
}

// Of several epochs the highest is acted upon.
func TestTheHighestEpochThatIsHeardOfCounts(t *testing.T) {
	n, _, _ := standing(t, nil)
	for _, epoch := range []uint64{3, 5, 4} {
		n.Outranked(epoch)
	}
	if got := n.events.take().higher; got != 5 {
		t.Errorf("it is %d", got)
	}
}

// A secondary that has no primary goes where one says that it is; what was refused there is not tried again at once.
func TestWhoGoesWhereAPrimaryIs(t *testing.T) {
	for name, c := range map[string]struct {
		leads bool
		now   secondary.Status
		last  string // where it was sent before
		goes  bool
	}{
		"a primary":             {leads: true, now: secondary.Status{State: secondary.StateWaiting}},
		"one that is connected": {now: secondary.Status{State: secondary.StateLive, Connected: true}},
		"one that waits": {
			now: secondary.Status{State: secondary.StateWaiting, Address: "z:1"}, goes: true,
		},
		"one that tries that one": {now: secondary.Status{State: secondary.StateConnecting, Address: "z:1"}},
		"one that tries another": {
			now: secondary.Status{State: secondary.StateConnecting, Address: "y:1"}, goes: true,
		},
		"one that was refused": {
			now: secondary.Status{State: secondary.StateRefused, Address: "z:1"}, goes: true,
		},
		"one that was refused there": {now: secondary.Status{State: secondary.StateRefused}, last: "z:1"},
		"one that failed": {
			now: secondary.Status{State: secondary.StateFailed, Address: "z:1"}, goes: true,
		},
		"one that has failed there": {now: secondary.Status{State: secondary.StateFailed}, last: "z:1"},
		"one that was refused by others": {
			now: secondary.Status{State: secondary.StateRefused}, last: "y:1", goes: true,
		},
	} {
		n, sec, _ := standing(t, nil)
		n.setPrimary(c.leads)
		sec.set(c.now)
		n.leader = c.last
		if got := n.needsLeader("z:1"); got != c.goes {
			t.Errorf("%s: it goes: %v", name, got)
		}
	}
}

// A secondary is sent where the primary is, unless it is there.
func TestASecondaryIsSentToAnAddress(t *testing.T) {
	for name, c := range map[string]struct {
		addr string
		now  secondary.Status
		goes bool
	}{
		"nowhere":        {"", secondary.Status{}, false},
		"where it is":    {"z:1", secondary.Status{Connected: true, Address: "z:1"}, false},
		"where it tries": {"z:1", secondary.Status{Address: "z:1"}, true},
		"elsewhere":      {"z:1", secondary.Status{Connected: true, Address: "y:1"}, true},
	} {
		n, sec, _ := standing(t, nil)
		n.follow()
		first := n.running
		sec.set(c.now)
		if err := n.followAt(c.addr); err != nil {
			t.Fatal(err)
		}
		if went := n.running != first; went != c.goes || c.goes != (sec.looked()[0] == "z:1") ||
			slices.Contains(n.keep.State().Follow, "z:1") != c.goes {
			t.Errorf("%s: it goes %v, looks at %q", name, went, sec.looked())
		}
		if c.goes {
			select {
			case <-first.done:
			default:
				t.Errorf("%s: it follows two", name)
			}
		}
	}
}

// A node that asks for an identity does so soon, with growing pauses. One that leads asks every two seconds: H1.
func TestHowOftenTheOthersAreAsked(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		asksIdentity bool
		want         []time.Duration
	}{
		"for an identity": {true, []time.Duration{20 * ms, 60 * ms, 140 * ms, 300 * ms, 620 * ms, 1260 * ms, 2540 * ms,
			4540 * ms, 6540 * ms}},
		"by a primary": {false, []time.Duration{2 * time.Second, 4 * time.Second, 6 * time.Second}},
	} {
		synctest.Test(t, func(t *testing.T) {
			n, _, _ := standing(t, nil)
			var asked []time.Duration
			began := time.Now()
			n.opt.Dial = func(context.Context, string) (net.Conn, error) {
				asked = append(asked, time.Since(began))
				return nil, errors.New("away")
			}
			n.setPrimary(!c.asksIdentity)
			n.asksIdentity.Store(c.asksIdentity)
			n.peers.asked = began // for people they were asked just now
			n.Enter(t.Context())
			pause.For(t.Context(), 7*time.Second)
			if n.Leave(nil); !slices.Equal(asked, c.want) {
				t.Errorf("%s: after %v", name, asked)
			}
		})
	}
}

// An identity that cannot be written down is reported.
func TestAnIdentityThatCannotBeWrittenDownIsReported(t *testing.T) {
	var out bytes.Buffer
	n, b, c := among(t, func(opt *Options) { opt.Logger = hclog.New(&hclog.LoggerOptions{Output: &out}) })
	b.status.StorageID, b.status.Epochs, c.status.StorageID, c.status.Epochs = "", nil, "", nil
	n.asksIdentity.Store(true)
	l := &epochMonitor{Node: n}
	n.opt.Sync.Required, n.keep = 1, onceWritten(t)
	if l.check(t.Context()); !strings.Contains(out.String(), "cannot give the storage an identity") {
		t.Errorf("it logs %s", out.String())
	}
	out.Reset()
	n.opt.Sync.Required, n.keep = 0, unwritten()
	if l.check(t.Context()); n.keep.State() == nil || strings.Contains(out.String(), "cannot") {
		t.Errorf("it gets none: %s", out.String())
	}
}

// A node that follows another secondary leaves it when the primary says where it is, once a minute, if it was given
// several addresses.
func TestWhoLeavesAnotherSecondary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			addresses, path int
			left            time.Duration // ago
			leaves          bool
		}{
			"one that follows a secondary": {2, 2, time.Hour, true},
			"one that follows the primary": {2, 1, time.Hour, false},
			"one with one address":         {1, 2, time.Hour, false},
			"one that has just left":       {2, 2, leaveSecondaryPause - 1, false},
			"one that left a minute ago":   {2, 2, leaveSecondaryPause, true},
		} {
			n, sec, _ := standing(t, func(opt *Options) { opt.ReplicateFrom = at(t, "b:1", "c:1")[:c.addresses] })
			n.leftSecondary = time.Now().Add(-c.left)
			sec.set(secondary.Status{Connected: true, Address: "c:1", UpstreamPath: make([]string, c.path)})
			if got := n.needsLeader("b:1"); got != c.leaves || n.leftSecondary.Equal(time.Now()) != c.leaves {
				t.Errorf("%s: it leaves %v", name, got)
			}
		}
	})
}
