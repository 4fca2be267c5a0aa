package lease

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/warning"
)

// A Node is what the loop leads by. Status is called at any time and answers at once, by itself or beside another
// call; the others are called one at a time.
type Node interface {
	// Status returns the status of the node. Tids and epochs do not fall while it follows nobody else.
	Status() MemberStatus
	// Lead makes the node lead the epoch of this number, and returns when it does: then Status says so. After an
	// error it does not lead.
	Lead(ctx context.Context, number uint64) error
	// Follow makes the node step down, if it leads, because the epoch of this number was given to another one, and
	// follow the leader; or the primary that it finds, when leader.Node is empty. It is called when a node gets the
	// lease, and again when its epoch begins.
	Follow(ctx context.Context, number uint64, leader MemberStatus) error
}

// Options of a Loop.
type Options struct {
	Timing  Timing
	MaxLag  time.Duration   // by how much the last transaction of a new leader may be older; 0: any
	Clock   Clock           // nil: the system's
	Changed <-chan struct{} // receives when the node has begun or ceased to lead by other means; may be nil
	Logger  hclog.Logger    // nil: silent
}

// A Loop lets one node take part in the failover of its cluster.
type Loop struct {
	coordinator Coordinator
	node        Node
	opt         Options
	expiry      *Expiry

	views      *viewCache
	wake       chan struct{} // capacity 1: the steps have something to look at
	publishNow chan struct{} // capacity 1: the member status is to be published now

	status statusBoard

	// Of the goroutine of the steps:
	lease          Lease  // nil: the lease is not this node's
	record         Record // of the last renewal
	sent           time.Duration
	task           *task         // nil: the node does nothing for the loop
	followed       target        // of the last Follow that succeeded
	held           bool          // the log says that transactions are held
	maxEpochSeen   uint64        // MemberStatus.MaxEpochSeen
	maxEpochSeenAt time.Duration // since when it is that
}

// New returns a loop that Run runs.
func New(ref Coordinator, node Node, opt Options) *Loop {
	if opt.Clock == nil {
		opt.Clock = systemClock{}
	}
	if opt.Logger == nil {
		opt.Logger = hclog.NewNullLogger()
	}
	return &Loop{
		coordinator: ref, node: node, opt: opt, expiry: &Expiry{clock: opt.Clock}, views: &viewCache{},
		wake: make(chan struct{}, 1), publishNow: make(chan struct{}, 1),
	}
}

// Expiry is until when the node may report commits.
func (l *Loop) Expiry() *Expiry { return l.expiry }

// Run takes part until ctx ends, then gives up the lease and stands aside. The node should not be primary any more by
// then, or not report commits.
func (l *Loop) Run(ctx context.Context) {
	var helpers sync.WaitGroup
	helpers.Go(func() { l.watch(ctx) })
	helpers.Go(func() { l.publishStatus(ctx) })
	l.steps(ctx)
	helpers.Wait()
	l.leave(context.WithoutCancel(ctx))
}

// leave gives up the lease and lets nobody wait for this node. What fails runs out by itself.
func (l *Loop) leave(ctx context.Context) {
	if l.lease != nil {
		l.resign(ctx)
	}
	self := l.memberStatus()
	self.Eligible, self.IsPrimary, self.Reason = false, false, "it is stopping"
	ctx, cancel := l.request(ctx)
	defer cancel()
	l.failed("withdraw from the cluster", l.coordinator.Publish(ctx, self, l.opt.Timing.TTL))
}

// How long things take, in parts of the TTL.
func (l *Loop) stepInterval() time.Duration   { return l.opt.Timing.TTL / 20 } // between steps
func (l *Loop) renewInterval() time.Duration  { return l.opt.Timing.TTL / 3 }  // between renewals
func (l *Loop) requestTimeout() time.Duration { return l.opt.Timing.TTL / 4 }  // of a request

func (l *Loop) request(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, l.requestTimeout())
}

// steps runs a step whenever something may have changed, and at each interval.
func (l *Loop) steps(ctx context.Context) {
	defer func() {
		if l.task != nil {
			l.task.cancel()
			<-l.task.done
		}
	}()
	ticker := time.NewTicker(l.stepInterval())
	defer ticker.Stop()
	for {
		l.step(ctx)
		select {
		case <-ctx.Done():
			return
		case <-l.taskDone():
			l.finishTask()
		case <-l.opt.Changed:
		case <-l.wake:
		case <-ticker.C:
		}
	}
}

// step holds the lease or does what the latest view asks for.
func (l *Loop) step(ctx context.Context) {
	self := l.memberStatus()
	l.logExpiry(self)
	if self.MaxEpochSeen != l.maxEpochSeen {
		l.maxEpochSeen, l.maxEpochSeenAt = self.MaxEpochSeen, l.opt.Clock.Now()
	}
	if l.lease != nil {
		l.hold(ctx, self)
		return
	}
	if l.task != nil {
		return
	}
	view, vacant, ok := l.views.latest()
	if !ok {
		return
	}
	r := decide(view, self, vacant, l.opt.MaxLag)
	l.status.setDoing(r.why)
	switch r.action {
	case actAcquire:
		l.acquire(ctx, view.Record, leaderRecord(self), self)
	case actCampaign:
		l.campaign(ctx, self, vacant)
	case actFollow:
		l.follow(ctx, view, self)
	}
}

// memberStatus is the node's, unless it has to stand aside.
func (l *Loop) memberStatus() MemberStatus {
	s := l.node.Status()
	if why, aside := l.status.aside(l.opt.Clock.Now()); aside && !s.IsPrimary {
		s.Eligible, s.Reason = false, why
	}
	s.Time = time.Now()
	return s
}

// failed notes an error for the status, and logs one that is new.
func (l *Loop) failed(what string, err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	if l.status.noteError(what, err) {
		l.opt.Logger.Warn("the coordinator failed to "+what, "error", err, "warning", warning.CoordinatorLost)
	}
}

// notify fills a channel of capacity 1.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
