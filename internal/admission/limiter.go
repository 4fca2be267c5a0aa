package admission

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// A Limiter holds the connections of those who have not yet proved who they are.
type Limiter struct {
	perSource int
	total     int

	mu      sync.Mutex
	arrived uint64  // how many have
	conns   []*Conn // in the order in which they arrived
}

// NewLimiter returns a Limiter for total connections, of which one source may have perSource.
func NewLimiter(perSource, total int) *Limiter { return &Limiter{perSource: perSource, total: total} }

// A Conn is one connection. Its methods may be called concurrently, and more than once.
type Conn struct {
	limiter *Limiter
	source  string
	evict   func(why error)
	arrived uint64 // as which one; 0: it has not
}

// NewConn returns a connection that does not count yet. Evict is called, without any lock and at most
// once for each Enter, when the connection is closed for another one: it closes the connection.
func (r *Limiter) NewConn(source string, evict func(why error)) *Conn {
	return &Conn{limiter: r, source: source, evict: evict}
}

// Enter counts the connection; if there are too many, the one that arrived first is closed. A connection that counts
// again, after Leave, may be that one itself: those that have arrived since are not closed for it.
func (g *Conn) Enter() {
	out, why := g.limiter.enter(g)
	if out != nil {
		out.evict(why)
	}
}

// Leave ends that: the connection is authenticated, or has ended.
func (g *Conn) Leave() {
	g.limiter.mu.Lock()
	defer g.limiter.mu.Unlock()
	g.limiter.remove(g)
}

func (r *Limiter) enter(g *Conn) (out *Conn, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(g)
	r.insert(g)
	switch of := r.of(g.source); {
	case len(of) > max(1, r.perSource):
		out = of[0]
		why = fmt.Errorf("%d connections of this address have not proved who they are; the oldest was closed for a "+
			"new one: find out what they are, or raise the limit per address", len(of)-1)
	case len(r.conns) > max(1, r.total):
		out = r.oldestOfTheMost()
		why = fmt.Errorf("%d connections have not proved who they are, and most of them are of this address; the "+
			"oldest was closed for a new one: find out what they are", len(r.conns)-1)
	}
	r.remove(out)
	return out, why
}

// insert puts a connection among the others.
func (r *Limiter) insert(g *Conn) {
	if g.arrived == 0 {
		r.arrived++
		g.arrived = r.arrived
	}
	i, _ := slices.BinarySearchFunc(r.conns, g, func(a, b *Conn) int { return cmp.Compare(a.arrived, b.arrived) })
	r.conns = slices.Insert(r.conns, i, g)
}

// oldestOfTheMost returns the oldest connection of the source that has the most, of several such the oldest.
func (r *Limiter) oldestOfTheMost() *Conn {
	count := make(map[string]int)
	for _, g := range r.conns {
		count[g.source]++
	}
	return slices.MaxFunc(r.conns, func(a, b *Conn) int { return cmp.Compare(count[a.source], count[b.source]) })
}

func (r *Limiter) of(source string) (conns []*Conn) {
	for _, g := range r.conns {
		if g.source == source {
			conns = append(conns, g)
		}
	}
	return conns
}

func (r *Limiter) remove(g *Conn) {
	if i := slices.Index(r.conns, g); i >= 0 {
		r.conns = slices.Delete(r.conns, i, i+1)
	}
}

// Len returns how many count.
func (r *Limiter) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

// Cut closes a connection without a word. TLS would wait for a peer that does not read, to say goodbye.
func Cut(conn net.Conn) {
	if inner, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = inner.NetConn()
	}
	_ = conn.Close() // it is closed; the error has no receiver
}

// local is the source of all processes of this machine that connect over a Unix socket.
const local = "local"

// ipv6Site is the prefix of an IPv6 address that distinguishes sites: a host with one address there has all of them.
const ipv6Site = 64

// Source returns where a connection comes from, for limits that one place must not get around: the IP address, of
// IPv6 the network.
func Source(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return local
	}
	ip, ok := netip.AddrFromSlice(tcp.IP)
	if !ok {
		return local
	}
	ip = ip.Unmap()
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, ipv6Site).Masked().String()
}
