package main

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/integration/zeoload"
)

// A crowd is clients that only listen. Commits are made one after the other, the next when all have heard of the last.
type crowd struct {
	group   *errgroup.Group
	failed  context.Context //nolint:containedctx // ends when a client of the crowd fails
	stop    context.CancelFunc
	missing atomic.Int64   // clients that have yet to hear of the last commit
	all     chan time.Time // when the last of them did
}

// listen lets each client listen until stop.
func listen(ctx context.Context, clients []*zeoload.Conn) *crowd {
	c := &crowd{all: make(chan time.Time, 1)}
	c.missing.Store(int64(len(clients)))
	ctx, c.stop = context.WithCancel(ctx)
	c.group, c.failed = errgroup.WithContext(ctx)
	for _, client := range clients {
		unhook := context.AfterFunc(c.failed, func() { _ = client.Close() })
		c.group.Go(func() error {
			defer unhook()
			for {
				if _, err := client.Invalidation(); err != nil {
					return err
				}
				if c.missing.Add(-1) == 0 {
					c.missing.Store(int64(len(clients)))
					c.all <- time.Now()
				}
			}
		})
	}
	return c
}

// heard waits until all have heard of one commit, and returns when the last of them did.
func (c *crowd) heard() (time.Time, error) {
	select {
	case last := <-c.all:
		return last, nil
	case <-c.failed.Done():
		return time.Time{}, c.group.Wait()
	}
}

// end ends the connections and the listening.
func (c *crowd) end() {
	c.stop()
	_ = c.group.Wait() // says that the connections are closed
}
