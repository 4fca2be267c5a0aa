package primary

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// ErrNotConnected says that no secondary of that id is connected now.
var ErrNotConnected = errors.New("this secondary is not connected now")

// find returns the live peer of a node.
func (p *Primary) find(node string) (*peer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.roster.peers {
		c.mu.Lock()
		found := c.node == node && c.state == StateLive && c.control != nil
		c.mu.Unlock()
		if found {
			return c, nil
		}
	}
	return nil, ErrNotConnected
}

// AwaitDurable waits until a secondary has acknowledged everything up to tid as durable. It returns ErrNotConnected
// when the secondary is not connected, or not any more.
func (p *Primary) AwaitDurable(ctx context.Context, node string, tid zodb.Tid) error {
	c, err := p.find(node)
	if err != nil {
		return err
	}
	for {
		durable, moved := c.progress.durableTid()
		if durable >= tid {
			return nil
		}
		select {
		case <-moved:
		case <-c.over:
			return ErrNotConnected
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s has %v, now it has %v: %w", c.name, tid, durable, context.Cause(ctx))
		}
	}
}

// durableTid returns what is acknowledged as durable, and what is closed when that rises.
func (g *progress) durableTid() (zodb.Tid, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.durable, g.moved
}

// CheckHandover asks a secondary whether it could begin an epoch, and returns why not.
func (p *Primary) CheckHandover(ctx context.Context, node string, m *protocol.HandoverCheck) error {
	c, err := p.find(node)
	if err != nil {
		return err
	}
	if err := c.control.Send(m); err != nil {
		return fmt.Errorf("asking %s whether it can take over: %w", c.name, err)
	}
	for {
		select {
		case answer := <-c.handoverReady:
			if answer.Epoch != m.Epoch { // to an earlier question
				continue
			}
			if answer.Error != "" {
				return fmt.Errorf("%s cannot take over: %s", c.name, clean(answer.Error))
			}
			return nil
		case <-c.over:
			return ErrNotConnected
		case <-ctx.Done():
			return fmt.Errorf("waiting for the answer of %s: %w", c.name, context.Cause(ctx))
		}
	}
}

// TakeOver notifies a secondary that this node has stepped down for it.
func (p *Primary) TakeOver(node string, m *protocol.TakeOver) error {
	c, err := p.find(node)
	if err != nil {
		return err
	}
	if err := c.control.Send(m); err != nil {
		return fmt.Errorf("telling %s to take over: %w", c.name, err)
	}
	return nil
}

// takeHandoverReady keeps the answer of a secondary for who asked; only the newest counts.
func (c *peer) takeHandoverReady(m *protocol.HandoverReady) {
	for {
		select {
		case c.handoverReady <- m:
			return
		default:
		}
		select {
		case <-c.handoverReady:
		default:
		}
	}
}
