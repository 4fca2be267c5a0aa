package referee

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// A Node is what the loop leads by. Standing is called at any time and answers at once, by itself or beside another
// call; the others are called one at a time.
type Node interface {
	// Standing says where the node stands. Tids and epochs do not fall while it follows nobody else.
	Standing() Standing
	// Lead makes the node lead the epoch of this number, and returns when it does: then Standing says so. After an
	// error it does not lead.
	Lead(ctx context.Context, number uint64) error
	// Follow makes the node lead no more, if it did, because the epoch of this number was given to another one, and
	// follow the leader; or whomever it finds, when leader.Node is empty. It is called when somebody gets the office,
	// and again when its epoch begins.
	Follow(ctx context.Context, number uint64, leader Standing) error
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
	ref  Referee
	node Node
	opt  Options
	term *Term

	look  *lookout
	wake  chan struct{} // capacity 1: the turns have something to look at
	speak chan struct{} // capacity 1: the standing is to be published now

	status statusBoard

	// Of the goroutine of the turns:
	tenure   Tenure // nil: the office is not this node's
	record   Record // of the last renewal
	sent     time.Duration
	act      *action       // nil: the node does nothing for the loop
	followed target        // of the last Follow that succeeded
	held     bool          // the log says that transactions are held
	heard    uint64        // Standing.Heard
	heardAt  time.Duration // since when it is that
}

// New returns a loop that Run runs.
func New(ref Referee, node Node, opt Options) *Loop {
	if opt.Clock == nil {
		opt.Clock = systemClock{}
	}
	if opt.Logger == nil {
		opt.Logger = hclog.NewNullLogger()
	}
	return &Loop{
		ref: ref, node: node, opt: opt, term: &Term{clock: opt.Clock}, look: &lookout{},
		wake: make(chan struct{}, 1), speak: make(chan struct{}, 1),
	}
}

// Term is in which the node may tell of commits.
func (l *Loop) Term() *Term { return l.term }

// Run takes part until ctx ends, then gives up the office and stands aside. The node should not lead any more by then,
// or not tell of commits.
func (l *Loop) Run(ctx context.Context) {
	var helpers sync.WaitGroup
	helpers.Go(func() { l.watch(ctx) })
	helpers.Go(func() { l.herald(ctx) })
	l.turns(ctx)
	helpers.Wait()
	l.leave(context.WithoutCancel(ctx))
}

// leave gives up the office and lets nobody wait for this node. What fails runs out by itself.
func (l *Loop) leave(ctx context.Context) {
	if l.tenure != nil {
		l.resign(ctx)
	}
	self := l.standing()
	self.Able, self.Leads, self.Why = false, false, "it is stopping"
	ctx, cancel := l.patience(ctx)
	defer cancel()
	l.failed("withdraw from the cluster", l.ref.Publish(ctx, self, l.opt.Timing.TTL))
}

// How long things take, in parts of the TTL.
func (l *Loop) beat() time.Duration    { return l.opt.Timing.TTL / 20 } // between turns
func (l *Loop) renewal() time.Duration { return l.opt.Timing.TTL / 3 }  // between renewals
func (l *Loop) timeout() time.Duration { return l.opt.Timing.TTL / 4 }  // of a request

func (l *Loop) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, l.timeout())
}

// turns runs a turn whenever something may have changed, and at each beat.
func (l *Loop) turns(ctx context.Context) {
	defer func() {
		if l.act != nil {
			l.act.cancel()
			<-l.act.done
		}
	}()
	ticker := time.NewTicker(l.beat())
	defer ticker.Stop()
	for {
		l.turn(ctx)
		select {
		case <-ctx.Done():
			return
		case <-l.acted():
			l.finish()
		case <-l.opt.Changed:
		case <-l.wake:
		case <-ticker.C:
		}
	}
}

// turn holds the office or does what the latest view asks for.
func (l *Loop) turn(ctx context.Context) {
	self := l.standing()
	l.logTerm(self)
	if self.Heard != l.heard {
		l.heard, l.heardAt = self.Heard, l.opt.Clock.Now()
	}
	if l.tenure != nil {
		l.hold(ctx, self)
		return
	}
	if l.act != nil {
		return
	}
	view, vacant, ok := l.look.latest()
	if !ok {
		return
	}
	r := judge(view, self, vacant, l.opt.MaxLag)
	l.status.rule(r.why)
	switch r.deed {
	case take:
		l.acquire(ctx, view.Record, reigning(self), self)
	case campaign:
		l.campaign(ctx, self, vacant)
	case follow:
		l.follow(ctx, view, self)
	}
}

// standing is the node's, unless it has to stand aside.
func (l *Loop) standing() Standing {
	s := l.node.Standing()
	if why, aside := l.status.aside(l.opt.Clock.Now()); aside && !s.Leads {
		s.Able, s.Why = false, why
	}
	s.Time = time.Now()
	return s
}

// failed notes an error for the status, and logs one that is new.
func (l *Loop) failed(what string, err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	if l.status.fail(what, err) {
		l.opt.Logger.Warn("the referee did not "+what, "error", err)
	}
}

// nudge fills a channel of capacity 1.
func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
