package integration

import (
	"net"
	"sync"
	"testing"
)

// A tamperer is a network that changes one bit, once, at a chosen offset of one direction of a connection.
type tamperer struct {
	addr     string
	upstream string
	listener net.Listener

	mu     sync.Mutex
	wound  wound
	conns  map[net.Conn]bool
	closed bool
	wg     sync.WaitGroup
}

// A wound is what happens to the next connection.
type wound struct {
	direction string // towardsPrimary, towardsSecondary, or empty for none
	offset    int64
	bit       byte // the mask that is flipped at offset
}

func newTamperer(t *testing.T, upstream string) *tamperer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tamperer{
		addr: listener.Addr().String(), upstream: upstream, listener: listener, conns: map[net.Conn]bool{},
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

func (p *tamperer) close() {
	p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
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
	p.conns[near], p.conns[far] = true, true
	w := p.wound
	p.wg.Go(func() {
		var both sync.WaitGroup
		both.Go(func() { pass(far, near, w, towardsPrimary) })
		both.Go(func() { pass(near, far, w, towardsSecondary) })
		both.Wait()
		p.mu.Lock()
		delete(p.conns, near)
		delete(p.conns, far)
		p.mu.Unlock()
	})
}

// pass copies from src to dst, wounding what passes at the offset, and closes both at the end.
func pass(dst, src net.Conn, w wound, direction string) {
	defer dst.Close()
	defer src.Close()
	var at int64
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if hit := w.offset - at; w.direction == direction && hit >= 0 && hit < int64(n) {
			buf[hit] ^= w.bit
		}
		at += int64(n)
		if _, werr := dst.Write(buf[:n]); werr != nil || err != nil {
			return // one end is gone: the other one learns it from the deferred Close
		}
	}
}
