package integration

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// A tamperer is a network that does one thing to a connection, at a chosen offset of one direction.
type tamperer struct {
	addr     string
	upstream string
	listener net.Listener
	struck   chan struct{} // holds something when a wound has happened

	mu       sync.Mutex
	wound    wound
	accepted int // connections so far
	conns    map[net.Conn]bool
	closed   bool
	wg       sync.WaitGroup
}

// A wound is what happens to the next connections.
type wound struct {
	direction string // towardsPrimary, towardsSecondary, or empty for none
	offset    int64
	harm      harm
	bit       byte // the mask that is flipped at offset
}

// A harm is what a wound does to the byte at its offset and those after it.
type harm int

const (
	flip   harm = iota // changes one bit
	cut                // ends the connection, for both
	lose               // lets nothing more arrive, and tells nobody
	notice             // nothing: the test only learns that it has passed
)

func newTamperer(t *testing.T, upstream string) *tamperer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tamperer{
		addr: listener.Addr().String(), upstream: upstream, listener: listener,
		struck: make(chan struct{}, 1), conns: map[net.Conn]bool{},
	}
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// strike sets what happens to the connections that begin from now on.
func (p *tamperer) strike(w wound) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wound = w
}

// awaitWound waits until a wound happens that has not been waited for.
func (p *tamperer) awaitWound(t *testing.T) {
	t.Helper()
	ctx := within(t)
	select {
	case <-p.struck:
	case <-ctx.Done():
		t.Fatal("nothing passed where the wound should have been: ", context.Cause(ctx))
	}
}

// cutAll ends the connections that there are. Those that follow suffer the wound.
func (p *tamperer) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// connections returns how many have been made.
func (p *tamperer) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

func (p *tamperer) close() {
	p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cutAll()
	p.wg.Wait()
}

func (p *tamperer) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return // the listener was closed
		}
		far, err := net.Dial("tcp", p.upstream)
		if err != nil {
			near.Close() // nobody listens there at the moment, and the near side learns it so
			continue
		}
		p.join(near, far)
	}
}

// join copies between the two ends until both directions are over.
func (p *tamperer) join(near, far net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		near.Close()
		far.Close()
		return
	}
	p.accepted++
	p.conns[near], p.conns[far] = true, true
	w := p.wound
	p.wg.Go(func() {
		var both sync.WaitGroup
		both.Go(func() { p.pass(far, near, w, towardsPrimary) })
		both.Go(func() { p.pass(near, far, w, towardsSecondary) })
		both.Wait()
		p.mu.Lock()
		delete(p.conns, near)
		delete(p.conns, far)
		p.mu.Unlock()
	})
}

// pass copies from src to dst, wounding what passes at the offset, and closes both at the end.
func (p *tamperer) pass(dst, src net.Conn, w wound, direction string) {
	defer dst.Close()
	defer src.Close()
	var at int64
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		data := buf[:n]
		hit := w.offset - at
		struck := w.direction == direction && hit >= 0 && hit < int64(n)
		if struck && w.harm == flip {
			data[hit] ^= w.bit
		}
		if struck && (w.harm == cut || w.harm == lose) {
			data = data[:hit]
		}
		_, werr := dst.Write(data)
		if struck {
			p.report()
		}
		if werr != nil || err != nil || struck && w.harm == cut {
			return // one end is gone: the other one learns it from the deferred Close
		}
		if struck && w.harm == lose {
			io.Copy(io.Discard, src) // until either end has given up
			return
		}
		at += int64(n)
	}
}

// report remembers a wound until somebody asks; one is enough.
func (p *tamperer) report() {
	select {
	case p.struck <- struct{}{}:
	default:
	}
}
