package node

import (
	"context"
	"io"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// A delayedView is a storage of which a feed or an undo log shows what the clients of a delayed node see.
type delayedView struct {
	feedable
	d *delayed
}

// view returns what feeds and undo logs of a node read.
func (c *Config) view(st undoLister) undoLister {
	if from, ok := st.(feedable); ok && c.delay != nil {
		return delayedView{from, c.delay}
	}
	return st
}

// LastTid is the last transaction that is shown.
func (v delayedView) LastTid() zodb.Tid {
	last := v.feedable.LastTid()
	if upTo, all, _ := v.d.sight(); !all {
		last = min(last, upTo)
	}
	return last
}

// UndoLog is of undoLister.
func (v delayedView) UndoLog(ctx context.Context, first, last int, filter func(*filestorage.UndoEntry) bool) (
	[]filestorage.UndoEntry, error,
) {
	upTo, all, _ := v.d.sight()
	return v.feedable.UndoLog(ctx, first, last, func(e *filestorage.UndoEntry) bool {
		return (all || e.Tid <= upTo) && (filter == nil || filter(e))
	})
}

// Iterate is of feedable.
func (v delayedView) Iterate(after zodb.Tid, follow bool) (zodb.Iterator, error) {
	it, err := v.feedable.Iterate(after, follow)
	if err != nil {
		return nil, err
	}
	return &delayedIterator{Iterator: it, d: v.d, follow: follow}, nil
}

// A delayedIterator returns transactions when they are shown. It holds the one after them.
type delayedIterator struct {
	zodb.Iterator
	d      *delayed
	follow bool
	next   zodb.Transaction // nil: none is held
}

// Next is of zodb.Iterator. One that does not follow ends before what is not shown.
func (i *delayedIterator) Next(ctx context.Context) (zodb.Transaction, error) {
	for {
		if i.next == nil {
			next, err := i.Iterator.Next(ctx)
			if err != nil {
				return nil, err
			}
			i.next = next
		}
		upTo, all, changed := i.d.sight()
		switch {
		case all || i.next.Meta().Tid <= upTo:
			txn := i.next
			i.next = nil
			return txn, nil
		case !i.follow:
			return nil, io.EOF
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Pending is of zodb.Iterator.
func (i *delayedIterator) Pending() bool {
	if i.next == nil {
		if !i.Iterator.Pending() {
			return false
		}
		next, err := i.Iterator.Next(context.Background()) // it does not wait
		if err != nil {
			return true // as Next will say
		}
		i.next = next
	}
	upTo, all, _ := i.d.sight()
	return all || i.next.Meta().Tid <= upTo
}
