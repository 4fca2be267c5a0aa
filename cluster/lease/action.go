package referee

import (
	"context"
	"fmt"
)

// An action is what the node is doing for the loop, beside the turns, which go on renewing the office meanwhile.
type action struct {
	what   string
	target target // that is followed
	leads  bool
	err    error // when done
	done   chan struct{}
	cancel context.CancelFunc
}

// A target is whom to follow, and in what epoch.
type target struct {
	node, replication string
	begun             uint64
}

// start lets the node do something.
func (l *Loop) start(ctx context.Context, a *action, do func(context.Context) error) {
	ctx, a.cancel = context.WithCancel(ctx)
	a.done = make(chan struct{})
	l.act = a
	go func() {
		defer close(a.done)
		defer a.cancel()
		a.err = do(ctx)
	}()
}

// lead has the node lead the epoch that the office was acquired for.
func (l *Loop) lead(ctx context.Context, number uint64) {
	l.followed = target{}
	l.start(ctx, &action{what: fmt.Sprintf("lead epoch %d", number), leads: true},
		func(ctx context.Context) error { return l.node.Lead(ctx, number) })
}

// follow has the node follow the holder of the office, unless it does already.
func (l *Loop) follow(ctx context.Context, v View, self Standing) {
	var leader Standing
	if v.Holder != nil {
		leader = *v.Holder
	}
	to := target{leader.Node, leader.Replication, v.Record.Begun}
	if !self.Leads && to == l.followed {
		return
	}
	if _, aside := l.status.aside(l.opt.Clock.Now()); aside {
		return
	}
	l.start(ctx, &action{what: "follow " + leader.Name, target: to},
		func(ctx context.Context) error { return l.node.Follow(ctx, v.Record.Number, leader) })
}

// acted is closed when the node is done; it is nil while there is nothing to wait for.
func (l *Loop) acted() <-chan struct{} {
	if l.act == nil {
		return nil
	}
	return l.act.done
}

// finish takes note of what the node has done. A node that failed stands aside for a TTL, so that another has its
// chance.
func (l *Loop) finish() {
	a := l.act
	l.act = nil
	switch {
	case a.err != nil:
		l.opt.Logger.Error("the node could not "+a.what, "error", a.err)
		l.status.standAside(l.opt.Clock.Now()+l.opt.Timing.TTL, fmt.Sprintf("it could not %s: %v", a.what, a.err))
	case !a.leads:
		l.followed = a.target
	}
	nudge(l.speak)
}
