package blobcache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/time/rate"

	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// CleanOptions of NewCleaner. All but Rate and Logger are required.
type CleanOptions struct {
	Objects Objects
	FS      vfs.FS
	Data    string        // of the storage
	Grace   time.Duration // for which an object must have been unneeded
	// Leads reports whether this node leads, and Claim in which epoch; false: it has not begun the last one.
	Leads func() bool
	Claim func() (Claim, bool)
	// Has reports whether the open storage has a record.
	Has func(oid zodb.Oid, tid zodb.Tid) (bool, error)
	// Others are the other nodes that are known, also those that are not connected.
	Others func() []Asked
	// NextPack returns what waits until the next pack has replaced the data file.
	NextPack func() (await func(context.Context) error)
	Now      func() time.Time
	Rate     float64 // objects removed in a second; 0: 100
	Logger   hclog.Logger
}

const (
	cleanAgain = 10 * time.Minute // after a look that failed
	cleanEvery = 24 * time.Hour   // at the latest
	cleanLead  = time.Second      // it is looked whether the node leads
	clockSlack = time.Minute      // by which tids may be ahead of the clock
	maxClean   = 1_000_000        // unneeded objects of one look; the others are found when these are gone
)

// A Cleaner removes the objects that nothing has needed for the grace time from the object store. Its methods may be
// called concurrently.
type Cleaner struct {
	opt  CleanOptions
	pace *rate.Limiter

	mu    sync.Mutex
	stats CleanStats
}

// CleanStats are what a Cleaner has found and done.
type CleanStats struct {
	Unneeded, UnneededBytes int64 // objects that the last look has found, and that are still there
	Removed, RemovedBytes   int64
	Looked                  time.Time // when the last look has ended
	Trouble                 error     // why nothing is removed at present; nil: nothing is wrong
	Since                   time.Time // of Trouble
}

// NewCleaner returns one. Run has to be called, too.
func NewCleaner(opt CleanOptions) *Cleaner {
	if opt.Logger == nil {
		opt.Logger = hclog.NewNullLogger()
	}
	if opt.Rate == 0 {
		opt.Rate = cleanRate
	}
	return &Cleaner{opt: opt, pace: rate.NewLimiter(rate.Limit(opt.Rate), 1)}
}

// Stats returns them.
func (c *Cleaner) Stats() CleanStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Run looks when the node begins to lead, after each pack, and when something becomes due, until ctx ends.
func (c *Cleaner) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if !c.opt.Leads() {
			c.forget()
			_ = waitFor(ctx, nil, cleanLead) // the loop ends with ctx
			continue
		}
		packed := c.opt.NextPack()
		c.await(ctx, packed, c.lookOnce(ctx))
	}
}

// await waits for a pack, or a time, or until the node does not lead any more.
func (c *Cleaner) await(ctx context.Context, packed func(context.Context) error, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for ctx.Err() == nil && c.opt.Leads() {
		step, end := context.WithTimeout(ctx, cleanLead)
		err := packed(step)
		if err != nil {
			<-step.Done() // the storage may be closed
		}
		end()
		if err == nil {
			return
		}
	}
}

// forget is for a node that does not lead.
func (c *Cleaner) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Unneeded, c.stats.UnneededBytes, c.stats.Trouble = 0, 0, nil
}

// lookOnce looks, and returns when to look again.
func (c *Cleaner) lookOnce(ctx context.Context) time.Duration {
	next, err := c.Look(ctx)
	if ctx.Err() != nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteTrouble(err)
	switch {
	case errors.Is(err, errNotLeading):
		return cleanLead
	case err != nil:
		return min(cleanAgain, max(c.opt.Grace, cleanLead))
	}
	return min(cleanEvery, max(next, cleanLead))
}

// noteTrouble is called with mu held.
func (c *Cleaner) noteTrouble(err error) {
	if errors.Is(err, errNotLeading) {
		return
	}
	if err == nil {
		c.stats.Trouble, c.stats.Since = nil, time.Time{}
		c.stats.Looked = c.opt.Now()
		return
	}
	if c.stats.Trouble == nil || c.stats.Trouble.Error() != err.Error() {
		c.opt.Logger.Warn("objects that are not needed any more stay in the object store; it is tried again",
			"store", c.opt.Objects.Store.String(), "error", err, "warning", warning.CleanupLeft)
	}
	if c.stats.Trouble == nil {
		c.stats.Since = c.opt.Now()
	}
	c.stats.Trouble = err
}

// An unneededObject is one that no record needs.
type unneededObject struct {
	revision
	size int64
}

// Look does everything once, and returns when something becomes due. Its order is that of safety: what is needed is
// read before the objects are listed, so that each of these had its record by then; claims are looked at after the
// list; the notes are durable before anything is removed.
func (c *Cleaner) Look(ctx context.Context) (next time.Duration, err error) {
	claim, leads := c.opt.Claim()
	if !leads {
		return 0, errNotLeading
	}
	if err := claim.mayRemove(ctx, c.opt.Objects); err != nil { // before the work of reading everything
		return 0, err
	}
	needed, err := readNeeded(ctx, c.opt.FS, c.opt.Data)
	if err != nil {
		return 0, fmt.Errorf("read which blobs are needed: %w", err)
	}
	found, changed, err := c.list(ctx, needed)
	if err != nil {
		return 0, err
	}
	due, next, err := c.note(found, changed, needed.last)
	if err != nil {
		return 0, err
	}
	kept, err := c.remove(ctx, claim, due)
	if kept {
		next = min(next, c.opt.Grace)
	}
	return next, err
}

var errNotLeading = errors.New("this node does not lead: nothing is removed")

// list returns the objects that nothing needs, and when each came into the store.
func (c *Cleaner) list(ctx context.Context, needed *neededList) (found []unneededObject, changed []time.Time,
	err error) {
	ours := int64(0)
	var bytes int64
	err = c.opt.Objects.Each(ctx, func(oid zodb.Oid, tid zodb.Tid, o objectstore.Object) {
		r := revision{oid, tid}
		switch {
		case needed.has(r):
			ours++
		case tid > needed.last: // what was committed since
		case len(found) < maxClean:
			found, changed = append(found, unneededObject{r, o.Size}), append(changed, o.Changed)
			bytes += o.Size
		}
	})
	if err == nil && len(found) > 0 && ours == 0 {
		err = fmt.Errorf("%w: of its %d objects this storage needs none; where that is right, zrsd blobs verify "+
			"--remove-unneeded removes them", errForeign, len(found))
	}
	if err != nil {
		return nil, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Unneeded, c.stats.UnneededBytes = int64(len(found)), bytes
	return found, changed, nil
}

// note writes down since when each object is unneeded, and returns those that are due, and when the next one will be.
// A clock that is behind the last transaction cannot tell how long something was unneeded.
func (c *Cleaner) note(found []unneededObject, changed []time.Time, last zodb.Tid) (due []unneededObject,
	next time.Duration, err error) {
	before, err := readNotes(c.opt.FS, c.opt.Data)
	if err != nil {
		return nil, 0, err
	}
	now := c.opt.Now()
	if at := last.Time(); at.Sub(now) > clockSlack {
		return nil, 0, fmt.Errorf("the clock says %s, and the last transaction is of %s: nothing is removed before "+
			"that", now.UTC().Format(time.RFC3339), at.Format(time.RFC3339))
	}
	notes, same := unneededNotes{}, len(found) == len(before)
	next = cleanEvery
	for i, f := range found {
		key := Key(f.oid, f.tid)
		since, known := before[key]
		if !known {
			since, same = now, false
		}
		notes[key] = since
		if changed[i].After(since) {
			since = changed[i]
		}
		if left := c.opt.Grace - now.Sub(since); left > 0 || !known {
			next = min(next, left)
		} else {
			due = append(due, f)
		}
	}
	if same {
		return due, next, nil
	}
	if err := notes.write(c.opt.FS, c.opt.Data); err != nil {
		return nil, 0, err
	}
	if n := len(notes) - len(before); n > 0 {
		c.opt.Logger.Info("objects of blobs are not needed any more; they are removed after the grace time", "more", n,
			"objects", len(notes), "grace", c.opt.Grace)
	}
	return due, next, nil
}
