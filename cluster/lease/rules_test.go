package lease

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/zodb"
)

// A fakeCoordinator answers what it was told to, and notes what was asked. It is its own lease.
type fakeCoordinator struct {
	view                           View
	read, acquire, renew, resigned error
	claims                         []Claim // of Acquire and Renew
	resigns                        int
	published                      []MemberStatus
}

func (c *fakeCoordinator) Read(context.Context, int64) (View, error) { return c.view, c.read }

func (c *fakeCoordinator) Acquire(_ context.Context, _ Record, claim Claim) (Lease, error) {
	c.claims = append(c.claims, claim)
	return c, c.acquire
}

func (c *fakeCoordinator) Publish(_ context.Context, s MemberStatus, _ time.Duration) error {
	c.published = append(c.published, s)
	return nil
}

func (c *fakeCoordinator) Maintain(context.Context, Maintenance) error { return nil }
func (c *fakeCoordinator) Close() error                                { return nil }

func (c *fakeCoordinator) Renew(_ context.Context, claim Claim) error {
	c.claims = append(c.claims, claim)
	return c.renew
}

func (c *fakeCoordinator) Resign(context.Context) error {
	c.resigns++
	return c.resigned
}

// A fakeNode does what it was told to, and notes whom it follows.
type fakeNode struct {
	status   MemberStatus
	led      []uint64
	followed []MemberStatus
	err      error
}

func (n *fakeNode) Status() MemberStatus { return n.status }

func (n *fakeNode) Lead(_ context.Context, number uint64) error {
	n.led = append(n.led, number)
	return n.err
}

func (n *fakeNode) Follow(_ context.Context, _ uint64, leader MemberStatus) error {
	n.followed = append(n.followed, leader)
	return n.err
}

// stepping returns a loop that nobody runs, of a node that is primary of epoch 4.
func stepping(t *testing.T) (l *Loop, c *fakeCoordinator, n *fakeNode, clock *setClock, log *bytes.Buffer) {
	t.Helper()
	timing, err := NewTiming(MinTTL) // the smallest that is taken
	if err != nil {
		t.Fatal(err)
	}
	c, clock, log = new(fakeCoordinator), &setClock{now: time.Hour}, new(bytes.Buffer)
	n = &fakeNode{status: MemberStatus{Node: "a", Name: "a", Epoch: 4, MaxEpochSeen: 4, Tid: 50, IsPrimary: true,
		Eligible: true}}
	l = New(c, n, Options{Timing: timing, Clock: clock, Logger: hclog.New(&hclog.LoggerOptions{Output: log})})
	return l, c, n, clock, log
}

// holding has the loop hold the lease, with an expiry.
func holding(t *testing.T, l *Loop, n *fakeNode) {
	t.Helper()
	l.acquire(t.Context(), Record{}, leaderRecord(n.status), n.status)
	if l.lease == nil || !l.expiry.Valid() {
		t.Fatal("it has no lease")
	}
}

// A lease that is lost is over at once, and so is what it was taken for. Another error leaves it to its expiry.
func TestWhatEndsALease(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		kept  bool
		words string
	}{
		"it is renewed":     {nil, true, ""},
		"it is lost":        {ErrLost, false, "the lease is lost"},
		"nobody answers":    {errors.New("away"), true, "away"},
		"the node is ended": {context.Canceled, true, ""},
	} {
		l, coordinator, n, clock, log := stepping(t)
		holding(t, l, n)
		ended := false
		l.task = &task{cancel: func() { ended = true }, done: make(chan struct{})}
		clock.now += l.renewInterval()
		coordinator.renew = c.err
		l.hold(t.Context(), n.status)
		if (l.lease != nil) != c.kept || l.expiry.Valid() != c.kept || ended == c.kept {
			t.Errorf("%s: it has a lease %v, valid %v, its task was ended %v", name, l.lease != nil, l.expiry.Valid(),
				ended)
		}
		if got := l.Status().LastError; (got != "") != (c.words != "") || !strings.Contains(got, c.words) ||
			!strings.Contains(log.String(), c.words) {
			t.Errorf("%s: it says %q", name, got)
		}
	}
}

// A lease is given back by a node that does not lead the epoch that it is for, and by one that others can replace.
func TestWhoGivesALeaseBack(t *testing.T) {
	busy := func(l *Loop, _ *fakeNode, _ *fakeCoordinator) {
		l.task = &task{cancel: func() {}, done: make(chan struct{})}
	}
	replaceable := func(l *Loop, n *fakeNode, _ *fakeCoordinator) {
		n.status.Fault, n.status.NeedsOthers = "its disk is full", 1
		l.views.update(View{Revision: 1, Members: []Member{
			{MemberStatus{Node: "b", Epoch: 4, Tid: 50, Eligible: true}, 1},
		}}, l.opt.Clock.Now(), time.Hour)
	}
	for name, c := range map[string]struct {
		prepare func(*Loop, *fakeNode, *fakeCoordinator)
		gives   bool
		doing   string
	}{
		"the primary": {func(*Loop, *fakeNode, *fakeCoordinator) {}, false, "leads"},
		"one that leads a later epoch": {
			func(_ *Loop, n *fakeNode, _ *fakeCoordinator) { n.status.Epoch = 5 }, false, "leads",
		},
		"one that leads an earlier epoch": {
			func(_ *Loop, n *fakeNode, _ *fakeCoordinator) { n.status.Epoch = 3 }, true, "",
		},
		"one that leads no more": {
			func(_ *Loop, n *fakeNode, _ *fakeCoordinator) { n.status.IsPrimary = false }, true, "",
		},
		"one that is about to lead": {func(l *Loop, n *fakeNode, c *fakeCoordinator) {
			busy(l, n, c)
			n.status.IsPrimary = false
		}, false, ""},
		"one with a fault": {replaceable, true, "gives up the lease: its disk is full"},
		"one with a fault, that is busy": {func(l *Loop, n *fakeNode, c *fakeCoordinator) {
			replaceable(l, n, c)
			busy(l, n, c)
		}, false, "leads"},
		"one with a fault that nobody can replace": {func(_ *Loop, n *fakeNode, _ *fakeCoordinator) {
			n.status.Fault, n.status.NeedsOthers = "its disk is full", 1
		}, false, "leads"},
		"one whose fault is past": {func(l *Loop, n *fakeNode, c *fakeCoordinator) {
			replaceable(l, n, c)
			n.status.Fault = ""
		}, false, "leads"},
	} {
		l, coordinator, n, clock, _ := stepping(t)
		holding(t, l, n)
		clock.now += l.renewInterval()
		c.prepare(l, n, coordinator)
		l.step(t.Context())
		if (coordinator.resigns > 0) != c.gives || (l.lease == nil) != c.gives || l.expiry.Valid() == c.gives ||
			l.status.getDoing() != c.doing {
			t.Errorf("%s: it gives it back %d times, has it %v, valid %v, and says %q", name, coordinator.resigns,
				l.lease != nil, l.expiry.Valid(), l.status.getDoing())
		}
		if renewed := len(coordinator.claims) == 2; renewed == c.gives {
			t.Errorf("%s: it is renewed: %v", name, renewed)
		}
	}
}

// Commits are held before the lease is given back, also where that fails; then it is tried again.
func TestALeaseThatCannotBeGivenBackCountsNoMore(t *testing.T) {
	l, coordinator, n, _, _ := stepping(t)
	holding(t, l, n)
	coordinator.resigned = errors.New("away")
	n.status.IsPrimary = false
	for range 2 {
		l.step(t.Context())
		if l.lease == nil || l.expiry.Valid() || !strings.Contains(l.Status().LastError, "take the lease back: away") {
			t.Errorf("it has the lease %v, valid %v: %q", l.lease != nil, l.expiry.Valid(), l.Status().LastError)
		}
	}
	coordinator.resigned = nil
	if l.step(t.Context()); l.lease != nil || coordinator.resigns != 3 {
		t.Errorf("it has the lease still, after %d times", coordinator.resigns)
	}
}

// A lease is renewed at each third of its TTL, and at once when its epoch begins.
func TestWhenALeaseIsRenewed(t *testing.T) {
	l, coordinator, n, clock, _ := stepping(t)
	holding(t, l, n)
	for _, step := range []struct {
		after time.Duration
		epoch uint64
		count int
	}{
		{0, 4, 1}, {l.renewInterval() - 1, 4, 1}, {1, 4, 2}, {l.renewInterval() - 1, 4, 2}, {0, 5, 3}, {0, 5, 3},
	} {
		clock.now += step.after
		n.status.Epoch = step.epoch
		if l.hold(t.Context(), n.status); len(coordinator.claims) != step.count {
			t.Errorf("%+v: it was claimed %d times", step, len(coordinator.claims))
		}
	}
	last := coordinator.claims[2]
	if last.Record != (Record{Number: 5, Node: "a", Begun: 5, Tid: 50}) || last.Holder.Node != "a" ||
		last.TTL != MinTTL {
		t.Errorf("it was claimed with %+v", last)
	}
}

// A lease that another one has taken is no fault of the coordinator's.
func TestALeaseThatIsTakenIsNotHeld(t *testing.T) {
	for err, words := range map[error]string{ErrTaken: "", errAway: "give the lease: away"} {
		l, coordinator, n, _, _ := stepping(t)
		coordinator.acquire = err
		l.acquire(t.Context(), Record{}, leaderRecord(n.status), n.status)
		if l.lease != nil || l.expiry.Valid() || l.Status().LastError != words {
			t.Errorf("%v: it has it %v, valid %v, %q", err, l.lease != nil, l.expiry.Valid(), l.Status().LastError)
		}
	}
}

var errAway = errors.New("away")

// When a node campaigns that sees a vacant lease, and nobody who is ahead of it.
func TestWhenANodeCampaigns(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*Loop, *fakeCoordinator, *setClock)
		asks    bool
		doing   string
	}{
		"at once": {func(*Loop, *fakeCoordinator, *setClock) {}, true, ""},
		"not in the time that a primary has to come back": {func(l *Loop, _ *fakeCoordinator, clock *setClock) {
			l.views.graceUntil = clock.now + 1
		}, false, "waits for the primary to come back"},
		"after it": {func(l *Loop, _ *fakeCoordinator, clock *setClock) { l.views.graceUntil = clock.now }, true, ""},
		"not while a promotion is under way": {func(l *Loop, _ *fakeCoordinator, clock *setClock) {
			l.maxEpochSeen, l.maxEpochSeenAt = 5, clock.now-l.opt.Timing.TTL+1
		}, false, "waits for a promotion by hand"},
		"after a TTL": {func(l *Loop, _ *fakeCoordinator, clock *setClock) {
			l.maxEpochSeen, l.maxEpochSeenAt = 5, clock.now-l.opt.Timing.TTL
		}, true, ""},
		"when the epoch is on record": {func(l *Loop, _ *fakeCoordinator, clock *setClock) {
			l.maxEpochSeen, l.maxEpochSeenAt = 4, clock.now
		}, true, ""},
		"not without an answer": {func(_ *Loop, c *fakeCoordinator, _ *setClock) { c.read = errAway }, false, ""},
		"not where somebody holds it by now": {func(_ *Loop, c *fakeCoordinator, _ *setClock) {
			c.view.Holder = &MemberStatus{Node: "b"}
		}, false, ""},
		"not where it is taken": {func(_ *Loop, c *fakeCoordinator, _ *setClock) { c.acquire = ErrTaken }, true, ""},
	} {
		l, coordinator, n, clock, _ := stepping(t)
		n.status.IsPrimary = false
		coordinator.view = View{Revision: 1, Record: Record{Number: 4, Node: "b", Begun: 4}}
		l.views.update(coordinator.view, clock.now, time.Hour)
		l.views.graceUntil = 0
		c.prepare(l, coordinator, clock)
		l.campaign(t.Context(), n.status, 1)
		if got := l.Status().LastError; (got == "answer: away") != (coordinator.read != nil) {
			t.Errorf("%s: it says that the coordinator failed to %q", name, got)
		}
		leads := c.asks && coordinator.acquire == nil
		if leads {
			<-l.taskDone()
			l.finishTask()
		}
		if (len(coordinator.claims) > 0) != c.asks || (len(n.led) > 0) != leads || (l.lease != nil) != leads ||
			l.expiry.Valid() {
			t.Errorf("%s: it claims %+v, leads %v", name, coordinator.claims, n.led)
		}
		if !strings.Contains(l.status.getDoing(), c.doing) {
			t.Errorf("%s: it says %q", name, l.status.getDoing())
		}
		if leads && (coordinator.claims[0].Record != Record{Number: 5, Node: "a", Begun: 4}) {
			t.Errorf("%s: it claims %+v", name, coordinator.claims[0])
		}
	}
}

// Whom a node follows: the holder, once in each epoch; nobody while it stands aside.
func TestWhomANodeFollows(t *testing.T) {
	l, _, n, clock, _ := stepping(t)
	n.status.IsPrimary = false
	see := func(holder string, begun uint64) {
		v := View{Record: Record{Number: begun, Node: holder, Begun: begun}}
		if holder != "" {
			v.Holder = &MemberStatus{Node: holder, Name: holder, ReplicationAddr: holder + ":1"}
		}
		if l.follow(t.Context(), v, n.status); l.task != nil {
			<-l.taskDone()
			l.finishTask()
		}
	}
	for i, step := range []struct {
		holder string
		begun  uint64
		leads  bool
		fails  bool
		count  int
	}{
		{"b", 4, false, false, 1}, {"b", 4, false, false, 1}, {"b", 5, false, false, 2}, {"", 5, false, false, 3},
		{"b", 5, false, false, 4}, {"b", 5, true, false, 5}, {"c", 6, false, true, 6}, {"c", 6, false, false, 6},
	} {
		n.status.IsPrimary, n.err = step.leads, nil
		if step.fails {
			n.err = errAway
		}
		if see(step.holder, step.begun); len(n.followed) != step.count {
			t.Fatalf("step %d: it has followed %d times", i, len(n.followed))
		}
		if last := n.followed[len(n.followed)-1]; last.Node != step.holder {
			t.Fatalf("step %d: it follows %+v", i, last)
		}
	}
	if why := l.memberStatus(); why.Eligible || !strings.Contains(why.Reason, "it could not follow c: away") {
		t.Errorf("a node that failed says %+v", why)
	}
	n.status.IsPrimary = true
	if !l.memberStatus().Eligible {
		t.Error("a primary stands aside")
	}
	n.status.IsPrimary, n.err = false, nil
	clock.now += l.opt.Timing.TTL
	if !l.memberStatus().Eligible {
		t.Error("it stands aside for longer than a TTL")
	}
	if see("c", 6); len(n.followed) != 7 {
		t.Error("it does not try again")
	}
	l.lead(t.Context(), 7) // what it follows after that is another thing
	<-l.taskDone()
	l.finishTask()
	if see("c", 6); len(n.followed) != 8 {
		t.Error("it does not follow again after it has led")
	}
}

// The log says once that commits are held, and once that they are no more.
func TestTheLogSaysWhenCommitsAreHeld(t *testing.T) {
	l, _, n, clock, log := stepping(t)
	said := func(words string) int { return strings.Count(log.String(), words) }
	for i, step := range []struct {
		prepare         func()
		held, continues int
	}{
		{func() {}, 1, 0}, {func() {}, 1, 0},
		{func() { l.expiry.extend(clock.now + 5) }, 1, 1}, {func() {}, 1, 1},
		{func() { clock.now += 5 }, 2, 1}, {func() { n.status.IsPrimary = false }, 2, 1},
		{func() { n.status.IsPrimary = true }, 3, 1},
	} {
		step.prepare()
		l.logExpiry(n.status)
		if said("commits are held") != step.held || said("commits continue") != step.continues {
			t.Errorf("step %d: %s", i, log.String())
		}
	}
}

// An error is logged when it is another one than the last; that of a node that ends is none.
func TestErrorsOfTheCoordinatorAreLoggedOnce(t *testing.T) {
	l, _, _, _, log := stepping(t)
	l.failed("answer", nil)
	l.failed("answer", context.Canceled)
	if got := l.Status(); got.LastError != "" || log.Len() > 0 {
		t.Errorf("it says %q, and logs %s", got.LastError, log.String())
	}
	l.failed("answer", errAway)
	l.failed("answer", errAway)
	if got := l.Status(); got.LastError != "answer: away" || got.ErrorTime.IsZero() || strings.Count(log.String(),
		"away") != 1 {
		t.Errorf("it says %+v, and logs %s", got, log.String())
	}
}

// A node that ends gives its lease back, and says that nobody need wait for it.
func TestWhatANodeLeaves(t *testing.T) {
	l, coordinator, n, _, _ := stepping(t)
	holding(t, l, n)
	l.leave(t.Context())
	if s := coordinator.published; l.lease != nil || coordinator.resigns != 1 || len(s) != 1 || s[0].Eligible ||
		s[0].IsPrimary || s[0].Reason != "it is stopping" || s[0].Time.IsZero() {
		t.Errorf("it has left %+v", s)
	}
}

// A lag that is allowed is none too much. Without a limit none is.
func TestHowFarBehindALeaderMayBe(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	at := func(at time.Time) zodb.Tid {
		tid, err := zodb.TidFromTime(at)
		if err != nil {
			t.Fatal(err)
		}
		return tid
	}
	v := View{Record: Record{Number: 2, Begun: 2, Tid: at(now)}}
	self := MemberStatus{Epoch: 2, Eligible: true, Tid: at(now.Add(-time.Minute))}
	behind := v.Record.Tid.Time().Sub(self.Tid.Time())
	for limit, may := range map[time.Duration]bool{0: true, behind - 1: false, behind: true, behind + 1: true} {
		if why := ineligible(v, self, limit); (why == "") != may {
			t.Errorf("%v behind, and the limit is %v: %q", behind, limit, why)
		}
	}
}
