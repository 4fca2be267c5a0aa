package node

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// A delayed storage is that of a secondary with an apply delay. What is received is in the file at once, durable and
// acknowledged; clients see it when it is older than the delay, and nothing after the transaction of apply-until.
//
//	received   … │ 4 │ 5 │ 6 │ 7 │ 8 │ 9 │       9: the last transaction of the file
//	                   ▲ shown             now - delay is between 5 and 6; 6 is due at its time + delay
//
// Clients are served as of a moment (decision 80) that moves on transaction by transaction. As primary the node has no
// delay: the storage is withdrawn, and offered as it is.
type delayed struct {
	c     *Config
	delay time.Duration
	front func(st *filestorage.Storage, opt zeo.StorageOptions) (withdraw func()) // nil: there are no clients
	set   func(zeo.Access)                                                        // nil: as well

	// Of the session; set before anybody else can see them.
	st      *filestorage.Storage
	keep    *state.Keeper
	primary func() bool
	opt     zeo.StorageOptions
	cursor  *filestorage.MomentCursor

	poked chan struct{} // one slot: look again

	idle atomic.Bool // nothing is hidden: look again when there is more

	withdraw func() // of the goroutine that looks; nil: clients are not served

	deciding sync.Mutex // held while it is decided how far clients see
	decided  zodb.Tid   // of deciding: clients see, or are about to see, up to this one

	offering sync.Mutex // held while the storage is offered, or its access changes
	access   zeo.Access // of offering: what clients may do where they see the storage as it is
	whole    bool       // of offering: they do

	mu    sync.Mutex
	shown *filestorage.Moment // what clients see; nil: nothing, or everything
	moved chan struct{}       // closed when that changes
	err   error               // why they see nothing
}

// How often it is looked at least, whatever the clock does, and how long at least lies between two looks.
const (
	delayLook  = time.Minute
	delayPause = 10 * time.Millisecond
)

// delays makes the clients of a node see the storage later.
func (c *Config) delays(delay time.Duration) *delayed {
	d := &delayed{c: c, delay: delay, front: c.offer, set: c.setAccess, poked: make(chan struct{}, 1),
		moved: make(chan struct{})}
	c.offer, c.setAccess, c.delay = d.offer, d.setAccess, d
	return d
}

// begin is called with what a session has opened.
func (d *delayed) begin(s *session) { d.keep, d.primary = s.keep, s.node.IsPrimary }

// offer is Config.offer.
func (d *delayed) offer(st *filestorage.Storage, opt zeo.StorageOptions) (withdraw func()) {
	d.st, d.opt, d.cursor = st, opt, st.Moments()
	d.offering.Lock()
	d.access = opt.Access
	d.offering.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	unwatch := st.Watch(func([]filestorage.Invalidation, bool) {
		if d.idle.Load() {
			d.poke()
		}
	})
	var running sync.WaitGroup
	wait := d.look(ctx)
	running.Go(func() { d.run(ctx, wait) })
	running.Go(func() { d.watchPacks(ctx) })
	return func() {
		unwatch()
		cancel()
		running.Wait()
		d.leave()
	}
}

// poke has run look again.
func (d *delayed) poke() {
	select {
	case d.poked <- struct{}{}:
	default:
	}
}

// run has clients see what is due, until ctx ends.
func (d *delayed) run(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-d.poked:
		}
		timer.Reset(d.look(ctx))
	}
}

// watchPacks has it looked again when a pack has put another file in place.
func (d *delayed) watchPacks(ctx context.Context) {
	for {
		packed := d.st.NextPack()
		if packed(ctx) != nil {
			return
		}
		d.poke()
	}
}

// setAccess is Config.setAccess. What the node is may have changed: run follows.
func (d *delayed) setAccess(access zeo.Access) {
	d.offering.Lock()
	defer d.offering.Unlock()
	d.access = access
	if d.set != nil && (d.whole || access == zeo.ReadOnly) { // nobody writes on top of what was
		d.set(access)
	}
	d.poke()
}

// look does what is to be done now, and returns how long to wait for more.
func (d *delayed) look(ctx context.Context) time.Duration {
	if d.primary() {
		d.showAll()
		return delayLook
	}
	wait, err := d.showDue(ctx)
	if ctx.Err() == nil {
		d.troubled(err)
	}
	return wait
}

// showAll has clients see the storage as it is.
func (d *delayed) showAll() {
	if !d.showsAll() {
		d.leave()
		d.offerNow(d.opt)
		d.shows(nil)
	}
}

func (d *delayed) showsAll() bool {
	d.offering.Lock()
	defer d.offering.Unlock()
	return d.whole
}

// showDue has clients see what is due, and returns how long nothing else will be.
func (d *delayed) showDue(ctx context.Context) (wait time.Duration, err error) {
	d.idle.Store(true) // what comes from now on may be the next one
	m, next, err := d.cursor.To(ctx, d.limit())
	if err != nil {
		return delayLook, err
	}
	d.idle.Store(next == 0)
	if !d.decide(m.Tid) {
		return 0, nil
	}
	if d.withdraw == nil || d.showsAll() {
		d.leave()
		opt := d.opt
		opt.Moment = &m
		d.offerNow(opt)
		d.c.Logger.Info("serving clients with a delay", "delay", d.delay, "last_tid", m.Tid)
	} else if err := d.advance(ctx, m); err != nil {
		return delayLook, err
	}
	d.shows(&m)
	return d.waitFor(next), nil
}

// advance has connected clients see more.
func (d *delayed) advance(ctx context.Context, m filestorage.Moment) error {
	if was := d.now(); d.c.front == nil || was != nil && *was == m {
		return nil
	}
	return d.c.front.Show(ctx, d.c.zeoName, m)
}

// limit is the tid up to which everything may be seen.
func (d *delayed) limit() zodb.Tid {
	limit, err := zodb.TidFromTime(time.Now().Add(-d.delay))
	if err != nil {
		return 0 // a clock of long ago
	}
	if until := d.heldAt(); until != 0 {
		limit = min(limit, until)
	}
	return max(limit, d.decidedUpTo())
}

// heldAt is the transaction of apply-until; 0: none is set.
func (d *delayed) heldAt() zodb.Tid {
	if id := d.keep.State(); id != nil {
		return id.ApplyUntil
	}
	return 0
}

// decide notes that clients are about to see everything up to a transaction, and reports whether they may.
func (d *delayed) decide(upTo zodb.Tid) bool {
	d.deciding.Lock()
	defer d.deciding.Unlock()
	if until := d.heldAt(); until != 0 && upTo > max(until, d.decided) {
		return false
	}
	d.decided = max(d.decided, upTo)
	return true
}

func (d *delayed) decidedUpTo() zodb.Tid {
	d.deciding.Lock()
	defer d.deciding.Unlock()
	return d.decided
}

// waitFor is how long to wait for a transaction to be due; 0: there is none, and the storage pokes when there is.
func (d *delayed) waitFor(next zodb.Tid) time.Duration {
	held := d.heldAt()
	if next == 0 || held != 0 && next > held {
		return delayLook
	}
	due := time.Until(next.Time().Add(d.delay + time.Millisecond)) // tids are not exact to the microsecond
	return min(max(due, delayPause), delayLook)
}

// offerNow offers the storage with the access that clients have now.
func (d *delayed) offerNow(opt zeo.StorageOptions) {
	d.offering.Lock()
	defer d.offering.Unlock()
	if opt.Access, d.whole = d.access, opt.Moment == nil; !d.whole {
		opt.Access = zeo.ReadOnly
	}
	if d.withdraw = func() {}; d.front != nil {
		d.withdraw = d.front(d.st, opt)
	}
}

// leave disconnects the clients.
func (d *delayed) leave() {
	if d.withdraw != nil {
		d.withdraw()
	}
	d.withdraw = nil
	d.offering.Lock()
	d.whole = false
	d.offering.Unlock()
	d.shows(nil)
}

// shows notes what clients see, and tells those who wait for more.
func (d *delayed) shows(m *filestorage.Moment) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shown = m
	close(d.moved)
	d.moved = make(chan struct{})
}

// sight is up to which transaction clients see, 0 for nothing; all: everything. changed is closed when it is otherwise.
func (d *delayed) sight() (upTo zodb.Tid, all bool, changed <-chan struct{}) {
	d.mu.Lock()
	if d.shown != nil {
		upTo = d.shown.Tid
	}
	changed = d.moved
	d.mu.Unlock()
	return upTo, d.showsAll(), changed // in this order: what is otherwise by now closes changed
}

// now is what clients see; nil: nothing, or everything.
func (d *delayed) now() *filestorage.Moment {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.shown
}

// troubled notes why clients see nothing, or nothing more. Those of a moment that a pack has removed are disconnected.
func (d *delayed) troubled(err error) {
	d.mu.Lock()
	was := d.err
	d.err = err
	d.mu.Unlock()
	packed := packedAway(err)
	if err == nil || was != nil && (packed && packedAway(was) || was.Error() == err.Error()) {
		return // nothing new, as the moment that is missing moves on with the clock
	}
	d.c.Logger.Warn("cannot show more to clients", "delay", d.delay, "error", err, "warning", warning.StorageClosed)
	if packed {
		d.leave()
		if d.c.front != nil {
			d.c.front.End(d.c.zeoName, fmt.Errorf("this secondary shows what is older than %v: %w", d.delay, err))
		}
	}
}

// shownUpTo is the last transaction that clients see; 0: none.
func (d *delayed) shownUpTo() zodb.Tid {
	if m := d.now(); m != nil {
		return m.Tid
	}
	return 0
}

// packLimit is up to which transaction the file may be packed; all: there is no limit.
func (d *delayed) packLimit() (limit zodb.Tid, all bool) {
	if d.primary == nil || d.primary() {
		return 0, true
	}
	if m := d.now(); m != nil {
		return m.Tid, false
	}
	return d.limit(), false
}

// show fills in how far clients see.
func (d *delayed) show(st *admin.Status) {
	out := &admin.Delay{Seconds: d.delay.Seconds(), Until: admin.NonZero(d.heldAt())}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		out.Error = admin.Known(d.err.Error())
	}
	if d.shown != nil && d.shown.Tid != 0 {
		out.Shown, out.ShownTime = &d.shown.Tid, admin.Known(lastTime(d.shown.Tid))
		out.Hidden = admin.Known(max(d.st.LastTid().Time().Sub(d.shown.Tid.Time()), 0).Seconds())
	}
	st.ApplyDelay = out
}
