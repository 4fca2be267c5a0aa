package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// A node takes over only what it has all of, in an epoch that it has not seen.
func TestWhatASuccessorCanTakeOver(t *testing.T) {
	n, _, _ := standing(t, nil)
	last := n.st.LastTid()
	update(n, func(id *state.State) { id.ObserveEpoch(4) })
	for _, c := range []struct {
		epoch uint64
		last  zodb.Tid
		want  string
	}{
		{5, last, ""}, {4, last, "has seen epoch 4"}, {5, last + 1, "the last transaction here is"},
		{5, last - 1, "the last transaction here is"}, {5 + state.MaxStep, last, "not plausible"},
	} {
		err := n.CheckHandover(&protocol.HandoverCheck{Epoch: c.epoch, Last: c.last})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	n.keep = unwritten()
	if err := n.CheckHandover(&protocol.HandoverCheck{Epoch: 5}); !errors.Is(err, state.ErrNoState) {
		t.Error(err)
	}
}

// The successor leads if it has all that the former primary has, and has given its word to nobody else.
func TestWhenASuccessorLeads(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*Node)
		epoch   uint64
		behind  zodb.Tid // by how much less the node has
		leads   bool
		want    string
	}{
		"it has all":                  {epoch: 2, leads: true},
		"it lacks something":          {epoch: 2, behind: 1, want: "the former primary's is"},
		"the epoch has begun":         {epoch: 1},
		"it leads":                    {prepare: func(n *Node) { n.setPrimary(true) }, epoch: 2, leads: true},
		"the number cannot be":        {epoch: 2 + state.MaxStep, want: "not plausible"},
		"it has voted for another":    {prepare: votedFor(nodeB, 2), epoch: 2, want: "has voted for node " + nodeB},
		"it has voted for itself":     {prepare: votedFor("", 2), epoch: 2, leads: true},
		"it has heard of that epoch":  {prepare: seen(2), epoch: 2, leads: true},
		"it has seen a higher one":    {prepare: seen(3), epoch: 2, want: "has since seen epoch 3"},
		"it voted for another before": {prepare: votedFor(nodeB, 2), epoch: 3, leads: true},
		"it has no state":             {prepare: func(n *Node) { n.keep = unwritten() }, epoch: 2},
		"another epoch has begun": {prepare: func(n *Node) {
			update(n, func(id *state.State) { id.MaxEpochBegun = 5 })
		}, epoch: 2, want: "cannot begin"},
	} {
		n, _, _ := standing(t, nil)
		n.follow()
		if c.prepare != nil {
			c.prepare(n)
		}
		before := n.keep.State()
		err := n.succeed(&handover{c.epoch, n.st.LastTid() + c.behind})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) ||
			n.IsPrimary() != c.leads {
			t.Errorf("%s: %v, leads %v", name, err, n.IsPrimary())
		}
		begun := c.leads && name != "it leads"
		if begun != (n.keep.State() != before) || begun && n.keep.State().Epoch().Number != c.epoch ||
			n.isFollowing() == begun {
			t.Errorf("%s: it follows %v, and keeps %+v", name, n.isFollowing(), n.keep.State())
		}
	}
}

func seen(epoch uint64) func(*Node) {
	return func(n *Node) { update(n, func(id *state.State) { id.ObserveEpoch(epoch) }) }
}

// votedFor has it vote for a node; empty: for itself.
func votedFor(node string, epoch uint64) func(*Node) {
	return func(n *Node) {
		update(n, func(id *state.State) {
			if id.Vote(epoch, node); node == "" {
				id.VotedFor = id.Node
			}
		})
	}
}

// handingOver is a primary with a secondary, b, and the steps that it told.
func handingOver(t *testing.T) (n *Node, sec *scriptedSecondary, server *fakeServer) {
	t.Helper()
	n, sec, server = standing(t, nil)
	n.setPrimary(true)
	n.since = time.Now().Add(-time.Hour)
	server.status.Secondaries = []primary.SecondaryStatus{
		{Name: "c", Node: nodeA, ReplicationAddr: "c:1", State: primary.StateLive},
		{Name: "b", Node: nodeB, ReplicationAddr: "b:1", State: primary.StateLive},
	}
	return n, sec, server
}

// begunElsewhere has the successor of a handover lead, as the node that has stepped down sees it.
func begunElsewhere(n *Node, sec *scriptedSecondary) {
	update(n, func(id *state.State) {
		id.Epochs = append(id.Epochs, protocol.Epoch{Number: id.MaxEpochSeen, Begin: n.st.LastTid(), Node: nodeB})
	})
	sec.set(secondary.Status{Connected: true})
}

// A primary that hands over writes that down before it tells the successor, and follows it.
func TestWhatAHandoverDoes(t *testing.T) {
	for _, to := range []string{"b", nodeB} {
		n, sec, server := handingOver(t)
		last := n.st.LastTid()
		change, err := n.Switchover(t.Context(), admin.SwitchoverRequest{To: to}, func(s admin.Step) {
			if !strings.Contains(s.Text, "has stepped down") {
				return
			}
			if id := n.keep.State(); id.Role != state.RoleSecondary || id.Successor != nodeB || id.MaxEpochSeen != 2 ||
				len(server.tookOver) > 0 || n.IsPrimary() {
				t.Errorf("it has stepped down with %+v", id)
			}
			begunElsewhere(n, sec)
		})
		if err != nil {
			t.Fatal(err)
		}
		if change.Epoch != 2 || change.Role != "secondary" || !change.Done || change.Pause == nil || !n.isFollowing() ||
			n.keep.State().Follow[0] != "b:1" || server.renewals() == 0 || len(change.Steps) != 5 {
			t.Errorf("it says %+v", change)
		}
		if len(server.tookOver) != 1 || server.tookOver[0].Epoch != 2 || server.tookOver[0].Last != last {
			t.Errorf("the successor was told %+v", server.tookOver)
		}
		if !n.readOnly {
			t.Error("clients that write were not sent to the new primary")
		}
		if err := n.writeEmpty(t.Context(), 0, nil); err != nil { // what follows must be able to write
			t.Error(err)
		}
	}
}

// A step that fails before the handover is written down leaves a primary that takes transactions: S2.
func TestAHandoverThatFailsChangesNothing(t *testing.T) {
	failed := errors.New("failed")
	for name, c := range map[string]struct {
		prepare func(*Node, *fakeServer)
		want    string
	}{
		"it does not catch up": {
			func(_ *Node, s *fakeServer) { s.durable = []error{failed} }, "before commits were held",
		},
		"it does not get the last transactions": {
			func(_ *Node, s *fakeServer) { s.durable = []error{nil, failed} }, "got the last transactions",
		},
		"it cannot take over": {func(_ *Node, s *fakeServer) { s.check = failed }, "checked that it can take over"},
		"it cannot be written down": {func(n *Node, _ *fakeServer) {
			n.opt.FS.(*simdisk.Disk).FailWhen(func(op simdisk.Op) error {
				if op.Kind == simdisk.Create {
					return failed
				}
				return nil
			})
		}, "the handover was saved"},
	} {
		n, _, server := handingOver(t)
		before := n.keep.State()
		c.prepare(n, server)
		_, err := n.Switchover(t.Context(), admin.SwitchoverRequest{To: "b"}, func(admin.Step) {})
		if !errors.Is(err, failed) || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), "stays primary") {
			t.Errorf("%s: %v", name, err)
		}
		if !n.IsPrimary() || n.keep.State() != before || len(server.tookOver) > 0 || n.isFollowing() {
			t.Errorf("%s: it leads %v, and keeps %+v", name, n.IsPrimary(), n.keep.State())
		}
		if err := n.writeEmpty(t.Context(), 0, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is written down stays, whatever the successor and the operator do: S3, S4.
func TestAHandoverIsNotTakenBack(t *testing.T) {
	for name, what := range map[string]func(*Node, *scriptedSecondary){
		"it follows another secondary": func(_ *Node,
			sec *scriptedSecondary) {
			sec.set(secondary.Status{Connected: true})
		},
		"the successor has gone again": func(n *Node, sec *scriptedSecondary) {
			begunElsewhere(n, sec)
			sec.set(secondary.Status{})
		},
	} {
		t.Run(name, func(t *testing.T) { isNotTakenBack(t, what) })
	}
}

func isNotTakenBack(t *testing.T, what func(*Node, *scriptedSecondary)) {
	t.Helper()
	n, sec, server := handingOver(t)
	server.takeOver = errors.New("gone")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := n.Switchover(ctx, admin.SwitchoverRequest{To: "b"}, func(s admin.Step) {
		if strings.Contains(s.Text, "has stepped down") {
			what(n, sec)
			cancel()
		}
	})
	id := n.keep.State()
	if err == nil || !strings.Contains(err.Error(), "has not seen it as primary yet") || n.IsPrimary() ||
		id.Role != state.RoleSecondary || id.Successor != nodeB || id.MaxEpochSeen != 2 || !n.isFollowing() {
		t.Errorf("%v: it leads %v, and keeps %+v", err, n.IsPrimary(), id)
	}
}

// The successor hears of a handover by a message, and again from whoever has handed over and connects.
func TestASuccessorHearsOfTheHandover(t *testing.T) {
	n, _, _ := standing(t, nil)
	for name, hear := range map[string]func(){
		"a message": func() { n.TakeOver(&protocol.TakeOver{Epoch: 2, Last: 7}) },
		"a hello":   func() { n.HandedOver(&protocol.Hello{MaxEpochSeen: 2, Last: protocol.Position{Tid: 7}}) },
	} {
		if hear(); len(n.events.news) != 1 {
			t.Errorf("%s wakes nobody", name)
		}
		<-n.events.news
		if got := n.events.take().successor; got == nil || *got != (handover{2, 7}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A trial says what would be done.
func TestATrialOfAHandoverChangesNothing(t *testing.T) {
	n, _, server := handingOver(t)
	before := n.keep.State()
	change, err := n.Switchover(t.Context(), admin.SwitchoverRequest{To: "b", DryRun: true}, func(admin.Step) {})
	if err != nil || change.Done || change.Epoch != 2 || len(change.Steps) != 1 || change.Pause != nil ||
		!n.IsPrimary() ||
		n.keep.State() != before || len(server.tookOver) > 0 {
		t.Errorf("%+v, %v", change, err)
	}
}

// What a node has got as a secondary by the end of the change is not what it handed over.
func TestTheLastTransactionOfAChangeIsThatOfTheRoleGivenUp(t *testing.T) {
	n, _, _ := handingOver(t)
	last := n.st.LastTid()
	for given, want := range map[zodb.Tid]zodb.Tid{0: last, last - 1: last - 1} {
		p := report{lastTid: given}
		if got := p.outcome(n).LastTid; got == nil || *got != want {
			t.Errorf("%v was given up: the outcome is %v, want %v", given, got, want)
		}
	}
}

// Who can be the successor, and what an operator is told otherwise.
func TestWhoCanBeTheSuccessor(t *testing.T) {
	b := primary.SecondaryStatus{Name: "b", Node: nodeB, ReplicationAddr: "b:1", State: primary.StateLive}
	for name, c := range map[string]struct {
		to     string
		change func(*Node, *primary.SecondaryStatus)
		reason admin.Reason
		want   string
	}{
		"a secondary": {"b", func(*Node, *primary.SecondaryStatus) {}, "", ""},
		"by its id":   {nodeB, func(*Node, *primary.SecondaryStatus) {}, "", ""},
		"another name": {
			"c", func(*Node, *primary.SecondaryStatus) {}, admin.Invalid, "those of this primary are: b (live)",
		},
		"no name, and one without an id": {
			"", func(_ *Node, s *primary.SecondaryStatus) { s.Node = "" }, admin.Invalid, "there is no secondary",
		},
		"one that is not accepted yet": {
			"b", func(_ *Node, s *primary.SecondaryStatus) { s.State = primary.StateHandshake }, admin.Invalid,
			"b (handshake)",
		},
		"one that is refused": {
			"b", func(_ *Node, s *primary.SecondaryStatus) { s.State = primary.StateRefused }, admin.Invalid,
			"b (refused)",
		},
		"one that is gone": {
			"b", func(_ *Node, s *primary.SecondaryStatus) {
				s.State, s.GoneSince = primary.StateDisconnected, time.Now().Add(-2*reconnectLimit)
			}, admin.Unavailable, "has been disconnected since",
		},
		"one that is seeding": {
			"b", func(_ *Node, s *primary.SecondaryStatus) { s.State = primary.StateSeeding }, admin.Unavailable,
			"b is seeding",
		},
		"one without an address": {
			"b", func(_ *Node, s *primary.SecondaryStatus) { s.ReplicationAddr = "" }, admin.NotAllowed,
			"cannot be primary",
		},
		"one without an id": {
			"b", func(_ *Node, s *primary.SecondaryStatus) { s.Node = "" }, admin.NotAllowed, "cannot be primary",
		},
		"where nobody can connect": {
			"b", func(n *Node, _ *primary.SecondaryStatus) { n.replicationServer = nil }, admin.Invalid, "are: none",
		},
		"of a secondary": {
			"b", func(n *Node, _ *primary.SecondaryStatus) { n.setPrimary(false) }, admin.NotAllowed,
			"is not the primary",
		},
		"of a primary that was replaced": {
			"b", func(n *Node, _ *primary.SecondaryStatus) { n.noteUnwritten(2) }, admin.NotAllowed,
			"is not the primary",
		},
	} {
		n, _, server := handingOver(t)
		s := b
		c.change(n, &s)
		server.status.Secondaries = []primary.SecondaryStatus{s}
		h := &switchover{Node: n, to: c.to, report: report{tell: func(admin.Step) {}}}
		err := h.awaitSuccessor(t.Context())
		var refusal *admin.Refusal
		switch {
		case c.want == "":
			if err != nil || h.successor.Node != nodeB || h.epoch != 2 {
				t.Errorf("%s: %+v of epoch %d, %v", name, h.successor, h.epoch, err)
			}
		case !errors.As(err, &refusal) || refusal.Reason != c.reason || !strings.Contains(refusal.Text, c.want):
			t.Errorf("%s: %v, want %s: %q", name, err, c.reason, c.want)
		}
	}
}

// A secondary that was disconnected a moment ago is waited for until it is back, or the operator has gone away: S5.
func TestASuccessorThatConnectsAgainIsWaitedFor(t *testing.T) {
	n, _, server := handingOver(t)
	gone := &server.status.Secondaries[1]
	gone.State, gone.GoneSince = primary.StateDisconnected, time.Now()
	asked := 0
	server.asked = func(*primary.Status) {
		if asked++; asked == 4 {
			gone.State = primary.StateLive
		}
	}
	steps := 0
	h := &switchover{Node: n, to: "b", report: report{tell: func(admin.Step) { steps++ }}}
	if err := h.awaitSuccessor(t.Context()); err != nil || steps != 1 || asked != 4 ||
		h.successor.State != primary.StateLive {
		t.Errorf("after %d steps: %v", steps, err)
	}
	gone.State = primary.StateDisconnected
	server.asked = func(now *primary.Status) {
		if asked++; asked == 6 {
			now.Secondaries = now.Secondaries[:1]
		}
	}
	var forgotten *admin.Refusal
	h = &switchover{Node: n, to: "b", report: report{tell: func(admin.Step) {}}}
	if err := h.awaitSuccessor(t.Context()); !errors.As(err, &forgotten) || forgotten.Reason != admin.Invalid {
		t.Errorf("it was forgotten meanwhile: %v", err)
	}
	server.asked, server.status.Secondaries = nil, server.status.Secondaries[:2]
	ctx, cancel := context.WithCancel(t.Context())
	h = &switchover{Node: n, to: "b", report: report{tell: func(admin.Step) { cancel() }}}
	var refusal *admin.Refusal
	if err := h.awaitSuccessor(ctx); !errors.As(err, &refusal) || refusal.Reason != admin.Unavailable {
		t.Error(err)
	}
	cancel()
}

// A connection that ends, or that catches up, while the successor is to get the rest is waited for like one that had
// ended before: S5.
func TestASuccessorThatReconnectsWhileItCatchesUpIsWaitedFor(t *testing.T) {
	n, _, server := handingOver(t)
	b := &server.status.Secondaries[1]
	server.durable = []error{primary.ErrNotConnected, primary.ErrNotConnected, primary.ErrNotConnected}
	states := []primary.State{
		primary.StateLive, primary.StateDisconnected, primary.StateCatchingUp, primary.StateCatchingUp,
		primary.StateLive,
	}
	asked := 0
	server.asked = func(*primary.Status) {
		b.State, b.GoneSince = states[min(asked, len(states)-1)], time.Now()
		asked++
	}
	var steps []string
	h := &switchover{Node: n, to: "b", report: report{tell: func(s admin.Step) { steps = append(steps, s.Text) }}}
	if err := errors.Join(h.awaitSuccessor(t.Context()), h.awaitCaughtUp(t.Context())); err != nil {
		t.Fatal(err)
	}
	want := []string{"waiting for b, which was disconnected a moment ago", "waiting for b, which is catching-up"}
	if !slices.Equal(steps, want) || asked != len(states) || len(server.durable) > 0 {
		t.Errorf("after %d looks it said %q", asked, steps)
	}

	b.State = primary.StateDisconnected
	server.durable = []error{primary.ErrNotConnected}
	server.asked = func(*primary.Status) {
		b.State, b.GoneSince = primary.StateDisconnected, time.Now().Add(-time.Hour)
	}
	var refusal *admin.Refusal
	if err := h.awaitCaughtUp(t.Context()); !errors.As(err, &refusal) || refusal.Reason != admin.Unavailable {
		t.Errorf("it stays away: %v", err)
	}
}

// For how long a successor is waited for: since it was disconnected, or since this node became primary, as long as it
// is that, and the successor is not there in another state.
func TestHowLongASuccessorIsWaitedFor(t *testing.T) {
	gone := func(d time.Duration) *primary.SecondaryStatus {
		return &primary.SecondaryStatus{State: primary.StateDisconnected, GoneSince: time.Now().Add(-d)}
	}
	const limit, late = reconnectLimit, reconnectLimit + 1
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			prepare   func(*Node)
			leads     time.Duration // for how long
			successor *primary.SecondaryStatus
			waits     bool
		}{
			"it has not connected yet":      {leads: limit, waits: true},
			"for too long":                  {leads: late},
			"it has gone":                   {leads: time.Hour, successor: gone(limit), waits: true},
			"for too long again":            {leads: time.Hour, successor: gone(late)},
			"it has gone, and this started": {leads: limit, successor: gone(time.Hour), waits: true},
			"it is there, and cannot":       {successor: &primary.SecondaryStatus{State: primary.StateLive}},
			"this node leads no more":       {prepare: func(n *Node) { n.isPrimary = false }},
			"this node was replaced":        {prepare: func(n *Node) { n.noteUnwritten(9) }},
		} {
			n, _, _ := handingOver(t)
			if c.prepare != nil {
				c.prepare(n)
			}
			n.since = time.Now().Add(-c.leads)
			if got := (&switchover{Node: n, successor: c.successor}).mayConnect(); got != c.waits {
				t.Errorf("%s: it is waited for %v", name, got)
			}
		}
	})
}

// A node that has never connected here is waited for where it answers, by name or id. That is asked once.
func TestASuccessorThatAnswersIsWaitedFor(t *testing.T) {
	for name, c := range map[string]struct {
		to, named string
		waits     bool
	}{
		"by its name": {"b", "b", true}, "by its id": {nodeB, "b", true}, "another one": {"x", "b", false},
		"nobody": {"", "b", false}, "nobody, where one has no name": {"", "", false},
	} {
		n, b, _ := among(t, func(opt *Options) { opt.ReplicateFrom = at(t, "b:1", "x:1") })
		b.status.Name = c.named
		server := n.replicationServer.(*fakeServer)
		n.setPrimary(true)
		asked := 0
		server.asked = func(now *primary.Status) {
			if asked++; asked == 5 { // once for the addresses
				now.Secondaries = []primary.SecondaryStatus{{
					Name: "b", Node: nodeB, ReplicationAddr: "b:1", State: primary.StateLive,
				}}
			}
		}
		steps := 0
		h := &switchover{Node: n, to: c.to, report: report{tell: func(admin.Step) { steps++ }}}
		err := h.awaitSuccessor(t.Context())
		if (err == nil) != c.waits || (steps > 0) != c.waits || (asked == 5) != c.waits || len(b.asked) > 1 {
			t.Errorf("%s: %v; after %d looks and %d questions", name, err, asked, len(b.asked))
		}
	}
}
