package blobcache

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// A flight is a fetch under way, for all who ask for the blob.
type flight struct {
	done chan struct{} // closed at its end
	err  error
	left bool // the one whose context it had has left
}

// fetch gets a blob, or waits for who does.
func (d *Dir) fetch(ctx context.Context, r revision) error {
	for {
		f, mine := d.flight(r)
		if mine {
			d.fly(ctx, r, f)
			return f.err
		}
		select {
		case <-f.done:
			if !f.left {
				return f.err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (d *Dir) flight(r revision) (f *flight, mine bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f = d.flights[r]; f != nil {
		return f, false
	}
	f = &flight{done: make(chan struct{})}
	d.flights[r] = f
	return f, true
}

func (d *Dir) fly(ctx context.Context, r revision, f *flight) {
	d.counts.misses.Add(1)
	f.err = d.inTurn(ctx, r)
	f.left = f.err != nil && ctx.Err() != nil
	if f.err != nil {
		d.counts.failed.Add(1)
	}
	d.mu.Lock()
	delete(d.flights, r)
	d.mu.Unlock()
	close(f.done)
}

func (d *Dir) inTurn(ctx context.Context, r revision) error {
	select {
	case d.turns <- struct{}{}:
		defer func() { <-d.turns }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if f, err := d.Store.OpenBlob(r.oid, r.tid); err == nil {
		return f.Close() // another fetch has just ended
	}
	return d.ask(ctx, r, func(s Source) error { return d.from(ctx, r, s) })
}

// from fetches a blob from one source.
func (d *Dir) from(ctx context.Context, r revision, s Source) error {
	part, err := d.Part(r.oid, r.tid)
	if err != nil {
		return err
	}
	size, err := s.Fetch(ctx, r.oid, r.tid, part)
	known := false
	if n := d.Notes; n != nil && err == nil {
		var noted int64
		if noted, known = n.Size(r.oid, r.tid); known && noted != size {
			err = &zodb.DamagedBlobError{Oid: r.oid, Tid: r.tid, Size: size, Noted: noted}
		}
	}
	if err != nil {
		return errors.Join(err, part.Close())
	}
	staged, err := part.Stage(size)
	if err != nil {
		return err
	}
	if err = staged.Sync(); err == nil { // a crash must not leave the name without the content
		err = staged.Publish()
	}
	if err != nil {
		return fmt.Errorf("keep the blob that was fetched: %w", errors.Join(err, staged.Discard()))
	}
	if told, can := staged.(interface{ Committed() }); can && !known {
		told.Committed()
	}
	d.counts.fetched.Add(size)
	return nil
}

// Fetching reports whether a blob is being fetched: what is published then was not committed here.
func (d *Dir) Fetching(oid zodb.Oid, tid zodb.Tid) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.flights[revision{oid, tid}] != nil
}
