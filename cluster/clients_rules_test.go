package cluster

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// All ask who leads but a primary that takes transactions, and one that follows a zc.zrs, which answers nothing.
func TestWhoAsksWhoLeads(t *testing.T) {
	of := func(leader string) func(*fakeMember) {
		return func(b *fakeMember) { b.status.IsPrimary, b.status.Name = true, leader }
	}
	zrs := secondary.Status{Connected: true, Protocol: "zrs2.1", Address: "y:1"}
	for name, c := range map[string]struct {
		prepare func(n *Node, b *fakeMember)
		want    string // how its name begins; empty: nobody
	}{
		"a secondary":  {func(_ *Node, b *fakeMember) { of("b")(b) }, "b (node "},
		"nobody leads": {func(*Node, *fakeMember) {}, ""},
		"a primary":    {func(n *Node, b *fakeMember) { of("b")(b); n.setPrimary(true) }, ""},
		"one that was replaced": {func(n *Node, b *fakeMember) {
			of("b")(b)
			n.setPrimary(true)
			n.noteUnwritten(4)
		}, "b (node "},
		"one that follows a zc.zrs": {func(n *Node, b *fakeMember) {
			of("b")(b)
			n.sec.(*scriptedSecondary).set(zrs)
		}, "a zc.zrs at y:1"},
		"one that followed a zc.zrs": {func(n *Node, b *fakeMember) {
			of("b")(b)
			was := zrs
			was.Connected = false
			n.sec.(*scriptedSecondary).set(was)
		}, "b (node "},
		"one without a state": {func(n *Node, b *fakeMember) { of("b")(b); n.keep = unwritten() }, ""},
		"it names no epoch":   {func(_ *Node, b *fakeMember) { of("b")(b); b.status.Epochs = nil }, ""},
	} {
		n, b, _ := among(t, nil)
		c.prepare(n, b)
		got := n.leaderElsewhere(t.Context()).Name
		if (got == "") != (c.want == "") || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q leads, want %q", name, got, c.want)
		}
		n.asked.Wait()
	}
}

// Clients that want to write wait at a node that may be primary one day: one that was started as that, or one that
// others can follow and that has blobs of its own.
func TestWhoMayLeadOneDay(t *testing.T) {
	for name, c := range map[string]struct {
		starts state.Role
		addr   string
		shared bool
		may    bool
	}{
		"a secondary that others can follow": {state.RoleSecondary, "own:1", false, true},
		"one that nobody can follow":         {state.RoleSecondary, "", false, false},
		"one with the primary's blobs":       {state.RoleSecondary, "own:1", true, false},
		"a primary":                          {state.RolePrimary, "", false, true},
	} {
		n, _, _ := standing(t, func(opt *Options) {
			opt.Starts, opt.ReplicationAddr, opt.SharedBlobs = c.starts, c.addr, c.shared
		})
		if n.mayLead() != c.may || n.serveOptions().Hold != c.may {
			t.Errorf("%s: %v", name, n.mayLead())
		}
	}
}

// What a primary concludes of the last transactions of others: a later one of another epoch is gone past; a later one
// of its own epoch says that this is an older copy.
func TestWhatAPrimaryHearsOfLaterTransactions(t *testing.T) {
	foreign := func(p *protocol.NodeStatus) { p.Epochs = []protocol.Epoch{{Number: 1, Node: nodeB}} }
	foreignPrimary := func(p *protocol.NodeStatus) { foreign(p); leads(p) }
	for name, c := range map[string]struct {
		ahead  int64
		change func(*protocol.NodeStatus)
		later  bool
		older  bool
	}{
		"a secondary that has as much":     {0, nil, false, false},
		"one that has less":                {-1, nil, false, false},
		"one that has more":                {1, nil, false, true},
		"one of another epoch":             {1, foreign, true, false},
		"one of another epoch, with less":  {-1, foreign, false, false},
		"one of another epoch, that leads": {1, foreignPrimary, false, false},
	} {
		n, _, _ := standing(t, nil)
		n.setPrimary(true)
		n.heardFrom([]answer{{addr: "c:1"}, n.says("b", c.ahead, c.change)})
		if got := n.events.take(); (got.later > 0) != c.later || n.secondaryAhead.Load() != c.older {
			t.Errorf("%s: %+v, ahead %v", name, got, n.secondaryAhead.Load())
		}
	}
	n, _, _ := standing(t, nil)
	for tid, want := range map[zodb.Tid]bool{n.highestBelieved() / 2: true, zodb.MaxTid: false} {
		n.Surpassed(tid)
		if got := n.events.take().later; (got == tid) != want {
			t.Errorf("of %v it believes %v", tid, got)
		}
	}
}

// When a primary writes an empty transaction because of what clients have seen elsewhere: a primary of a later epoch
// that takes transactions, for a later transaction than its own, or because clients left.
func TestWhenAPrimaryGoesPastWhatClientsHaveSeen(t *testing.T) {
	older := func(n *Node) { n.secondaryAhead.Store(true) }
	for name, c := range map[string]struct {
		prepare func(*Node)
		later   zodb.Tid // than the last transaction
		left    bool
		writes  bool
	}{
		"a later one was seen":          {later: 1, writes: true},
		"its own last one was":          {},
		"clients left":                  {left: true, writes: true},
		"it is an older copy":           {prepare: older, left: true},
		"an older copy, and later ones": {prepare: older, later: 1, writes: true},
		"a frozen primary": {
			prepare: func(n *Node) { update(n, func(id *state.State) { id.Frozen = true }) }, later: 1,
		},
		"one that was replaced": {prepare: func(n *Node) { n.noteUnwritten(9) }, later: 1},
		"a secondary":           {prepare: func(n *Node) { n.setPrimary(false) }, later: 1},
		"one of the first epoch": {
			prepare: func(n *Node) { update(n, func(id *state.State) { id.Epochs = id.Epochs[:1] }) }, later: 1,
		},
		"one without a state": {prepare: func(n *Node) { n.keep = unwritten() }, later: 1},
	} {
		n, _, _ := standing(t, nil)
		n.setPrimary(true)
		begins(n, n.st.LastTid())
		if c.prepare != nil {
			c.prepare(n)
		}
		last := n.st.LastTid()
		n.surpass(t.Context(), last+c.later, c.left)
		if wrote := n.st.LastTid() > last; wrote != c.writes || wrote && n.st.LastTid() <= last+c.later {
			t.Errorf("%s: the last transaction was %v, and is %v", name, last, n.st.LastTid())
		}
	}
}

// Where nobody commits the pauses between such transactions grow: the one that was written is no commit.
func TestWhatAPrimaryWritesItselfIsNoCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _, _ := standing(t, nil)
		n.setPrimary(true)
		begins(n, n.st.LastTid())
		wrote := 0
		for range 15 { // minutes: after 0, 1, 3 and 7
			last := n.st.LastTid()
			n.surpass(t.Context(), last, true)
			if n.st.LastTid() > last {
				wrote++
			}
			pause.For(t.Context(), time.Minute)
		}
		if wrote != 4 {
			t.Errorf("it wrote %d transactions", wrote)
		}
	})
}

// The answers that come too late for a client are waited for when the storage is withdrawn.
func TestAWithdrawalWaitsForQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, b, _ := among(t, nil)
		b.status.IsPrimary = true
		var ended atomic.Bool
		dial := n.opt.Dial
		n.opt.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			if addr == "b:1" {
				return dial(ctx, addr)
			}
			<-ctx.Done() // it does not answer
			ended.Store(true)
			return nil, ctx.Err()
		}
		_, release := n.Open()
		if got := n.leaderElsewhere(t.Context()); got == (zeo.Leader{}) || ended.Load() {
			t.Errorf("%+v leads; all have answered: %v", got, ended.Load())
		}
		if release(); !ended.Load() {
			t.Error("a question goes on after the end")
		}
	})
}
