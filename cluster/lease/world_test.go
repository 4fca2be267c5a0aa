package lease_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/zrsd/zrsd/cluster/lease"
	"github.com/zrsd/zrsd/cluster/lease/leasetest"
	"github.com/zrsd/zrsd/zodb"
)

// A world is a cluster of simulated nodes with one coordinator, in the time of a synctest bubble.
type world struct {
	coordinator leasetest.Memory
	timing      lease.Timing
	nodes       []*node
	began       time.Time
	over        context.Context
	end         context.CancelFunc
	all         sync.WaitGroup

	mu     sync.Mutex
	random *rand.Rand
	last   zodb.Tid
	told   []telling
	wrong  []string
}

// A telling is a commit that a client was told of.
type telling struct {
	node  string
	epoch uint64
	tid   zodb.Tid
}

// usual is the longest delay of the coordinator, each way, when nothing is wrong.
const usual = 200 * time.Millisecond

var names = []string{"a", "b", "c"}

// newWorld starts a cluster in which a leads epoch 1. Each node's clock runs at its own rate.
func newWorld(timing lease.Timing, seed uint64, rates []float64) *world {
	w := &world{timing: timing, began: time.Now(), random: rand.New(rand.NewPCG(seed, 1))}
	w.over, w.end = context.WithCancel(context.Background())
	for i, name := range names {
		n := &node{w: w, name: name, rate: rates[i], epoch: 1, leads: name == "a", following: "a",
			slow: usual}
		w.nodes = append(w.nodes, n)
	}
	for _, n := range w.nodes {
		n.start()
	}
	return w
}

// close ends the world and returns what was wrong in it.
func (w *world) close() []string {
	w.end()
	w.all.Wait()
	return w.wrong
}

// some returns a random part of d.
func (w *world) some(d time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.random.Int64N(int64(d) + 1))
}

// wait lets d pass, unless the world ends.
func (w *world) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tell records that a client was told of a commit, and checks that the lease is held by who told it, and that nobody
// of a later epoch has told anything before.
func (w *world) tell(t telling) {
	v, _ := w.coordinator.Read(context.Background(), 0)
	w.mu.Lock()
	defer w.mu.Unlock()
	if v.Holder == nil || v.Holder.Node != t.node || v.Record.Begun != t.epoch {
		w.wrong = append(w.wrong, fmt.Sprintf("at %v %+v was told without lease", time.Since(w.began), t))
	}
	if len(w.told) > 0 {
		before := w.told[len(w.told)-1]
		if before.epoch > t.epoch || before.epoch == t.epoch && before.node != t.node {
			w.wrong = append(w.wrong, fmt.Sprintf("at %v %+v was told after %+v", time.Since(w.began), t, before))
		}
	}
	w.told = append(w.told, t)
}

// leaders returns who may tell of commits now.
func (w *world) leaders() []*node {
	var all []*node
	for _, n := range w.nodes {
		if n.running() && n.Status().IsPrimary && n.process().Expiry().Valid() {
			all = append(all, n)
		}
	}
	return all
}

// A node is a simulated member: what is on its disk, its process, and its link to the coordinator.
type node struct {
	w    *world
	name string
	rate float64 // of its clock

	mu        sync.Mutex
	epoch     uint64
	heard     uint64 // beside epoch
	tid       zodb.Tid
	leads     bool
	following string
	demoted   int           // how often
	stopped   chan struct{} // closed when it goes on; nil: it runs
	cut       bool          // from the coordinator
	slow      time.Duration // the longest delay of the coordinator, each way
	failing   bool          // it cannot lead

	loop  *lease.Loop
	kill  context.CancelFunc // ends the process
	leave func()             // ends the loop, and returns when it has left
}

// start runs a process of the node: the loop, a writer, and replication.
func (n *node) start() {
	ctx, kill := context.WithCancel(n.w.over)
	n.kill = kill
	p := &process{n, ctx}
	loop := lease.New(&link{p, &n.w.coordinator}, p, lease.Options{Timing: n.w.timing, Clock: p})
	n.set(func() { n.loop = loop })
	running, end := context.WithCancel(ctx)
	left := make(chan struct{})
	n.leave = func() { end(); <-left }
	n.w.all.Go(func() {
		defer close(left)
		loop.Run(running)
	})
	n.w.all.Go(func() { p.write(loop.Expiry()) })
	n.w.all.Go(p.replicate)
}

// restart ends the process as kill -9 does, and starts another.
func (n *node) restart() {
	n.kill()
	n.start()
}

func (n *node) set(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

func (n *node) stop() {
	n.set(func() {
		if n.stopped == nil {
			n.stopped = make(chan struct{})
		}
	})
}

func (n *node) goOn() {
	n.set(func() {
		if n.stopped != nil {
			close(n.stopped)
			n.stopped = nil
		}
	})
}

func (n *node) running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stopped == nil
}

func (n *node) process() *lease.Loop {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.loop
}

func (n *node) Status() lease.MemberStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	return lease.MemberStatus{
		Node:            n.name,
		Name:            n.name,
		Epoch:           n.epoch,
		MaxEpochSeen:    max(n.heard, n.epoch),
		Tid:             n.tid,
		IsPrimary:       n.leads,
		Eligible:        true,
		ReplicationAddr: n.name + ":5000",
	}
}

// A process is one run of a node. Whatever it does waits while it is stopped, and never happens after it was killed.
type process struct {
	*node
	life context.Context
}

var errUnfit = errors.New("cannot lead")

func (p *process) gate() error {
	for {
		p.mu.Lock()
		stopped := p.stopped
		p.mu.Unlock()
		if stopped == nil || p.life.Err() != nil {
			return p.life.Err()
		}
		select {
		case <-stopped:
		case <-p.life.Done():
		}
	}
}

// Now is part of lease.Clock.
func (p *process) Now() time.Duration {
	_ = p.gate()
	return time.Hour + time.Duration(float64(time.Since(p.w.began))*p.rate)
}

// Status is part of lease.Node.
func (p *process) Status() lease.MemberStatus {
	_ = p.gate()
	return p.node.Status()
}

// Lead is part of lease.Node.
func (p *process) Lead(ctx context.Context, number uint64) error {
	if err := p.w.wait(ctx, p.w.some(500*time.Millisecond)); err != nil {
		return err
	}
	if err := p.gate(); err != nil {
		return err
	}
	var err error
	p.set(func() {
		if p.failing {
			err = errUnfit
			return
		}
		p.epoch, p.leads, p.following = number, true, ""
	})
	return err
}

// Follow is part of lease.Node.
func (p *process) Follow(_ context.Context, _ uint64, leader lease.MemberStatus) error {
	if err := p.gate(); err != nil {
		return err
	}
	p.set(func() {
		if p.leads {
			p.demoted++
		}
		p.leads, p.following = false, leader.Node
	})
	return nil
}

// write commits, and tells of commits in the expiry.
func (p *process) write(expiry *lease.Expiry) {
	for p.w.wait(p.life, 200*time.Millisecond) == nil && p.gate() == nil {
		if !p.node.Status().IsPrimary {
			continue
		}
		p.w.mu.Lock()
		p.w.last++
		tid := p.w.last
		p.w.mu.Unlock()
		p.set(func() { p.tid = tid })
		if at := p.node.Status(); expiry.Valid() && p.life.Err() == nil {
			p.w.tell(telling{p.name, at.Epoch, tid})
		}
	}
}

// replicate takes over what the followed node has.
func (p *process) replicate() {
	for p.w.wait(p.life, 200*time.Millisecond) == nil && p.gate() == nil {
		for _, other := range p.w.nodes {
			at := other.Status()
			if !at.IsPrimary || !other.running() {
				continue
			}
			p.set(func() {
				if other.name == p.following && !p.leads && at.Epoch >= p.epoch {
					p.epoch, p.tid = at.Epoch, at.Tid
				}
			})
		}
	}
}

// A link is the way of a process to the coordinator.
type link struct {
	p   *process
	ref lease.Coordinator
}

// pass takes a request or an answer over the link.
func (l *link) pass(ctx context.Context) error {
	l.p.mu.Lock()
	slow := l.p.slow
	l.p.mu.Unlock()
	if err := l.p.w.wait(ctx, l.p.w.some(slow)); err != nil {
		return err
	}
	l.p.mu.Lock()
	cut := l.p.cut
	l.p.mu.Unlock()
	if cut {
		<-ctx.Done()
		return context.DeadlineExceeded
	}
	return l.p.gate()
}

// over carries out a call at the other end of the link. When the answer is lost, it has happened all the same.
func (l *link) over(ctx context.Context, call func() error) error {
	if err := l.p.gate(); err != nil {
		return err
	}
	if err := l.pass(ctx); err != nil {
		return err
	}
	err := call()
	if lost := l.pass(ctx); lost != nil {
		return lost
	}
	return err
}

func (l *link) Read(ctx context.Context, other int64) (v lease.View, err error) {
	err = l.over(ctx, func() (err error) { v, err = l.ref.Read(ctx, other); return err })
	return v, err
}

func (l *link) Acquire(ctx context.Context, seen lease.Record, c lease.Claim) (lease.Lease, error) {
	var held lease.Lease
	err := l.over(ctx, func() (err error) { held, err = l.ref.Acquire(ctx, seen, c); return err })
	if err != nil {
		return nil, err
	}
	return &leaseLink{l, held}, nil
}

func (l *link) Publish(ctx context.Context, s lease.MemberStatus, ttl time.Duration) error {
	return l.over(ctx, func() error { return l.ref.Publish(ctx, s, ttl) })
}

func (l *link) Maintain(ctx context.Context, m lease.Maintenance) error {
	return l.over(ctx, func() error { return l.ref.Maintain(ctx, m) })
}

func (l *link) Close() error { return nil }

type leaseLink struct {
	*link
	lease lease.Lease
}

func (t *leaseLink) Renew(ctx context.Context, c lease.Claim) error {
	return t.over(ctx, func() error { return t.lease.Renew(ctx, c) })
}

func (t *leaseLink) Resign(ctx context.Context) error {
	return t.over(ctx, func() error { return t.lease.Resign(ctx) })
}
