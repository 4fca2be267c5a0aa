package protocol

import (
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
)

// Bounds for what the other side of a session may make this one do.
const (
	maxPings    = 16 // that wait for their answers to be written: each is a goroutine of yamux
	maxLogLines = 4  // of yamux, which has one for every frame that it does not like
)

// A Guard bounds what a session reads before the peer is authenticated, and remembers why the session ended. Its
// methods may be called concurrently.
type Guard struct {
	left atomic.Int64 // bytes that may still come

	mu  sync.Mutex
	why error
}

// NewGuard returns a guard that lets so many bytes of yamux pass.
func NewGuard(bytes int64) *Guard {
	g := new(Guard)
	g.left.Store(bytes)
	return g
}

// Allow lets so many bytes more pass than have until now.
func (g *Guard) Allow(bytes int64) { g.left.Store(bytes) }

// Open lets everything pass from now on.
func (g *Guard) Open() { g.left.Store(math.MaxInt64) }

// Err returns why the session ended, as far as yamux or the guard noticed: streams only say that it did.
func (g *Guard) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.why
}

// end notes the first reason.
func (g *Guard) end(err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.why == nil {
		g.why = err
	}
	return err
}

func (g *Guard) take(n int) error {
	if left := g.left.Load(); left != math.MaxInt64 && g.left.Add(-int64(n)) < 0 {
		return g.end(fmt.Errorf("the peer sent too many bytes before it was accepted"))
	}
	return nil
}

// A guarded connection is what yamux reads from and writes to. Pings whose answers nobody takes end it: yamux has a
// goroutine wait for each of them.
type guarded struct {
	net.Conn
	guard  *Guard
	intake *Intake      // nil: everything is taken as it comes
	pings  atomic.Int64 // that are not answered yet

	in, out frameScan // each of one goroutine
}

func (c *guarded) Read(b []byte) (int, error) {
	if c.intake.watches() { // and wants to wait between two frames
		if c.in.between() {
			c.intake.wait()
		}
		b = b[:min(int64(len(b)), c.in.rest())]
	}
	n, err := c.Conn.Read(b)
	if e := c.guard.take(n); e != nil {
		return 0, e
	}
	c.in.scan(b[:n], func(f frame) {
		c.intake.came(f)
		if f.ping() && !f.answers() {
			c.pings.Add(1)
		}
	})
	if waiting := c.pings.Load(); waiting > maxPings {
		return 0, c.guard.end(
			fmt.Errorf("the peer sends pings and does not read the answers: %d are waiting", waiting),
		)
	}
	return n, err
}

func (c *guarded) Close() error {
	c.intake.End() // a session waits for its goroutines when it is closed
	return c.Conn.Close()
}

func (c *guarded) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.out.scan(b[:n], func(f frame) {
		if f.ping() && f.answers() {
			c.pings.Add(-1)
		}
	})
	return n, err
}

// A frame is the header of a frame of yamux: version, type, flags in 2 bytes, stream and length in 4 bytes each.
type frame [12]byte

const (
	frameData = 0
	framePing = 2
	flagACK   = 2
)

func (f frame) ping() bool    { return f[1] == framePing }
func (f frame) answers() bool { return f[3]&flagACK != 0 }

// body is how many bytes follow the header.
func (f frame) body() int64 {
	if f[1] != frameData {
		return 0
	}
	return int64(binary.BigEndian.Uint32(f[8:]))
}

func (f frame) stream() uint32 { return binary.BigEndian.Uint32(f[4:]) }

// frameScan follows one direction of a session from header to header.
type frameScan struct {
	header frame
	have   int   // bytes of header
	skip   int64 // bytes of a body still to come
}

// between reports whether one frame is over and nothing of the next one has come.
func (s *frameScan) between() bool { return s.skip == 0 && s.have == 0 }

// rest is how much there is still to come of the header, or of the body.
func (s *frameScan) rest() int64 {
	if s.skip > 0 {
		return s.skip
	}
	return int64(len(s.header) - s.have)
}

func (s *frameScan) scan(b []byte, each func(frame)) {
	for len(b) > 0 {
		if s.skip > 0 {
			n := min(s.skip, int64(len(b)))
			s.skip -= n
			b = b[n:]
			continue
		}
		n := copy(s.header[s.have:], b)
		s.have += n
		b = b[n:]
		if s.have == len(s.header) {
			each(s.header)
			s.have, s.skip = 0, s.header.body()
		}
	}
}

// A sparing logger is that of yamux in one session. It passes few lines on, and none of them alone tells what became of
// the session: that is the last error, which the guard keeps.
type sparing struct {
	log   hclog.Logger
	guard *Guard
	lines atomic.Int64
}

func (l *sparing) Print(v ...any)                 { l.line(fmt.Sprint(v...)) }
func (l *sparing) Println(v ...any)               { l.line(fmt.Sprint(v...)) }
func (l *sparing) Printf(format string, v ...any) { l.line(fmt.Sprintf(format, v...)) }

func (l *sparing) line(text string) {
	level := hclog.Debug
	if rest, ok := strings.CutPrefix(text, "[ERR] "); ok {
		level, text = hclog.Info, rest
		_ = l.guard.end(fmt.Errorf("%s", rest)) // kept, not returned
	} else if rest, ok := strings.CutPrefix(text, "[WARN] "); ok {
		level, text = hclog.Info, rest
	}
	switch n := l.lines.Add(1); {
	case n < maxLogLines:
		l.log.Log(level, text)
	case n == maxLogLines:
		l.log.Log(level, text, "further", "more lines about this connection are not logged")
	}
}
