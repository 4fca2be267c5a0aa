package referee

import (
	"context"
	"errors"
	"time"
)

// reigning is the record of a node that leads.
func reigning(self Standing) Record {
	return Record{Number: self.Epoch, Node: self.Node, Begun: self.Epoch, Tid: self.Tid}
}

// campaigning is the record of a node that is to lead an epoch and does not yet.
func campaigning(seen Record, number uint64, self Standing) Record {
	seen.Number, seen.Node = number, self.Node
	return seen
}

// acquire takes the office with a record that replaces the one that was seen.
func (l *Loop) acquire(ctx context.Context, seen, next Record, self Standing) {
	sent := l.opt.Clock.Now()
	ctx, cancel := l.patience(ctx)
	defer cancel()
	tenure, err := l.ref.Acquire(ctx, seen, Claim{next, self, l.opt.Timing.TTL})
	if errors.Is(err, ErrTaken) {
		return // a younger view is on its way
	}
	if err != nil {
		l.failed("give the office", err)
		return
	}
	l.opt.Logger.Info("the office is this node's", "epoch", next.Number)
	l.tenure = tenure
	l.renewed(sent, next)
}

// renewed notes what was granted to a request that was sent then. It makes a term once the epoch is on record as
// begun, because only then nobody takes the office who lacks it.
func (l *Loop) renewed(sent time.Duration, record Record) {
	l.sent, l.record = sent, record
	if record.Begun == record.Number {
		l.term.extend(sent + l.opt.Timing.Term())
	}
}

// campaign takes the office for a new epoch, if the youngest view still calls for it, and has the node lead.
func (l *Loop) campaign(ctx context.Context, self Standing, vacant int64) {
	if l.look.waits(l.opt.Clock.Now()) {
		l.status.rule("could not see how the office became vacant, and gives a primary time to come back")
		return
	}
	if view, _, _ := l.look.latest(); l.heard > view.Record.Number && l.opt.Clock.Now()-l.heardAt < l.opt.Timing.TTL {
		l.status.rule("somebody is being promoted by hand, as it seems, and has time for that")
		return
	}
	reading, cancel := l.patience(ctx)
	defer cancel()
	view, err := l.ref.Read(reading, 0)
	if err != nil {
		l.failed("answer", err)
		return
	}
	r := judge(view, self, vacant, l.opt.MaxLag)
	if r.deed != campaign {
		return
	}
	l.acquire(ctx, view.Record, campaigning(view.Record, r.number, self), self)
	if l.tenure != nil {
		l.lead(ctx, r.number)
	}
}

// hold renews the office in time, or gives it up when the node does not lead.
func (l *Loop) hold(ctx context.Context, self Standing) {
	next := l.record
	view, _, _ := l.look.latest()
	switch {
	case self.Leads && l.act == nil && replaceable(view, self):
		l.opt.Logger.Error("this node leads and takes no transactions: it makes way for another", "why", self.Ails)
		l.status.rule("makes way for another node: " + self.Ails)
		l.resign(ctx)
		return
	case self.Leads && self.Epoch >= l.record.Number:
		next = reigning(self)
		l.status.rule("leads")
	case l.act == nil:
		l.resign(ctx)
		return
	}
	sent := l.opt.Clock.Now()
	if next.Begun == l.record.Begun && sent-l.sent < l.renewal() {
		return
	}
	ctx, cancel := l.patience(ctx)
	defer cancel()
	switch err := l.tenure.Renew(ctx, Claim{next, self, l.opt.Timing.TTL}); {
	case err == nil:
		l.renewed(sent, next)
	case errors.Is(err, ErrLost):
		l.lose(err)
	default:
		l.failed("renew the office", err)
	}
}

// lose ends what the office was for.
func (l *Loop) lose(err error) {
	l.failed("renew the office", err)
	l.term.stop()
	l.tenure = nil
	if l.act != nil {
		l.act.cancel()
	}
}

// resign gives the office up. If that fails it is tried again at the next turn.
func (l *Loop) resign(ctx context.Context) {
	l.term.stop()
	ctx, cancel := l.patience(ctx)
	defer cancel()
	if err := l.tenure.Resign(ctx); err != nil {
		l.failed("take the office back", err)
		return
	}
	l.opt.Logger.Info("gave up the office", "epoch", l.record.Number)
	l.tenure = nil
}

// logTerm logs when transactions begin and cease to be held.
func (l *Loop) logTerm(self Standing) {
	held := self.Leads && !l.term.Valid()
	switch {
	case held && !l.held:
		l.opt.Logger.Warn("commits are held: this node leads without a term", "why", l.status.why())
	case !held && l.held && self.Leads:
		l.opt.Logger.Info("commits go on: the term has begun", "left", l.term.Left())
	}
	l.held = held
}
