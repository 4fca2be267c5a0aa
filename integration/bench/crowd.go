package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zrsd/zrsd/integration/zeoload"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

// A crowd is clients that only listen. Commits are made one after the other, the next when all have heard of the last.
type crowd struct {
	clients []*client.Conn
	missing atomic.Int64   // clients that have yet to hear of the last commit
	all     chan time.Time // when the last of them did
	failed  chan error     // why a client has ended, of the first that has
	watches sync.WaitGroup
}

// listen registers n clients that listen until end.
func (s *zeoServer) listen(ctx context.Context, n int) (*crowd, error) {
	c := &crowd{all: make(chan time.Time, 1), failed: make(chan error, 1)}
	c.missing.Store(int64(n))
	invalidated := func(zodb.Tid, []zodb.Oid) {
		if c.missing.Add(-1) == 0 {
			c.missing.Store(int64(n))
			c.all <- time.Now()
		}
	}
	for range n {
		client, err := zeoload.Dial(ctx, s.addr, true, invalidated)
		if err != nil {
			c.end()
			return nil, err
		}
		c.clients = append(c.clients, client)
		c.watches.Go(func() {
			<-client.Done()
			select {
			case c.failed <- fmt.Errorf("a client that listens: %w", client.Err()):
			default: // not the first
			}
		})
	}
	return c, nil
}

// heard waits until all have heard of one commit, and returns when the last of them did.
func (c *crowd) heard(ctx context.Context) (time.Time, error) {
	select {
	case last := <-c.all:
		return last, nil
	case err := <-c.failed:
		return time.Time{}, err
	case <-ctx.Done():
		return time.Time{}, context.Cause(ctx)
	}
}

// end ends the connections.
func (c *crowd) end() {
	for _, client := range c.clients {
		client.Close()
	}
	c.watches.Wait()
}
