package cluster

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zeo"
)

// A node follows only where a node answers: D1.
func TestWhomANodeCanBeToldToFollow(t *testing.T) {
	many := make([]string, state.MaxMembers+1)
	for i := range many {
		many[i] = "b:1"
	}
	for name, c := range map[string]struct {
		follow  []string
		prepare func(*Node, *fakeMember)
		reason  admin.Reason
		want    string
		warns   string // one of the warnings; empty: there is none
	}{
		"a primary":   {follow: []string{"b:1"}, prepare: func(_ *Node, b *fakeMember) { b.status.IsPrimary = true }},
		"a secondary": {follow: []string{"b:1"}, warns: "none of b:1 is primary"},
		"a secondary and the primary": {
			follow: []string{"b:1", "c:1"}, prepare: func(_ *Node, b *fakeMember) { b.status.IsPrimary = true },
		},
		"a node that is away, and the primary": {
			follow: []string{"x:1", "b:1"}, prepare: func(_ *Node, b *fakeMember) { b.status.IsPrimary = true },
			warns: "asking x:1",
		},
		"nobody":            {reason: admin.Invalid, want: "0 addresses"},
		"too many":          {follow: many, reason: admin.Invalid, want: "33 addresses"},
		"as many as can be": {follow: many[1:], prepare: func(_ *Node, b *fakeMember) { b.status.IsPrimary = true }},
		"no address":        {follow: []string{"b"}, reason: admin.Invalid},
		"a node that is away": {
			follow: []string{"x:1"}, reason: admin.Unavailable, want: "nobody answers at x:1: asking x:1",
			warns: "asking x:1",
		},
		"itself": {follow: []string{"b:1"}, prepare: func(n *Node, b *fakeMember) {
			b.status.Node = n.keep.Node()
		}, reason: admin.Unavailable, want: "nobody answers at b:1", warns: "b:1 is this node itself"},
		"an address that is not allowed": {follow: []string{"b:1"}, prepare: func(n *Node, _ *fakeMember) {
			n.opt.MayDial = func(endpoint.Endpoint) error { return errors.New("not encrypted") }
		}, reason: admin.Invalid, want: "not encrypted"},
		"one that is": {follow: []string{"b:1"}, prepare: func(n *Node, b *fakeMember) {
			b.status.IsPrimary = true
			n.opt.MayDial = func(endpoint.Endpoint) error { return nil }
		}},
		"before it has a state": {follow: []string{"b:1"}, prepare: func(n *Node, _ *fakeMember) {
			n.keep = unwritten()
		}, reason: admin.NotAllowed, want: state.ErrNoState.Error()},
	} {
		n, b, _ := among(t, nil)
		if c.prepare != nil {
			c.prepare(n, b)
		}
		p := &report{}
		err := n.checkFollow(t.Context(), p, c.follow)
		var refusal *admin.Refusal
		if c.reason == "" != (err == nil) ||
			err != nil && (!errors.As(err, &refusal) || refusal.Reason != c.reason || !strings.Contains(refusal.Text,
				c.want)) {
			t.Errorf("%s: %v, want %s: %q", name, err, c.reason, c.want)
		}
		if all := strings.Join(p.warnings, "; "); c.warns == "" != (all == "") || !strings.Contains(all, c.warns) {
			t.Errorf("%s: it warns %q", name, all)
		}
	}
}

// A demoted primary follows, and takes no transactions; nothing is in between when that is written down.
func TestWhatADemotionDoes(t *testing.T) {
	for _, leads := range []bool{true, false} {
		var access []zeo.Access
		n, b, _ := among(t, func(opt *Options) {
			opt.SetAccess = func(a zeo.Access) { access = append(access, a) }
		})
		b.status.IsPrimary = true
		n.setPrimary(leads)
		update(n, func(id *state.State) { id.Successor, id.Frozen = nodeC, true })
		if !leads {
			n.follow()
		}
		before := n.running
		trial, err := n.Demote(t.Context(), admin.DemoteRequest{Follow: []string{"b:1"}, DryRun: true},
			func(admin.Step) {})
		if err != nil || trial.Done || trial.Role != "secondary" || len(trial.Steps) != 1 || n.IsPrimary() != leads ||
			n.keep.State().Role != "" {
			t.Errorf("a trial: %+v, %v", trial, err)
		}
		change, err := n.Demote(t.Context(), admin.DemoteRequest{Follow: []string{"b:1"}}, func(admin.Step) {})
		if err != nil {
			t.Fatal(err)
		}
		id, server := n.keep.State(), n.replicationServer.(*fakeServer)
		if !change.Done || change.Role != "secondary" || n.IsPrimary() || id.Role != state.RoleSecondary ||
			id.Successor != "" || id.Frozen || !slices.Equal(id.Follow, []string{"b:1"}) || n.running == before ||
			!n.isFollowing() {
			t.Errorf("leads %v: it says %+v, and keeps %+v", leads, change, id)
		}
		if leads != slices.Equal(access, []zeo.Access{zeo.ReadOnly}) || leads != (server.renewals() == 1) ||
			leads != (len(change.Steps) == 2) {
			t.Errorf("leads %v: clients may %v; it says %q", leads, access, change.Steps)
		}
		if before != nil {
			<-before.done
		}
		if err := n.writeEmpty(t.Context(), 0, nil); err != nil {
			t.Error(err)
		}
	}
}

// A demotion that cannot be written down changes nothing.
func TestADemotionThatIsNotWrittenDownIsNone(t *testing.T) {
	for _, leads := range []bool{true, false} {
		n, _, _ := among(t, nil)
		n.setPrimary(leads)
		full := errors.New("full")
		n.opt.FS.(*simdisk.Disk).FailWhen(func(op simdisk.Op) error {
			if op.Kind == simdisk.Create {
				return full
			}
			return nil
		})
		_, err := n.Demote(t.Context(), admin.DemoteRequest{Follow: []string{"b:1"}}, func(admin.Step) {})
		if !errors.Is(err, full) || n.IsPrimary() != leads || n.isFollowing() == leads {
			t.Errorf("%v: leads %v, follows %v", err, n.IsPrimary(), n.isFollowing())
		}
		if err := n.writeEmpty(t.Context(), 0, nil); err != nil {
			t.Error(err)
		}
	}
}

// A frozen primary takes no transactions until it is thawed: F1.
func TestWhatFreezingDoes(t *testing.T) {
	var access []zeo.Access
	n, _, _ := standing(t, func(opt *Options) { opt.SetAccess = func(a zeo.Access) { access = append(access, a) } })
	n.setPrimary(true)
	do := func(frozen, dry bool) admin.Change {
		t.Helper()
		f := n.Thaw
		if frozen {
			f = n.Freeze
		}
		change, err := f(t.Context(), admin.FreezeRequest{DryRun: dry}, func(admin.Step) {})
		if err != nil {
			t.Fatal(err)
		}
		return change
	}
	const frozenStep, thawedStep = "takes no transactions until it is thawed", "takes transactions"
	for _, step := range []struct {
		freeze, dry bool
		frozen      bool // afterwards
		step        string
		warns       bool
	}{
		{false, false, false, "", true},
		{true, true, false, "would take no transactions until it is thawed", false},
		{true, false, true, frozenStep, false},
		{true, false, true, "", true},
		{false, true, true, "would take transactions", false},
		{false, false, false, thawedStep, false},
	} {
		change := do(step.freeze, step.dry)
		if got := strings.Join(change.Steps, ";"); n.keep.State().Frozen != step.frozen || got != step.step ||
			(len(change.Warnings) > 0) != step.warns || change.Done == step.dry {
			t.Errorf("%+v: %+v", step, change)
		}
	}
	if !slices.Equal(access, []zeo.Access{zeo.Frozen, zeo.Writable}) {
		t.Errorf("clients may %v", access)
	}
	for _, prepare := range []func(){func() { n.setPrimary(false) }, func() {
		n.setPrimary(true)
		n.noteUnwritten(2)
	}} {
		prepare()
		_, err := n.Freeze(t.Context(), admin.FreezeRequest{}, func(admin.Step) {})
		var refusal *admin.Refusal
		if !errors.As(err, &refusal) || refusal.Reason != admin.NotAllowed || n.keep.State().Frozen {
			t.Errorf("got %v", err)
		}
	}
}

// One change is under way at a time: another one waits a moment for its turn, and is refused then.
func TestOneChangeIsUnderWayAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _, _ := standing(t, nil)
		n.setPrimary(true)
		n.changing <- struct{}{}
		_, err := n.Freeze(t.Context(), admin.FreezeRequest{}, func(admin.Step) {})
		var refusal *admin.Refusal
		if !errors.As(err, &refusal) || refusal.Reason != admin.Busy || n.keep.State().Frozen {
			t.Errorf("got %v", err)
		}
		time.AfterFunc(turnWithin-1, func() { <-n.changing })
		change, err := n.Freeze(t.Context(), admin.FreezeRequest{}, func(admin.Step) {})
		if err != nil || change.Epoch != 1 || change.Role != "primary" || *change.LastTid != n.st.LastTid() ||
			len(n.changing) != 0 {
			t.Errorf("%+v, %v", change, err)
		}
	})
}
