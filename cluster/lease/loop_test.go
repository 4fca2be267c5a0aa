package lease

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A bubbleClock shows the time of a synctest bubble.
type bubbleClock struct{ began time.Time }

func (c bubbleClock) Now() time.Duration { return time.Hour + time.Since(c.began) }

// A notedCoordinator notes when it is asked and told something, in the time of a bubble. A Read ends when its revision
// is another one, as that of a real coordinator does.
type notedCoordinator struct {
	fakeCoordinator
	began time.Time
	lasts time.Duration // how long Publish takes, as long as the node could lead

	mu     sync.Mutex
	moved  chan struct{} // closed with the next change
	silent bool          // it answers no Read
	fails  error         // of Read and Publish
	reads  []asked
	told   []publication
}

// asked is a Read: of another revision than this one.
type asked struct {
	at    time.Duration
	other int64
}

type publication struct {
	at     time.Duration
	status MemberStatus
}

// set changes what it answers.
func (c *notedCoordinator) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	close(c.moved)
	c.moved = make(chan struct{})
}

func (c *notedCoordinator) Read(ctx context.Context, other int64) (View, error) {
	c.mu.Lock()
	c.reads = append(c.reads, asked{time.Since(c.began), other})
	c.mu.Unlock()
	for {
		c.mu.Lock()
		view, fails, silent, moved := c.view, c.fails, c.silent, c.moved
		c.mu.Unlock()
		if fails != nil {
			return View{}, fails
		}
		if !silent && view.Revision != other {
			return view, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return View{}, ctx.Err()
		}
	}
}

func (c *notedCoordinator) Publish(_ context.Context, s MemberStatus, _ time.Duration) error {
	if s.Eligible {
		sleep(context.Background(), c.lasts, nil)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, publication{time.Since(c.began), s})
	return c.fails
}

// A bubble is a loop of a secondary in the time of a synctest bubble, which passes with sleep.
type bubble struct {
	*testing.T
	loop        *Loop
	coordinator *notedCoordinator
	node        *fakeNode
}

func inBubble(t *testing.T, f func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		timing, err := NewTiming(DefaultTTL)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		c := &notedCoordinator{began: now, moved: make(chan struct{})}
		c.view = View{Revision: 7, Record: Record{Number: 4, Node: "b", Begun: 4},
			Holder: &MemberStatus{Node: "b", Name: "b", ReplicationAddr: "b:1"}}
		n := &fakeNode{status: MemberStatus{Node: "a", Epoch: 4, MaxEpochSeen: 4, Eligible: true}}
		f(&bubble{t, New(c, n, Options{Timing: timing, Clock: bubbleClock{now}}), c, n})
	})
}

// during runs goroutines of the loop for a time.
func (b *bubble) during(d time.Duration, run ...func(context.Context)) {
	ctx, cancel := context.WithCancel(b.Context())
	var all sync.WaitGroup
	for _, f := range run {
		all.Go(func() { f(ctx) })
	}
	sleep(ctx, d, nil)
	synctest.Wait()
	cancel()
	all.Wait()
}

// A member says how it stands three times in a TTL, and ten times while others may wait for that: the lease is vacant,
// or nobody has heard it. It does so at once when there is news.
func TestHowOftenAMemberSaysHowItStands(t *testing.T) {
	const third, tenth = DefaultTTL / 3, DefaultTTL / 10
	for name, c := range map[string]struct {
		prepare func(*Loop, *notedCoordinator)
		want    []time.Duration
	}{
		"somebody holds the lease": {func(*Loop, *notedCoordinator) {}, []time.Duration{0, third}},
		"the lease is vacant": {func(l *Loop, _ *notedCoordinator) {
			l.views.vacant = 7
		}, []time.Duration{0, tenth, 2 * tenth, 3 * tenth, 4 * tenth}},
		"it is not heard": {func(_ *Loop, c *notedCoordinator) {
			c.fails = errAway
		}, []time.Duration{0, tenth, 2 * tenth, 3 * tenth, 4 * tenth}},
		"there is news": {func(l *Loop, _ *notedCoordinator) {
			notify(l.publishNow)
		}, []time.Duration{0, 0, third}},
	} {
		inBubble(t, func(b *bubble) {
			c.prepare(b.loop, b.coordinator)
			b.during(4*tenth+1, b.loop.publishStatus)
			var got []time.Duration
			for _, p := range b.coordinator.told {
				got = append(got, p.at)
			}
			if !slices.Equal(got, c.want) {
				b.Errorf("%s: it is published after %v, want %v", name, got, c.want)
			}
			said := b.loop.Status().LastError
			if (said == "take the status of this node: away") != (b.coordinator.fails != nil) {
				b.Errorf("%s: it says %q", name, said)
			}
		})
	}
}

// A view that is another one wakes the steps. A third of the TTL without one it is asked for again at once, and a
// coordinator that does not answer even that is reported, and asked again at the next step.
func TestHowAViewIsKept(t *testing.T) {
	const third, step = DefaultTTL / 3, DefaultTTL / 20
	for name, c := range map[string]struct {
		silent bool
		fails  error
		later  error // from a step before it is asked without waiting for the second time
		want   []asked
		says   string
	}{
		"it fails later": {later: errAway, want: []asked{
			{0, 0}, {0, 7}, {third, 0}, {third, 7}, {2 * third, 7},
		}, says: "answer: away"},
		"nothing changes": {want: []asked{{0, 0}, {0, 7}, {third, 0}, {third, 7}, {2 * third, 0}, {2 * third, 7}}},
		"nobody answers": {
			silent: true, want: []asked{{0, 0}, {third + step, 0}}, says: "answer: context deadline exceeded",
		},
		"it fails": {fails: errAway, want: []asked{
			{0, 0}, {step, 0}, {2 * step, 0}, {3 * step, 0}, {4 * step, 0}, {5 * step, 0}, {6 * step, 0}, {7 * step, 0},
			{8 * step, 0}, {9 * step, 0}, {10 * step, 0}, {11 * step, 0}, {12 * step, 0}, {13 * step, 0},
		}, says: "answer: away"},
	} {
		inBubble(t, func(b *bubble) {
			coordinator := b.coordinator
			coordinator.silent, coordinator.fails = c.silent, c.fails
			b.during(2*third+1, b.loop.watch, func(ctx context.Context) {
				if sleep(ctx, 2*third-step, nil); c.later != nil {
					coordinator.set(func() { coordinator.fails = c.later })
				}
			})
			if !slices.Equal(coordinator.reads, c.want) {
				b.Errorf("%s: it reads %v, want %v", name, coordinator.reads, c.want)
			}
			known := len(c.want) > 1 && c.want[1].other == 7
			if now := b.loop.Status(); now.LastError != c.says || now.Known != known || len(b.loop.wake) == 1 != known {
				b.Errorf("%s: it says %+v", name, now)
			}
		})
	}
}

// A member publishes its status at once when the lease becomes vacant: the others wait for that.
func TestAVacantLeaseIsAnsweredAtOnce(t *testing.T) {
	inBubble(t, func(b *bubble) {
		l, c := b.loop, b.coordinator
		b.during(2*time.Second, l.watch, func(ctx context.Context) {
			sleep(ctx, time.Second, nil)
			if len(l.publishNow) > 0 {
				b.Error("it has news, and somebody holds the lease")
			}
			c.set(func() { c.view.Revision, c.view.Holder = 9, nil })
			sleep(ctx, 1, nil)
			if v, vacant, _ := l.views.latest(); len(l.publishNow) == 0 || vacant != 9 || v.Revision != 9 {
				b.Errorf("it has no news, and the lease is vacant since %d", vacant)
			}
			<-l.publishNow
			c.set(func() { c.view.Revision = 10 })
			sleep(ctx, 1, nil)
			if _, vacant, _ := l.views.latest(); len(l.publishNow) > 0 || vacant != 9 {
				b.Errorf("it has news, and the lease is vacant since %d", vacant)
			}
		})
	})
}

// Who did not see how the lease became vacant gives a primary a TTL to take it up again.
func TestHowLongAPrimaryHasToComeBack(t *testing.T) {
	const ttl = 10
	vacant, held := View{Revision: 3}, View{Revision: 3, Holder: new(MemberStatus)}
	for name, c := range map[string]struct {
		views []View // the first at 1, each other one with its pause
		pause time.Duration
		waits bool
	}{
		"it has just started, as the machine has": {views: []View{vacant}, waits: true},
		"it saw how":                 {views: []View{held, {Revision: 4}}, pause: 1},
		"it had contact just now":    {views: []View{held, {Revision: 4}}, pause: ttl / 2},
		"it had none for too long":   {views: []View{held, {Revision: 4}}, pause: ttl/2 + 1, waits: true},
		"somebody has taken it":      {views: []View{vacant, {Revision: 4, Holder: new(MemberStatus)}}, pause: 1},
		"the view is an older one":   {views: []View{held, {Revision: 2}}, pause: ttl},
		"it is vacant for some time": {views: []View{vacant, {Revision: 4}}, pause: 1, waits: true},
	} {
		k, now := new(viewCache), time.Duration(1)
		for i, v := range c.views {
			if i > 0 {
				now += c.pause
			}
			k.update(v, now, ttl)
		}
		if k.inGracePeriod(now) != c.waits || k.inGracePeriod(now+ttl) {
			t.Errorf("%s: it waits at %v until %v", name, now, k.graceUntil)
		}
	}
}

// A step does what the view asks for, and says what that is.
func TestAStepFollowsTheHolder(t *testing.T) {
	l, c, n, clock, log := stepping(t)
	c.view = View{Revision: 1, Record: Record{Number: 5, Node: "b", Begun: 5},
		Holder: &MemberStatus{Node: "b", Name: "b", ReplicationAddr: "b:1"}}
	l.step(t.Context())
	if now := l.Status(); now.Known || now.Doing != "" || l.task != nil ||
		!strings.Contains(log.String(), "commits are held") {
		t.Errorf("without a view: %+v, and logs %s", now, log.String())
	}
	l.views.update(c.view, clock.now, time.Hour)
	if l.step(t.Context()); l.task == nil {
		t.Fatal("it does not step down for the holder")
	}
	<-l.taskDone()
	l.finishTask()
	if now := l.Status(); len(n.followed) != 1 || n.followed[0].ReplicationAddr != "b:1" || !now.Known ||
		now.View.Record.Number != 5 || now.Remaining != 0 || !strings.Contains(now.Doing, "fenced by epoch 5") {
		t.Errorf("it has followed %+v: %+v", n.followed, now)
	}
	if len(l.publishNow) != 1 {
		t.Error("the others are not told that it follows")
	}
	holding(t, l, n)
	if got := l.Status().Remaining; got != l.opt.Timing.validity() {
		t.Errorf("it says that %v of its lease remain", got)
	}
}

// A loop that ends gives up what its node is doing for it, and then says for the last time how the node stands, however
// long what is under way takes.
func TestWhatALoopEndsWith(t *testing.T) {
	for _, c := range []struct{ publishes, ends time.Duration }{{DefaultTTL / 3, 0}, {DefaultTTL / 3, DefaultTTL}} {
		inBubble(t, func(b *bubble) {
			b.coordinator.lasts = c.publishes
			busy := &busyNode{fakeNode: b.node, ends: c.ends}
			b.loop.node = busy
			b.during(DefaultTTL/2*3, b.loop.Run) // while it publishes for the third time
			told := b.coordinator.told
			last := len(told) - 1
			if !busy.begun || !busy.ended {
				b.Errorf("%+v: its node has begun to follow %v, and given that up %v", c, busy.begun, busy.ended)
			}
			if last != 3 || !told[0].status.Eligible || told[last].status.Eligible || !told[last-1].status.Eligible {
				b.Errorf("%+v: it has published %+v", c, told)
			}
			sleep(b.Context(), DefaultTTL, nil)
			if len(b.coordinator.told) != last+1 {
				b.Errorf("%+v: it goes on after its end", c)
			}
		})
	}
}

// A busyNode follows until it must not, and takes a while to end that.
type busyNode struct {
	*fakeNode
	ends         time.Duration
	begun, ended bool
}

func (n *busyNode) Follow(ctx context.Context, _ uint64, _ MemberStatus) error {
	n.begun = true
	<-ctx.Done()
	sleep(context.Background(), n.ends, nil)
	n.ended = true
	return ctx.Err()
}

// Without other options a loop goes by the clock of the system, and logs nothing.
func TestALoopWithoutOptions(t *testing.T) {
	l := New(nil, nil, Options{})
	l.expiry.extend(l.opt.Clock.Now() + time.Hour)
	l.opt.Logger.Error("nobody reads this")
	if !l.Expiry().Valid() {
		t.Error("its lease does not count")
	}
}
