package secondary

import (
	"context"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// impatient makes a secondary notice quickly that a handshake hangs.
func impatient(opt *Options) {
	opt.HandshakeTimeout = 100 * time.Millisecond
	opt.StallTimeout = 100 * time.Millisecond
	opt.WriteTimeout, opt.KeepAlive = time.Second, time.Second
}

// counted counts the bytes that a secondary reads from the network until it has everything.
func counted(t *testing.T, p *site, addr string, change ...func(*Options)) int64 {
	t.Helper()
	var n atomic.Int64
	s := inMemory(t)
	r := s.follow(t, addr, append(change, func(o *Options) {
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := dial(ctx, addr)
			return &countingConn{conn, &n}, err
		}
	})...)
	r.has(t, p.st.LastTid())
	return n.Load()
}

type countingConn struct {
	net.Conn
	n *atomic.Int64
}

func (c *countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// survives checks that a secondary whose first connections are wounded never shows anything but a beginning of what
// the primary has, and has all of it in the end.
func survives(t *testing.T, p *site, addr string, w wound, change ...func(*Options)) {
	t.Helper()
	s := inMemory(t)
	sec := s.secondary(addr, append(change, impatient, wounded(w))...)
	sec.pause = func(context.Context, time.Duration) bool { mustBePrefix(t, p, s); return true }
	r := sec.run(t)
	r.has(t, p.st.LastTid())
	if err := r.stop(); err != nil {
		t.Errorf("%+v: Run ended with %v", w, err)
	}
	mustEqual(t, p, s)
	if t.Failed() {
		t.Fatalf("%+v", w)
	}
}

// Two connections are cut at each byte.
func TestACutAtAnyByteIsResumedFrom(t *testing.T) {
	p := inMemory(t).named(t).history(t, 6)
	addr := p.asPrimary(t)
	step := int64(1)
	if testing.Short() {
		step = 17
	}
	for after, end := int64(0), counted(t, p, addr); after <= end; after += step {
		survives(t, p, addr, wound{after: after, times: 2})
	}
}

func TestACutOfWhatTheSecondarySaysIsResumedFrom(t *testing.T) {
	p := inMemory(t).named(t).history(t, 3)
	addr := p.asPrimary(t)
	for after := int64(0); after < 600; after += 7 {
		survives(t, p, addr, wound{after: after, times: 2, written: true})
	}
}

func TestADamagedByteIsNeverVisible(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	p := inMemory(t).named(t).history(t, 12)
	addr := p.asPrimary(t)
	end := counted(t, p, addr)
	for range 60 {
		survives(t, p, addr, wound{
			after: dice.Int64N(end), flip: 1 << dice.IntN(8), times: 1 + dice.IntN(3), written: dice.IntN(5) == 0,
		})
	}
}
