package blobcache

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

const (
	askFor   = 30 * time.Second // how long a source may take to say whether it has a blob
	askAgain = time.Minute      // after which blobs that could not go are looked at again

	evictAtOnce = peerLines
)

// Run finds what is here, and keeps the target until ctx ends.
func (d *Dir) Run(ctx context.Context) {
	if err := d.scan(ctx); err != nil && ctx.Err() == nil {
		d.opt.Logger.Info("the blob cache could not be looked through; what was not found stays", "dir", d.Dir(),
			"error", err)
	}
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for {
		d.KeepTarget(ctx)
		select {
		case <-d.look:
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// scan notes the blobs that are here since before, those first that came last.
func (d *Dir) scan(ctx context.Context) error {
	type found struct {
		entry
		at int64
	}
	var all []found
	err := d.Walk(func(oid zodb.Oid, tid zodb.Tid, size int64, path string) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		all = append(all, found{entry{revision: revision{oid, tid}, size: size}, d.Came(path)})
		return nil
	})
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(b.at, a.at) })
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range all {
		if d.known[all[i].revision] == nil {
			d.add(&all[i].entry, false)
		}
	}
	return err
}

// KeepTarget evicts what was used longest ago, if there is more than the target.
func (d *Dir) KeepTarget(ctx context.Context) {
	d.mu.Lock()
	d.since = 0
	over := d.bytes > d.opt.Target
	d.mu.Unlock()
	if !over {
		return
	}
	goal := d.opt.Target - d.opt.Target*int64(d.opt.Check)/100
	left := d.Stats().Blobs
	for ctx.Err() == nil && left > 0 {
		list := d.oldest(goal)
		if len(list) == 0 {
			return
		}
		left -= int64(len(list))
		var all errgroup.Group
		all.SetLimit(evictAtOnce)
		for _, e := range list {
			all.Go(func() error {
				d.evictKept(ctx, e)
				return nil
			})
		}
		_ = all.Wait() // none has an error
	}
}

// victims is how many blobs are chosen at once.
const victims = 256

// oldest returns some of the blobs that were used longest ago, as many as there are too many.
func (d *Dir) oldest(goal int64) (list []entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	over := d.bytes - goal
	for at := d.order.Back(); at != nil && over > 0 && len(list) < victims; at = at.Prev() {
		e := at.Value.(*entry)
		list = append(list, *e)
		over -= e.size
	}
	return list
}

// evictKept removes a blob if a source says now that it keeps it. That one did so before says nothing: it may be gone.
func (d *Dir) evictKept(ctx context.Context, e entry) {
	if d.elsewhere(ctx, e) {
		d.evict(e)
		return
	}
	d.counts.stuck.Add(1)
	d.used(e.revision) // so that others are looked at first
}

// elsewhere asks whether a source that keeps blobs has this one.
func (d *Dir) elsewhere(ctx context.Context, e entry) bool {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	for _, s := range d.sources() {
		if d.unlessSilent(s) != nil {
			continue
		}
		size, err := s.Size(ctx, e.oid, e.tid)
		d.note(ctx, s, err)
		if err == nil && size == e.size && s.Keeps() { // a node says that when it is asked
			return true
		}
	}
	return false
}

// evict removes a blob. A reader that has it open goes on; one that comes now fetches it.
func (d *Dir) evict(e entry) {
	d.mu.Lock()
	if at := d.known[e.revision]; at != nil {
		d.drop(at)
	}
	d.mu.Unlock()
	if err := d.Evict(e.oid, e.tid); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.opt.Logger.Warn("a blob cannot be removed from the blob cache", "oid", e.oid, "tid", e.tid, "error", err,
			"warning", warning.CleanupLeft)
		return
	}
	d.counts.evicted.Add(1)
}

// Stats are what a cache has and does.
type Stats struct {
	Target, Bytes, Blobs                          int64
	Hits, Misses, Fetched, Failed, Evicted, Stuck int64
}

// Stats returns them.
func (d *Dir) Stats() Stats {
	d.mu.Lock()
	s := Stats{Target: d.opt.Target, Bytes: d.bytes, Blobs: int64(len(d.known))}
	d.mu.Unlock()
	c := &d.counts
	s.Hits, s.Misses, s.Fetched = c.hits.Load(), c.misses.Load(), c.fetched.Load()
	s.Failed, s.Evicted, s.Stuck = c.failed.Load(), c.evicted.Load(), c.stuck.Load()
	return s
}
