package protocol

import (
	"fmt"
	"io"
	"math"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/yamux"
)

// Defaults of a session.
const (
	defaultWriteTimeout = 30 * time.Second
	defaultKeepAlive    = 10 * time.Second
)

// Bounds of a window. The lower one is what yamux itself starts with.
const (
	minWindow     = 256 << 10
	defaultWindow = 4 << 20
	maxWindow     = 16 << 20

	targetRate = 160 << 20           // bytes per second that a stream should reach over a long link
	backlog    = MaxRangeStreams + 2 // streams that may wait to be accepted: those of ranges, one of each other kind
)

// SessionOptions tune a session. The zero value is good for a short link.
type SessionOptions struct {
	// RoundTrip is the measured time of ClientPreface, from which the receive window is chosen. 0: not measured.
	RoundTrip time.Duration
	// Window, in bytes, overrides that choice; yamux allows no less than 256 KiB.
	Window uint32
	// WriteTimeout is how long the connection may refuse to take one write of at most 256 KiB, and how long the answer
	// to a keep-alive may take. Afterwards the session is closed.
	WriteTimeout time.Duration
	// KeepAlive is how often each side asks the other whether it lives.
	KeepAlive time.Duration
	// Logger gets a few lines of yamux at most. The side that was connected to does better with Guard alone.
	Logger hclog.Logger
	// Guard bounds what is read. Nil: everything may come.
	Guard *Guard
	// Intake bounds what is in memory of it. Nil: nothing but the windows does.
	Intake *Intake
}

// ClientSession turns conn, after ClientPreface, into a session of streams. Closing the session closes conn.
//
// The window that a receiver grants is what bounds a stream on a long link: yamux announces freed room when half of
// the window has been read, so a stream runs at window / 2 per round trip for certain and at window per round trip at
// best. It is also what a receiver that is slower than the network may have to keep in memory, up to three times over
// while a buffer grows. So it is as large as this link needs and no larger: 2 * round trip * 160 MiB/s, at least 1 MiB
// and at most 16 MiB. Who needs more, and says how much comes at a time, opens several streams.
func ClientSession(conn net.Conn, opt SessionOptions) (*yamux.Session, error) {
	if opt.Window == 0 {
		opt.Window = WindowFor(opt.RoundTrip)
	}
	return newSession(conn, opt, yamux.Client)
}

// ServerSession is ClientSession for the side that was connected to. It receives only acknowledgements, from peers
// that have not yet said who they are, so its window is the smallest possible.
func ServerSession(conn net.Conn, opt SessionOptions) (*yamux.Session, error) {
	if opt.Window == 0 {
		opt.Window = minWindow
	}
	return newSession(conn, opt, yamux.Server)
}

func newSession(conn net.Conn, opt SessionOptions,
	start func(io.ReadWriteCloser, *yamux.Config) (*yamux.Session, error)) (*yamux.Session, error) {
	if err := limitUnsent(conn); err != nil {
		return nil, fmt.Errorf("setting up the connection with %v: %w", conn.RemoteAddr(), err)
	}
	if opt.Guard == nil {
		opt.Guard = NewGuard(math.MaxInt64)
	}
	s, err := start(&guarded{Conn: conn, guard: opt.Guard, intake: opt.Intake}, opt.config())
	if err != nil {
		return nil, fmt.Errorf("starting a session with %v: %w", conn.RemoteAddr(), err)
	}
	return s, nil
}

func (opt SessionOptions) config() *yamux.Config {
	logger := opt.Logger
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	return &yamux.Config{
		AcceptBacklog:       backlog,
		EnableKeepAlive:     true,
		KeepAliveInterval:   orDefault(opt.KeepAlive, defaultKeepAlive),
		MaxStreamWindowSize: max(opt.Window, minWindow),
		// One value for two things in yamux: a write that is stuck, and a keep-alive without an answer. A stuck write
		// leaves half a frame behind, so every writer closes the session then (see stream.Write).
		ConnectionWriteTimeout: orDefault(opt.WriteTimeout, defaultWriteTimeout),
		StreamOpenTimeout:      orDefault(opt.WriteTimeout, defaultWriteTimeout),
		StreamCloseTimeout:     orDefault(opt.WriteTimeout, defaultWriteTimeout),
		Logger:                 &sparing{log: logger.Named("yamux"), guard: opt.Guard},
	}
}

// WindowFor returns the window that a client chooses for a round trip.
func WindowFor(roundTrip time.Duration) uint32 {
	if roundTrip <= 0 {
		return defaultWindow
	}
	want := 2 * roundTrip.Seconds() * targetRate
	return uint32(min(max(want, 1<<20), maxWindow))
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}
