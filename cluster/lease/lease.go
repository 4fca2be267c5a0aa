package lease

import (
	"context"
	"errors"
	"time"

	"github.com/zrsd/zrsd/internal/warning"
)

// leaderRecord is the record of a node that leads.
func leaderRecord(self MemberStatus) Record {
	return Record{Number: self.Epoch, Node: self.Node, Begun: self.Epoch, Tid: self.Tid}
}

// candidateRecord is the record of a node that is to lead an epoch and does not yet.
func candidateRecord(seen Record, number uint64, self MemberStatus) Record {
	seen.Number, seen.Node = number, self.Node
	return seen
}

// acquire takes the lease with a record that replaces the one that was seen.
func (l *Loop) acquire(ctx context.Context, seen, next Record, self MemberStatus) {
	sent := l.opt.Clock.Now()
	ctx, cancel := l.request(ctx)
	defer cancel()
	held, err := l.coordinator.Acquire(ctx, seen, Claim{next, self, l.opt.Timing.TTL})
	if errors.Is(err, ErrTaken) {
		return // a younger view is on its way
	}
	if err != nil {
		l.failed("give the lease", err)
		return
	}
	l.opt.Logger.Info("this node holds the lease", "epoch", next.Number)
	l.lease = held
	l.renewed(sent, next)
}

// renewed notes what was granted to a request that was sent then. It extends the expiry once the epoch is on record as
// begun, because only then nobody takes the lease who lacks it.
func (l *Loop) renewed(sent time.Duration, record Record) {
	l.sent, l.record = sent, record
	if record.Begun == record.Number {
		l.expiry.extend(sent + l.opt.Timing.validity())
	}
}

// campaign takes the lease for a new epoch, if the youngest view still calls for it, and has the node lead.
func (l *Loop) campaign(ctx context.Context, self MemberStatus, vacant int64) {
	if l.views.inGracePeriod(l.opt.Clock.Now()) {
		l.status.setDoing("did not see how the lease became vacant: waits for the primary to come back")
		return
	}
	if view, _, _ := l.views.latest(); l.maxEpochSeen > view.Record.Number &&
		l.opt.Clock.Now()-l.maxEpochSeenAt < l.opt.Timing.TTL {
		l.status.setDoing("waits for a promotion by hand, which seems to be in progress")
		return
	}
	reading, cancel := l.request(ctx)
	defer cancel()
	view, err := l.coordinator.Read(reading, 0)
	if err != nil {
		l.failed("answer", err)
		return
	}
	r := decide(view, self, vacant, l.opt.MaxLag)
	if r.action != actCampaign {
		return
	}
	l.acquire(ctx, view.Record, candidateRecord(view.Record, r.number, self), self)
	if l.lease != nil {
		l.lead(ctx, r.number)
	}
}

// hold renews the lease in time, or gives it up when the node does not lead.
func (l *Loop) hold(ctx context.Context, self MemberStatus) {
	next := l.record
	view, _, _ := l.views.latest()
	switch {
	case self.IsPrimary && l.task == nil && replaceable(view, self):
		l.opt.Logger.Error("this primary takes no transactions and gives up the lease", "reason", self.Fault,
			"warning", warning.StorageFailed)
		l.status.setDoing("gives up the lease: " + self.Fault)
		l.resign(ctx)
		return
	case self.IsPrimary && self.Epoch >= l.record.Number:
		next = leaderRecord(self)
		l.status.setDoing("leads")
	case l.task == nil:
		l.resign(ctx)
		return
	}
	sent := l.opt.Clock.Now()
	if next.Begun == l.record.Begun && sent-l.sent < l.renewInterval() {
		return
	}
	ctx, cancel := l.request(ctx)
	defer cancel()
	switch err := l.lease.Renew(ctx, Claim{next, self, l.opt.Timing.TTL}); {
	case err == nil:
		l.renewed(sent, next)
	case errors.Is(err, ErrLost):
		l.leaseLost(err)
	default:
		l.failed("renew the lease", err)
	}
}

// leaseLost ends what the lease was for.
func (l *Loop) leaseLost(err error) {
	l.failed("renew the lease", err)
	l.expiry.revoke()
	l.lease = nil
	if l.task != nil {
		l.task.cancel()
	}
}

// resign gives the lease up. If that fails it is tried again at the next step.
func (l *Loop) resign(ctx context.Context) {
	l.expiry.revoke()
	ctx, cancel := l.request(ctx)
	defer cancel()
	if err := l.lease.Resign(ctx); err != nil {
		l.failed("take the lease back", err)
		return
	}
	l.opt.Logger.Info("gave up the lease", "epoch", l.record.Number)
	l.lease = nil
}

// logExpiry logs when transactions begin and cease to be held.
func (l *Loop) logExpiry(self MemberStatus) {
	held := self.IsPrimary && !l.expiry.Valid()
	switch {
	case held && !l.held:
		l.opt.Logger.Warn("commits are held: this primary has no lease", "reason", l.status.getDoing(),
			"warning", warning.NoLease)
	case !held && l.held && self.IsPrimary:
		l.opt.Logger.Info("commits continue: this node has the lease", "lease_remaining", l.expiry.Remaining())
	}
	l.held = held
}
