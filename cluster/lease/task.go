package lease

import (
	"context"
	"fmt"

	"github.com/zrsd/zrsd/internal/warning"
)

// A task is what the node is doing for the loop, beside the steps, which go on renewing the lease meanwhile.
type task struct {
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

// startTask lets the node do something.
func (l *Loop) startTask(ctx context.Context, a *task, do func(context.Context) error) {
	ctx, a.cancel = context.WithCancel(ctx)
	a.done = make(chan struct{})
	l.task = a
	go func() {
		defer close(a.done)
		defer a.cancel()
		a.err = do(ctx)
	}()
}

// lead has the node lead the epoch that the lease was acquired for.
func (l *Loop) lead(ctx context.Context, number uint64) {
	l.followed = target{}
	l.startTask(ctx, &task{what: fmt.Sprintf("lead epoch %d", number), leads: true},
		func(ctx context.Context) error { return l.node.Lead(ctx, number) })
}

// follow has the node follow the holder of the lease, unless it does already.
func (l *Loop) follow(ctx context.Context, v View, self MemberStatus) {
	var leader MemberStatus
	if v.Holder != nil {
		leader = *v.Holder
	}
	to := target{leader.Node, leader.ReplicationAddr, v.Record.Begun}
	if !self.IsPrimary && to == l.followed {
		return
	}
	if _, aside := l.status.aside(l.opt.Clock.Now()); aside {
		return
	}
	l.startTask(ctx, &task{what: "follow " + leader.Name, target: to},
		func(ctx context.Context) error { return l.node.Follow(ctx, v.Record.Number, leader) })
}

// taskDone is closed when the node is done; it is nil while there is nothing to wait for.
func (l *Loop) taskDone() <-chan struct{} {
	if l.task == nil {
		return nil
	}
	return l.task.done
}

// finishTask takes note of what the node has done. A node that failed stands aside for a TTL, so that another has its
// chance.
func (l *Loop) finishTask() {
	a := l.task
	l.task = nil
	switch {
	case a.err != nil:
		l.opt.Logger.Error("the node failed to "+a.what, "error", a.err, "warning", warning.ChangeFailed)
		l.status.standAside(l.opt.Clock.Now()+l.opt.Timing.TTL, fmt.Sprintf("it could not %s: %v", a.what, a.err))
	case !a.leads:
		l.followed = a.target
	}
	notify(l.publishNow)
}
