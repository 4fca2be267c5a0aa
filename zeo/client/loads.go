package client

import (
	"context"
	"fmt"

	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// maxDepth bounds how many loads of one Loads are under way: their calls must find room at the server, since the
// goroutine that writes them reads the answers, too.
const maxDepth = 256

// Loads loads the current revisions of many objects, depth of them at a time, but never more than 256. next returns the
// next object, until there are no more; got takes what a load has found, or a *zodb.POSKeyError. Both are called by one
// goroutine at a time, and must neither block nor call the Conn. The data is valid until got returns. While Loads runs,
// nothing else should use the Conn that sends more than the server reads at once, such as a blob.
//
// Answers that arrive together are followed by calls that leave together, so that a load costs less than with Load.
func (c *Conn) Loads(
	ctx context.Context, depth int, next func() (oid zodb.Oid, more bool),
	got func(oid zodb.Oid, r Revision, err error),
) error {
	defer c.until(ctx)()
	p := &pipeline{c: c, next: next, got: got, ended: make(chan struct{})}
	p.loadedFunc = p.loaded
	c.writing.Lock()
	c.mu.Lock()
	for range min(max(depth, 1), maxDepth) {
		c.out = p.ask(c.out)
	}
	none := p.underWay == 0
	c.mu.Unlock()
	err := c.flush()
	c.writing.Unlock()
	switch {
	case err != nil:
		c.reader.Wait()
		return fmt.Errorf("loadBefore: %w", err)
	case none:
		return nil
	}
	select {
	case <-p.ended:
		return nil
	case <-c.done:
	}
	c.reader.Wait() // it calls got
	select {
	case <-p.ended: // just before the end
		return nil
	default:
		return fmt.Errorf("loadBefore: %w", &endedError{c.Err()})
	}
}

// A pipeline is one call of Loads. Its first loads are those of the caller, all others those of the goroutine that
// reads.
type pipeline struct {
	c          *Conn
	next       func() (zodb.Oid, bool)
	got        loadFunc
	loadedFunc loadFunc // made once
	underWay   int
	noMore     bool
	ended      chan struct{}
}

// ask appends a load of the next object, if there is one, to out. mu is locked.
func (p *pipeline) ask(out []byte) []byte {
	if p.noMore {
		return out
	}
	oid, more := p.next()
	if p.noMore = !more; p.noMore {
		return out
	}
	p.underWay++
	return p.c.ask(out, wire.Load{Oid: oid, Before: zodb.MaxTid}, p.loadedFunc)
}

// loaded takes an answer, and asks for another object instead. That is written by Conn.read.
func (p *pipeline) loaded(oid zodb.Oid, r Revision, err error) {
	p.got(oid, r, err)
	c := p.c
	p.underWay--
	c.mu.Lock()
	c.asked = p.ask(c.asked)
	c.mu.Unlock()
	if p.underWay == 0 {
		close(p.ended)
	}
}
