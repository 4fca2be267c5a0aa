package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// How long a fetch that has failed is not tried again: who asks meanwhile gets the same error at once, so that clients
// do not wait one after the other for an archive that is away.
const (
	awayFor    = 2 * time.Second
	damagedFor = 10 * time.Second
	maxDamaged = 1000
)

// fetches are those of segments of a view.
type fetches struct {
	view  *View
	life  context.Context // of the view; readers have none of their own
	end   context.CancelFunc
	turns chan struct{}
	under sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	flights map[uint64]*flight
	away    failure
	damaged map[uint64]failure
}

// A flight is a fetch that is under way, for all who ask for the segment.
type flight struct {
	done    chan struct{}
	content []byte
	err     error
}

type failure struct {
	err   error
	until time.Time
}

func (f *failure) now() error {
	if f.err != nil && time.Now().Before(f.until) {
		return f.err
	}
	return nil
}

func (f *fetches) begin(v *View) {
	f.view, f.flights, f.damaged = v, map[uint64]*flight{}, map[uint64]failure{}
	f.turns = make(chan struct{}, v.opt.AtOnce)
	f.life, f.end = context.WithCancel(context.Background())
}

// close ends all fetches, and waits for them.
func (f *fetches) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.end()
	f.under.Wait()
}

// get returns the content of segment i.
func (f *fetches) get(i uint64) ([]byte, error) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil, zodb.ErrClosed
	}
	one := f.flights[i]
	if one == nil {
		bad := f.damaged[i]
		if err := errors.Join(bad.now(), f.away.now()); err != nil {
			f.mu.Unlock()
			return nil, err
		}
		one = f.start(i)
	}
	f.mu.Unlock()
	<-one.done // it is bounded, and ends with the view
	return one.content, one.err
}

// ahead fetches segments from i on that are not here, as long as there are turns.
func (f *fetches) ahead(i uint64) {
	v := f.view
	v.table.mu.RLock()
	n := uint64(len(v.table.ends))
	v.table.mu.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	for last := min(i+uint64(v.opt.AtOnce), n); i < last; i++ {
		if f.closed || len(f.flights) >= v.opt.AtOnce || f.away.now() != nil {
			return
		}
		if f.flights[i] == nil && !v.kept.has(v.path.ID(i)) {
			f.start(i)
		}
	}
}

// start begins a fetch, with mu held.
func (f *fetches) start(i uint64) *flight {
	one := &flight{done: make(chan struct{})}
	f.flights[i] = one
	f.under.Go(func() {
		one.content, one.err = f.fetch(i)
		f.ended(i, one.err)
		close(one.done)
	})
	return one
}

func (f *fetches) fetch(i uint64) ([]byte, error) {
	wait := f.view.opt.Wait
	ctx, cancel := context.WithTimeoutCause(f.life, wait, fmt.Errorf("it did not answer within %v", wait))
	defer cancel()
	select {
	case f.turns <- struct{}{}:
		defer func() { <-f.turns }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	content, err := f.view.fetch(ctx, i)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return content, err
}

// ended notes how a fetch has ended.
func (f *fetches) ended(i uint64, err error) {
	log := f.view.opt.Logger
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.flights, i)
	switch {
	case err == nil:
		f.isBack()
	case f.life.Err() != nil:
	case isDamage(err):
		log.Error("a part of the archive is damaged: reads of it fail", "archive", f.view.archive.String(), "error",
			err, "warning", warning.ArchiveUnread)
		if len(f.damaged) >= maxDamaged {
			clear(f.damaged)
		}
		f.damaged[i] = failure{err, time.Now().Add(cmp.Or(f.view.opt.again, damagedFor))}
	default:
		if f.away.err == nil {
			log.Error("the archive cannot be read: reads of what is not kept here fail", "archive",
				f.view.archive.String(), "error", err, "warning", warning.ArchiveUnread)
		}
		f.away = failure{err, time.Now().Add(cmp.Or(f.view.opt.again, awayFor))}
	}
}

// back notes that the archive can be read.
func (f *fetches) back() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.isBack()
}

// isBack is back with mu held.
func (f *fetches) isBack() {
	if f.away.err != nil {
		f.view.opt.Logger.Info("the archive can be read again", "archive", f.view.archive.String())
	}
	f.away = failure{}
}

// isDamage reports whether an error says that an object is not what was written, which time does not mend.
func isDamage(err error) bool {
	var format *FormatError
	var lost *LostError
	return errors.As(err, &format) || errors.As(err, &lost)
}

// objectAway reports whether an error says nothing about an object, only that it cannot be read now.
func objectAway(err error) bool {
	var other *objectstore.Error
	return errors.As(err, &other) && !missing(err)
}

func (f *fetches) trouble() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.away.err
}
