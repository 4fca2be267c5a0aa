package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/moment"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// A MomentConfig is a storage of its own for ZEO clients, read-only, that is another storage as of a moment.
type MomentConfig struct {
	Name string // as clients ask for it; unique among all storages
	At   moment.Spec
}

// momentPoll is how often it is looked for what belongs to a moment that the storage has not reached yet: a secondary
// that is behind, or a file that another process writes.
const momentPoll = time.Second

// A momentView serves one moment of an open storage. Nothing is copied: its clients read the data file of the storage,
// which goes on.
type momentView struct {
	cfg   MomentConfig
	c     *Config
	st    *filestorage.Storage
	opt   zeo.StorageOptions
	front front
	now   func() time.Time

	withdraw func() // nil: it is not served

	mu    sync.Mutex
	shown admin.Moment
}

// serveMoments offers the moments of a storage until end is called. opt has what else its clients get.
func (c *Config) serveMoments(st *filestorage.Storage, opt zeo.StorageOptions) (end func()) {
	if c.front == nil || len(c.Moments) == 0 {
		return func() {}
	}
	opt = zeo.StorageOptions{Access: zeo.ReadOnly, Correct: opt.Correct, DamagedBlobs: opt.DamagedBlobs,
		Decompress: opt.Decompress, Watch: opt.Watch}
	var views []*momentView
	var ends []func()
	for _, one := range c.Moments {
		v := newMomentView(c, one)
		views = append(views, v)
		ends = append(ends, v.begin(context.Background(), st, opt))
	}
	c.views.Store(&views)
	return func() {
		for _, end := range ends {
			end()
		}
		c.views.Store(nil)
	}
}

func newMomentView(c *Config, one MomentConfig) *momentView {
	return &momentView{cfg: one, c: c, front: c.front, now: time.Now,
		shown: admin.Moment{Name: one.Name, At: one.At.String()}}
}

// begin serves the moment from an open storage until end is called, or ctx ends.
func (v *momentView) begin(ctx context.Context, st *filestorage.Storage, opt zeo.StorageOptions) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	v.st, v.opt = st, opt
	var running sync.WaitGroup
	running.Go(func() { v.run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// nowhere says that there is no storage that has the moment.
func (v *momentView) nowhere(err error) {
	v.troubled(err)
	v.ends(err)
}

// run serves the moment until ctx ends, or until there is nothing to be served any more.
func (v *momentView) run(ctx context.Context) {
	defer v.leave()
	for ctx.Err() == nil {
		packed := v.st.NextPack()
		now, next, settled, err := v.find(ctx)
		if err == nil {
			err = v.show(ctx, now)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			v.troubled(err)
		}
		if packedAway(err) {
			v.ends(err)
			if v.cfg.At.Fixed() {
				return
			}
		}
		v.await(ctx, next, packed, settled && err == nil)
	}
}

// show has clients see this moment.
func (v *momentView) show(ctx context.Context, m filestorage.Moment) error {
	switch was := v.opt.Moment; {
	case v.withdraw == nil:
		v.opt.Moment = &m
		v.withdraw = v.front.Offer(v.cfg.Name, v.st, v.opt)
	case m == *was:
		v.shows(m)
		return nil
	default:
		if err := v.front.Step(ctx, v.cfg.Name, m); err != nil {
			return err
		}
		v.opt.Moment = &m
	}
	v.c.Logger.Info("serving a moment", "as_of", v.cfg.Name, "moment", v.cfg.At.String(), "last_tid", m.Tid)
	v.shows(m)
	return nil
}

// leave disconnects the clients of the moment.
func (v *momentView) leave() {
	if v.withdraw != nil {
		v.withdraw()
		v.withdraw = nil
	}
}

// find finds the moment in the storage as it is now. settled says that nothing more of it will come.
func (v *momentView) find(ctx context.Context) (m filestorage.Moment, next time.Time, settled bool, err error) {
	tid, next, err := v.cfg.At.At(v.now())
	if err != nil {
		return m, next, false, err
	}
	if err := v.st.Refresh(ctx); err != nil {
		return m, next, false, err
	}
	settled = v.st.LastTid() > tid // before the search: what comes later is not of the moment
	m, err = v.st.MomentAt(ctx, tid)
	return m, next, settled, err
}

// await waits until there may be another answer: the moment moves, a pack has changed the file, or the storage has not
// reached the moment yet.
func (v *momentView) await(ctx context.Context, next time.Time, packed func(context.Context) error, settled bool) {
	if !settled {
		pause.For(ctx, momentPoll)
		return
	}
	if !next.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, next)
		defer cancel()
	}
	if err := packed(ctx); errors.Is(err, zodb.ErrClosed) {
		pause.For(ctx, momentPoll) // until the session ends
	}
}

func packedAway(err error) bool {
	var packed *filestorage.MomentPackedError
	return errors.As(err, &packed)
}

// ends disconnects the clients of a moment that is not there any more, and has those that come hear why.
func (v *momentView) ends(err error) {
	v.leave()
	v.front.End(v.cfg.Name, fmt.Errorf("storage %s is as of %s: %w", v.cfg.Name, v.cfg.At, err))
}

// troubled notes what keeps the moment from being served, or from moving on.
func (v *momentView) troubled(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if text := err.Error(); v.shown.Error == nil || *v.shown.Error != text {
		v.c.Logger.Warn("cannot serve a moment", "as_of", v.cfg.Name, "error", err, "warning",
			warning.StorageClosed)
		v.shown.Error = &text
	}
}

// shows notes what is served.
func (v *momentView) shows(m filestorage.Moment) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shown.Tid, v.shown.Time, v.shown.Error = admin.NonZero(m.Tid), nil, nil
	if m.Tid != 0 {
		v.shown.Time = admin.Known(lastTime(m.Tid))
	}
}

// showMoments fills in the moments that are served.
func (c *Config) showMoments(st *admin.Status) {
	if c.views == nil {
		return // it serves nothing
	}
	views := c.views.Load()
	if views == nil {
		return
	}
	for _, v := range *views {
		v.mu.Lock()
		st.AsOf = append(st.AsOf, v.shown)
		v.mu.Unlock()
	}
}
