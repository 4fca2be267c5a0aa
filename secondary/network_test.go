package secondary

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/zrs"
	"github.com/zrsd/zrsd/protocol"
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

// The protocol of zc.zrs has no heartbeats: what is waited for in the middle of a transaction is known to be missing.
func TestADamagedByteOfZrs2IsNeverVisible(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	p := inMemory(t).history(t, 12)
	addr := p.asPrimary(t)
	end := counted(t, p, addr, inZrs2)
	for range 40 {
		survives(t, p, addr, wound{
			after: dice.Int64N(end), flip: 1 << dice.IntN(8), times: 1 + dice.IntN(3),
		}, inZrs2)
	}
}

func TestADamagedLengthOfZrs2IsNotWaitedFor(t *testing.T) {
	p := inMemory(t).history(t, 3)
	addr := p.asPrimary(t)
	stream := recordedStream(t, p)
	for _, at := range append([]int{0}, boundaries(stream)...) {
		for _, longer := range []wound{{after: 1, flip: 1}, {after: 2, flip: 128}} {
			if longer.after += int64(at); longer.after < int64(len(stream)) {
				longer.times = 1
				survives(t, p, addr, longer, inZrs2)
			}
		}
	}
}

// recordedStream returns what a primary with this history sends.
func recordedStream(t *testing.T, p *site) []byte {
	t.Helper()
	it, err := p.st.Iterate(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	var b bytes.Buffer
	enc := zrs.NewEncoder(&b, 0)
	for {
		txn, err := it.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err := errors.Join(err, enc.Encode(txn)); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A zc.zrs gives no answer to our own protocol. So one that is damaged does not make a primary one that speaks zrs2,
// which proves nothing and acknowledges nothing.
func TestADamagedAnswerDoesNotChangeTheProtocol(t *testing.T) {
	p := inMemory(t).named(t).history(t, 2)
	addr := p.asPrimary(t)
	for after := range int64(len(protocol.Native) + 4) {
		s := inMemory(t)
		st := s.follow(t, addr, impatient, wounded(wound{after: after, flip: 4, times: 1})).has(t, p.st.LastTid())
		if st.Protocol != protocol.Native {
			t.Errorf("byte %d of the answer damaged: %s is spoken", after, st.Protocol)
		}
	}
}

// A flipped bit in the content of a transaction is counted, and a cut is not: a network that damages what it carries is
// to be seen. Not every byte is content: some are of the frames around it.
func TestWhatArrivedDamagedIsCounted(t *testing.T) {
	p := inMemory(t).named(t).history(t, 12)
	addr := p.asPrimary(t)
	middle := counted(t, p, addr) / 2
	digestErrors := func(w wound) int64 {
		r := inMemory(t).secondary(addr, impatient, wounded(w)).run(t)
		r.has(t, p.st.LastTid())
		return r.Status().DigestErrors
	}
	var flips int64
	for i := range int64(10) {
		flips += digestErrors(wound{after: middle + 7*i, flip: 1, times: 2})
	}
	if flips == 0 {
		t.Error("no flipped bit was counted")
	}
	if cuts := digestErrors(wound{after: middle, times: 2}); cuts > 0 {
		t.Errorf("a cut connection was counted %d times", cuts)
	}
}
