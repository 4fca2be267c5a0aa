package cluster

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// A node begins only an epoch above all that have begun, and none below one that it has voted for.
func TestWhichEpochsCanBegin(t *testing.T) {
	for _, c := range []struct {
		begun, seen, epoch uint64
		begins             bool
	}{
		{1, 1, 2, true}, {1, 1, 1, false}, {3, 3, 3, false}, {3, 3, 4, true}, {1, 4, 3, false}, {1, 4, 4, true},
	} {
		n, _, _ := standing(t, nil)
		update(n, func(id *state.State) {
			id.ObserveEpoch(c.seen)
			if c.begun > 1 {
				id.ObserveBegun(c.begun)
			}
		})
		err := n.beginEpoch(c.epoch, n.st.LastTid(), nil)
		if (err == nil) != c.begins || (n.keep.State().Epoch().Number == c.epoch) != (c.begins || c.epoch == 1) {
			t.Errorf("%+v: %v, now in epoch %d", c, err, n.keep.State().Epoch().Number)
		}
	}
}

// The epoch that begins is durable, with its voters, what commits wait for, and where the others are.
func TestWhatIsWrittenDownWithAnEpoch(t *testing.T) {
	waits := &state.Waits{Epoch: 1, After: 1, Required: 2}
	for name, c := range map[string]struct {
		leads  bool
		begin  zodb.Tid // of this node's last epoch, from its last transaction on
		voters []string
		waits  uint64 // since which epoch
	}{
		"a secondary is promoted":            {voters: []string{nodeA, nodeB}, waits: 2},
		"a primary goes on":                  {leads: true, waits: 1},
		"its last epoch has no transaction":  {begin: 1, voters: []string{nodeA, nodeB}, waits: 2},
		"it lacks the beginning of its last": {begin: 2, waits: 2},
	} {
		n, sec, server := standing(t, func(opt *Options) { opt.Sync = SyncConfig{Required: 1} })
		sec.status.Roster = []protocol.RosterEntry{{ReplicationAddr: "told:1"}}
		server.status.Secondaries = []primary.SecondaryStatus{{ReplicationAddr: "here:1"}}
		n.setPrimary(c.leads)
		last := n.st.LastTid()
		update(n, func(id *state.State) {
			id.Waits = waits
			if c.begin > 0 {
				id.Epochs[0].Begin = last + c.begin - 1
			}
		})
		if err := n.beginEpoch(2, last, []string{nodeA, nodeB}); err != nil {
			t.Fatal(err)
		}
		id := n.keep.State()
		e := id.Epoch()
		if e.Number != 2 || e.Begin != last || e.Node != id.Node || e.By != "own" || id.Role != state.RolePrimary ||
			!slices.Equal(id.Follow, []string{"told:1", "here:1"}) || id.Waits == nil || id.Waits.Epoch != c.waits {
			t.Errorf("%s: %+v, waits %+v", name, id, id.Waits)
		}
		if want := c.voters; !c.leads && !slices.Equal(e.Voters, want) {
			t.Errorf("%s: the voters are %q, want %q", name, e.Voters, want)
		}
	}
}

// A node that is primary takes transactions, has others connect again, and is asked about by nobody as one in conflict.
func TestWhatAPromotedNodeDoes(t *testing.T) {
	var access []zeo.Access
	n, _, server := standing(t, func(opt *Options) {
		opt.SetAccess = func(a zeo.Access) { access = append(access, a) }
	})
	n.conflictFound.Store(&Conflict{Kind: ConflictEpoch})
	oid, last := n.st.NewOid(), n.st.LastTid()
	if err := n.becomePrimary(2, nil); err != nil {
		t.Fatal(err)
	}
	if !n.IsPrimary() || n.Conflict() != nil || server.renewals() != 1 || n.st.LastTid() <= last ||
		len(n.begun) != 1 || !slices.Equal(access, []zeo.Access{zeo.Writable}) {
		t.Errorf("leads %v, conflict %v, renewals %d, access %v", n.IsPrimary(), n.Conflict(), server.renewals(),
			access)
	}
	if next := n.st.NewOid(); next-oid <= oidGap {
		t.Errorf("it gives %v after %v", next, oid)
	}
}

// A primary that hears of a higher epoch takes no more transactions, and follows if it knows of another node: H1.
func TestWhatAHigherEpochMakesOfANode(t *testing.T) {
	for name, c := range map[string]struct {
		leads, alone bool
		kept         string // an address in its state file
		begun        bool
		addr         string // of who asked for its vote
		role         state.Role
		latest       uint64
	}{
		"a primary, of one that has begun":    {leads: true, begun: true, role: state.RoleSecondary, latest: 4},
		"a primary, of one that it votes for": {leads: true, addr: "b:1", role: state.RoleSecondary, latest: 1},
		"a primary that knows of nobody":      {leads: true, alone: true, begun: true, role: "", latest: 4},
		"a primary that learns who asks": {
			leads: true, alone: true, addr: "b:1", role: state.RoleSecondary, latest: 1,
		},
		"a primary with an address in its file": {
			leads: true, alone: true, kept: "b:1", begun: true, role: state.RoleSecondary, latest: 4,
		},
		"a secondary": {begun: true, role: "", latest: 4},
	} {
		var access []zeo.Access
		n, _, server := standing(t, func(opt *Options) {
			if c.alone {
				opt.ReplicateFrom = nil
			}
			opt.SetAccess = func(a zeo.Access) { access = append(access, a) }
		})
		n.setPrimary(c.leads)
		if c.kept != "" {
			update(n, func(id *state.State) { id.FollowFirst([]string{c.kept}) })
		}
		if err := n.fence(t.Context(), 4, c.begun, c.addr); err != nil {
			t.Fatal(err)
		}
		id := n.keep.State()
		if id.Role != c.role || id.Highest() != 4 || id.Latest() != c.latest || !n.Fenced() {
			t.Errorf("%s: %+v", name, id)
		}
		if c.addr != "" && !slices.Contains(id.Follow, c.addr) {
			t.Errorf("%s: it looks at %q", name, id.Follow)
		}
		steps := c.role == state.RoleSecondary
		if n.IsPrimary() != (c.leads && !steps) || n.isFollowing() != steps || (server.renewals() > 0) != c.leads {
			t.Errorf("%s: it leads %v, follows %v, had its secondaries connect again %d times", name, n.IsPrimary(),
				n.isFollowing(), server.renewals())
		}
		if c.leads != slices.Equal(access, []zeo.Access{zeo.ReadOnly}) {
			t.Errorf("%s: clients may %v", name, access)
		}
	}
}

// The first transaction of an epoch is later than all that was heard of, as far as that can be true.
func TestHowManyTidsAnEpochSkips(t *testing.T) {
	n, sec, _ := standing(t, nil)
	last := n.st.LastTid()
	most := n.highestBelieved()
	if hour, err := zodb.TidFromTime(time.Now().Add(heardAhead)); err != nil || most > hour || most < hour-60*tidGap {
		t.Errorf("it believes up to %v, an hour from now is %v", most, hour)
	}
	for heard, want := range map[zodb.Tid]uint64{
		0: tidGap, last: tidGap, last + 5: tidGap + 5, most: uint64(most-last) + tidGap,
	} {
		if got := n.tidsToSkip(heard); got != want {
			t.Errorf("after %v was heard it skips %d, want %d", heard, got, want)
		}
	}
	if got := n.tidsToSkip(zodb.MaxTid); zodb.Tid(got) > n.highestBelieved()-last+tidGap {
		t.Errorf("what cannot be true makes it skip %d", got)
	}
	for _, c := range []struct{ primary, secondary, want zodb.Tid }{{7, 5, 7}, {5, 7, 7}, {0, 0, 0}} {
		sec.set(secondary.Status{PrimaryLast: c.primary, Roster: []protocol.RosterEntry{{Durable: 1},
			{Durable: c.secondary}}})
		if c.secondary == 0 {
			sec.set(secondary.Status{})
		}
		if got := n.lastHeard(); got != c.want {
			t.Errorf("%+v: it has heard of %v", c, got)
		}
	}
	ahead, err := zodb.TidFromTime(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.writeEmpty(t.Context(), last, nil); err != nil {
		t.Fatal(err)
	}
	if err := n.st.SkipTids(t.Context(), uint64(ahead-n.st.LastTid())); err != nil {
		t.Fatal(err)
	}
	if err := n.writeEmpty(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	last = n.st.LastTid() // tomorrow
	if most := n.highestBelieved(); most != last+zodb.Tid(heardAhead/time.Second)*tidGap {
		t.Errorf("behind %v it believes up to %v", last, most)
	}
}

// A crash between an epoch and its first transaction is made up for at the start; other starts write nothing.
func TestAStartWritesTheFirstTransactionOfAnEpochOnce(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*Node)
		writes  bool
	}{
		"the first epoch": {func(n *Node) {
			update(n, func(id *state.State) { id.Epochs[0].Begin = n.st.LastTid() })
		}, false},
		"one without transaction": {func(n *Node) { begins(n, n.st.LastTid()) }, true},
		"one with transactions":   {func(n *Node) { begins(n, n.st.LastTid()-1) }, false},
		"one that was replaced": {func(n *Node) {
			begins(n, n.st.LastTid())
			update(n, func(id *state.State) { id.ObserveBegun(5) })
		}, false},
		"no state": {func(n *Node) { n.keep = unwritten() }, false},
	} {
		n, _, _ := standing(t, nil)
		c.prepare(n)
		before := n.st.LastTid()
		if err := n.openAgain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if (n.st.LastTid() != before) != c.writes {
			t.Errorf("%s: the last transaction was %v and is %v", name, before, n.st.LastTid())
		}
	}
}

// A primary that cannot write down that its time is over takes no more transactions all the same.
func TestTheEndOfATimeThatCannotBeWrittenDown(t *testing.T) {
	for _, leads := range []bool{true, false} {
		var access []zeo.Access
		n, _, _ := standing(t, func(opt *Options) { opt.SetAccess = func(a zeo.Access) { access = append(access, a) } })
		n.setPrimary(leads)
		disk := n.opt.FS.(*simdisk.Disk)
		disk.FailWhen(func(op simdisk.Op) error {
			if op.Kind == simdisk.Create {
				return syscall.ENOSPC
			}
			return nil
		})
		if err := n.fence(t.Context(), 4, true, ""); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%v", err)
		}
		if n.keep.State().Highest() != 1 || n.Fenced() != leads || n.Access() != zeo.ReadOnly ||
			n.IsPrimary() != leads {
			t.Errorf("leads %v: %+v, fenced %v", leads, n.keep.State(), n.Fenced())
		}
		if leads != slices.Equal(access, []zeo.Access{zeo.ReadOnly}) {
			t.Errorf("leads %v: clients may %v", leads, access)
		}
		disk.Heal()
		if err := n.fence(t.Context(), 4, true, ""); err != nil || n.IsPrimary() || n.unwrittenEpoch() != 0 {
			t.Errorf("leads %v: %v", leads, err)
		}
	}
}

// A primary whose storage has failed is opened again when it has stepped down.
func TestAFailedPrimaryThatStepsDownIsOpenedAgain(t *testing.T) {
	n, _, _ := standing(t, nil)
	n.setPrimary(true)
	failing := true
	n.opt.FS.(*simdisk.Disk).FailWhen(func(op simdisk.Op) error {
		if failing && op.Kind == simdisk.Sync && op.Path == "Data.fs" {
			return syscall.EIO
		}
		return nil
	})
	if err := n.writeEmpty(t.Context(), 0, nil); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	failing = false
	if err := n.fence(t.Context(), 4, true, ""); err != nil || n.IsPrimary() || len(n.ended) != 1 {
		t.Errorf("%v: it leads %v, and ends with %d errors", err, n.IsPrimary(), len(n.ended))
	}
}

// begins has a node begin epoch 2.
func begins(n *Node, behind zodb.Tid) {
	if err := n.beginEpoch(2, behind, nil); err != nil {
		panic(err)
	}
}

// A primary goes on under a higher epoch where others have voted for one that nobody has begun, if all of them vote
// again, and it is still primary: P7.
func TestWhenAPrimaryBeginsAHigherEpoch(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(n *Node, b, c *fakeMember)
		epoch   uint64 // of the primary afterwards
		asks    bool   // for votes
		heard   uint64 // of a higher epoch that has begun
		fails   string
	}{
		"one has voted for epoch 5": {
			prepare: func(_ *Node, b, _ *fakeMember) { b.status.MaxEpochSeen = 5 }, epoch: 6, asks: true,
		},
		"it is primary no more": {prepare: func(n *Node, b, _ *fakeMember) {
			b.status.MaxEpochSeen = 5
			n.setPrimary(false)
		}, epoch: 1},
		"it was replaced": {prepare: func(n *Node, b, _ *fakeMember) {
			b.status.MaxEpochSeen = 5
			n.noteUnwritten(4)
		}, epoch: 1},
		"nobody has voted": {prepare: func(*Node, *fakeMember, *fakeMember) {}, epoch: 1},
		"epoch 5 has begun": {
			prepare: func(_ *Node, b, _ *fakeMember) { b.status.MaxEpochBegun = 5 }, epoch: 1, heard: 5,
		},
		"one has more": {prepare: func(_ *Node, b, c *fakeMember) {
			b.status.MaxEpochSeen = 5
			c.status.LastTid++
		}, epoch: 1, fails: "c has more"},
		"one has more by then": {prepare: func(_ *Node, b, c *fakeMember) {
			b.status.MaxEpochSeen = 5
			more := c.status
			more.LastTid++
			c.vote = &protocol.Vote{Epoch: 6, NodeStatus: more}
		}, epoch: 1, asks: true, fails: "c has more"},
		"one does not vote": {prepare: func(_ *Node, b, c *fakeMember) {
			b.status.MaxEpochSeen = 5
			c.vote = &protocol.Refusal{Code: protocol.CodeInternal, Text: "no"}
		}, epoch: 1, asks: true, fails: "not all nodes answer"},
	} {
		n, b, other := among(t, nil)
		n.setPrimary(true)
		n.entered.Store(true)
		n.failover = &failoverNode{node: n, changed: make(chan struct{}, 1)}
		c.prepare(n, b, other)
		last, server := n.st.LastTid(), n.replicationServer.(*fakeServer)
		err := n.beginHigherEpoch(t.Context())
		if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %v, want %q", name, err, c.fails)
		}
		begins := c.epoch > 1
		if got := n.keep.State().Epoch().Number; got != c.epoch || (len(other.votes()) > 0) != c.asks ||
			n.events.take().higher != c.heard || (server.renewals() > 0) != begins ||
			(n.st.LastTid() > last) != begins {
			t.Errorf("%s: epoch %d, c was asked for %v, secondaries connect again %d times", name, got, other.votes(),
				server.renewals())
		}
		if (len(n.failover.changed) > 0) != begins {
			t.Errorf("%s: the coordinator hears of it: %v", name, !begins)
		}
		if err := n.writeEmpty(t.Context(), 0, nil); err != nil { // commits are not held any more
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What keeps a primary from a higher epoch is logged when it is another reason than the time before.
func TestWhyAPrimaryBeginsNoHigherEpochIsLoggedOnce(t *testing.T) {
	var out bytes.Buffer
	n, b, c := among(t, func(opt *Options) { opt.Logger = hclog.New(&hclog.LoggerOptions{Output: &out}) })
	n.setPrimary(true)
	b.status.MaxEpochSeen, c.status.LastTid = 5, c.status.LastTid+1
	said := n.tryHigherEpoch(t.Context(), "")
	if !strings.Contains(said, "c has more") || !strings.Contains(out.String(), "c has more") {
		t.Errorf("it says %q, and logs %q", said, out.String())
	}
	out.Reset()
	if again := n.tryHigherEpoch(t.Context(), said); again != said || out.Len() > 0 {
		t.Errorf("it says %q, and logs %q", again, out.String())
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	n.changing <- struct{}{}
	if said := n.tryHigherEpoch(ended, ""); said != "" || out.Len() > 0 {
		t.Errorf("at its end it says %q, and logs %q", said, out.String())
	}
	<-n.changing
	c.status.LastTid--
	if said := n.tryHigherEpoch(t.Context(), ""); said != "" || n.keep.State().Epoch().Number != 6 {
		t.Errorf("it says %q", said)
	}
}
