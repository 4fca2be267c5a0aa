package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/feed"
	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/zodb"
)

// feedIdle is how often a feed says that it is alive while nothing is committed.
const feedIdle = 10 * time.Second

// Feed is admin.Control.
func (k *control) Feed(ctx context.Context, storage string, q admin.FeedQuery, to admin.FeedSink) error {
	m, err := k.member(storage)
	if err != nil {
		return err
	}
	return m.c.handle.use(ctx, func(ctx context.Context, st undoLister) error {
		return Feed(ctx, m.c.view(st).(feedable), q, to, Paths{m.c.Data, inside.Options{
			FS: m.c.FS, Yield: true, Logger: m.c.Logger,
		}})
	})
}

// A feedable is a storage, owned or attached to.
type feedable interface {
	undoLister
	Iterate(after zodb.Tid, follow bool) (zodb.Iterator, error)
	Find(ctx context.Context, tid zodb.Tid) (filestorage.Found, error)
	LastTid() zodb.Tid
}

// Paths say where a storage is, to find the paths of its objects.
type Paths struct {
	Data string // its Data.fs
	inside.Options
}

// Feed puts the transactions of a storage into a sink, as q asks for them. at says where the storage is, for paths.
func Feed(ctx context.Context, st feedable, q admin.FeedQuery, to admin.FeedSink, at Paths) (err error) {
	if err := q.Classes.Check(); err != nil {
		return &admin.Refusal{Reason: admin.Invalid, Text: err.Error()}
	}
	if q.Latest {
		q.After = st.LastTid()
	}
	if q.Exact {
		if err := inHistory(ctx, st, q.After); err != nil {
			return err
		}
	}
	if q.Paths {
		places, err := findPlaces(ctx, q.After, to, at)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, places.Close()) }()
		q.Places = places
	}
	it, err := st.Iterate(q.After, q.Follow)
	if err != nil {
		return err
	}
	err = feed.Run(ctx, &livelySource{feed.FromIterator(it, q.Options), to}, to, nil)
	return errors.Join(err, it.Close())
}

// findPlaces reads the file for the paths of then, beside which the sink is told that all is well.
func findPlaces(ctx context.Context, after zodb.Tid, to admin.FeedSink, at Paths) (places *inside.Places, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		var err error
		places, err = inside.NewPlaces(ctx, at.Data, after, at.Options)
		done <- err
	}()
	alive := time.NewTicker(feedIdle)
	defer alive.Stop()
	for {
		select {
		case err := <-done:
			return places, err
		case <-alive.C:
			if err := to.Idle(ctx); err != nil {
				cancel()
				if <-done == nil {
					err = errors.Join(err, places.Close())
				}
				return nil, err
			}
		}
	}
}

// inHistory refuses to go on after a transaction that is not in this history: who has it has what was lost here.
func inHistory(ctx context.Context, st feedable, tid zodb.Tid) error {
	found, err := st.Find(ctx, tid)
	switch {
	case !errors.Is(err, zodb.ErrNoTid):
		return err
	case found.After.Status == zodb.StatusPacked:
		return &admin.Refusal{Reason: admin.Invalid, Text: fmt.Sprintf("transaction %v was packed away, and so may "+
			"have been some after it: begin anew", tid)}
	}
	return &admin.Refusal{Reason: admin.Invalid, Text: fmt.Sprintf("transaction %v is not in this history: this is "+
		"another database, or a node that lost it, or was rewound; the last one here is %v", tid, st.LastTid())}
}

// A livelySource has its sink told that all is well while there is nothing to be put into it.
type livelySource struct {
	feed.Source
	to admin.FeedSink
}

// Next is of feed.Source.
func (s *livelySource) Next(ctx context.Context) (feed.Line, error) {
	for {
		waiting, cancel := context.WithTimeout(ctx, feedIdle)
		line, err := s.Source.Next(waiting)
		idle := waiting.Err() != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded)
		cancel()
		if !idle {
			return line, err
		}
		if err := s.to.Idle(ctx); err != nil {
			return feed.Line{}, err
		}
	}
}
