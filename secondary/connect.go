package secondary

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/yamux"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// welcomePatience is how many handshake timeouts the primary has for its welcome: it may have to read a long
// transaction to compare it. Keep-alives find a dead one before that.
const welcomePatience = 10

// Bounds for what a primary promises about its heartbeats, and how many may be missing.
const (
	minHeartbeat     = 10 * time.Millisecond
	defaultHeartbeat = 5 * time.Second
	maxHeartbeat     = 60 * time.Second
	missedHeartbeats = 3
)

// A link is an accepted connection.
type link struct {
	session *yamux.Session
	control *protocol.Control
	acks    *acker
	repl    net.Conn
	seed    *seedLink      // nil: transactions come one by one, on repl
	wire    *meteredReader // reads repl, or the data file
	start   zodb.Tid       // the stream begins after it
	goal    zodb.Tid       // the primary's last transaction when it answered
	behind  bool           // goal is not reached
	teaches bool           // who has everything up to goal is no learner
	size    int64          // of our file at start
	silence time.Duration  // after which the primary counts as dead
	log     hclog.Logger
}

// connect makes a connection, speaks a version of the messages, and is welcomed. On success the caller closes the
// session.
func (s *Secondary) connect(ctx context.Context, addr string, version int, hello *protocol.Hello) (*link, error) {
	conn, err := s.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	session, err := s.open(ctx, conn)
	if err != nil {
		closeQuietly(conn)
		return nil, fmt.Errorf("handshake with %s: %w", addr, err)
	}
	l, err := s.agree(ctx, session, version, hello)
	if err != nil {
		closeQuietly(session)
		return nil, fmt.Errorf("handshake with %s: %w", addr, err)
	}
	l.log = s.log.With("primary", addr)
	return l, nil
}

// agree does the handshake within a time limit. What is over the limit loses its session: the deadline of a stream
// does not end a read while the session is in the middle of a frame.
func (s *Secondary) agree(ctx context.Context, session *yamux.Session, version int, hello *protocol.Hello) (
	*link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, welcomePatience*s.opt.HandshakeTimeout, errHandshake)
	defer cancel()
	defer context.AfterFunc(ctx, func() { closeQuietly(session) })()
	l, err := s.handshake(ctx, session, version, hello)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return l, err
}

func (s *Secondary) dial(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience())
	defer cancel()
	return s.opt.Dial(ctx, addr)
}

// patience is for how long an address may say nothing at first. Where there are others, the primary may be there.
func (s *Secondary) patience() time.Duration {
	if len(s.opt.Addresses) > 1 {
		return min(s.opt.HandshakeTimeout, shortPatience)
	}
	return s.opt.HandshakeTimeout
}

const shortPatience = 5 * time.Second

// open agrees on the protocol and starts a session, whose window fits the round trip that this took.
func (s *Secondary) open(ctx context.Context, conn net.Conn) (*yamux.Session, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.patience(), errHandshake)
	defer cancel()
	began := time.Now()
	if err := protocol.ClientPreface(ctx, conn); err != nil {
		return nil, err
	}
	s.roundTrip = time.Since(began)
	s.intake = protocol.NewIntake()
	return protocol.ClientSession(conn, protocol.SessionOptions{
		RoundTrip: s.roundTrip, Window: s.opt.Window, Intake: s.intake,
		WriteTimeout: s.opt.WriteTimeout, KeepAlive: s.opt.KeepAlive, Logger: s.log,
	})
}

// handshake presents this secondary, makes it fit for the primary, and asks for the stream.
func (s *Secondary) handshake(ctx context.Context, session *yamux.Session, version int, hello *protocol.Hello) (
	*link, error) {
	control, w, err := s.present(ctx, session, version, hello)
	if err != nil {
		return nil, err
	}
	share := func(w *protocol.Welcome) error { return s.share(ctx, w) }
	steps := []func(*protocol.Welcome) error{
		s.comparePrimary, s.checkEpochs, s.checkCompatible, share, s.identify, s.takeMagic,
	}
	for _, step := range steps {
		if err := step(w); err != nil {
			return nil, err
		}
	}
	s.track.welcomed(w, hello.Last.Tid)
	l := &link{
		session: session,
		control: control,
		acks:    newAcker(control, hello.Last.Tid),
		wire:    &meteredReader{track: s.track, now: s.opt.now, limit: s.opt.StallTimeout},
		start:   hello.Last.Tid,
		goal:    w.LastTid,
		behind:  hello.Last.Tid < w.LastTid,
		teaches: s.teaches(w),
		size:    s.st.Size(),
		silence: silence(w.Heartbeat),
	}
	if s.wantsSeed(w) {
		if l.seed, err = s.openSeed(ctx, session, w, l); l.seed != nil || err != nil {
			return l, err
		}
	}
	if s.seedOnly {
		return nil, errNoSeed
	}
	if l.repl, err = protocol.OpenStream(ctx, session, protocol.StreamHeader{
		Kind: protocol.StreamReplication, Start: l.start,
	}); err != nil {
		return nil, err
	}
	l.wire.r, l.wire.lastArrived = l.repl, l.start
	return l, nil
}

// present opens the control stream, proves the secret, if there is one, and exchanges hello for welcome.
func (s *Secondary) present(ctx context.Context, session *yamux.Session, version int, hello *protocol.Hello) (
	*protocol.Control, *protocol.Welcome, error) {
	stream, err := protocol.OpenStream(ctx, session, protocol.StreamHeader{Kind: protocol.StreamControl})
	if err != nil {
		return nil, nil, err
	}
	control := protocol.NewControl(stream)
	if len(s.opt.Secret) > 0 {
		if err := s.opt.Secret.Present(ctx, control); err != nil {
			return nil, nil, err
		}
	}
	control.Speak(version)
	if err := control.Send(hello); err != nil {
		return nil, nil, err
	}
	msg, err := control.Receive(ctx)
	if err != nil {
		return nil, nil, err
	}
	switch m := msg.(type) {
	case *protocol.Welcome:
		return control, m, nil
	case *protocol.Refusal:
		return nil, nil, s.unconfirmed(m)
	case *protocol.Goodbye:
		return nil, nil, &goodbyeError{m.Reason}
	}
	return nil, nil, fmt.Errorf("the primary answered the hello with a %T", msg)
}

// silence is how long a primary that promises heartbeats at this interval may be silent.
func silence(heartbeat time.Duration) time.Duration {
	if heartbeat <= 0 {
		heartbeat = defaultHeartbeat
	}
	return missedHeartbeats * min(max(heartbeat, minHeartbeat), maxHeartbeat)
}

func closeQuietly(c io.Closer) {
	_ = c.Close() // the connection is closed; the error has no receiver
}

// checkCompatible checks that this storage can hold what the primary has.
func (s *Secondary) checkCompatible(w *protocol.Welcome) error {
	switch {
	case !protocol.KnownVersion(w.Version):
		return unfit("the primary sends messages of version %d, this secondary knows only versions %d to %d; run the "+
			"same version of zrsd on both sides", w.Version, protocol.OldestVersion, protocol.MessageVersion)
	case w.Blobs && !s.st.HasBlobs():
		return unfit("the primary has blobs and this secondary has no blob directory; start it with --blobs DIR")
	case !w.Magic.Known():
		return unfit("the primary's file begins with %q, as no file of ZODB does; run zrsd check on it", w.Magic[:])
	case s.st.LastTid() != 0 && w.Magic != s.st.Magic():
		return unfit("the file of this secondary begins with %q, that of the primary with %q: they are of different "+
			"Python generations; give the secondary an empty Data.fs", s.st.Magic(), w.Magic)
	}
	return nil
}

// checkEpochs checks that what this storage has is not from an epoch that the primary does not know, or from after the
// beginning of one that this node knows nothing of: then it is another history, whatever a pack has taken away.
func (s *Secondary) checkEpochs(w *protocol.Welcome) error {
	id, last := s.keep.State(), s.st.LastTid()
	if id == nil || id.StorageID != w.StorageID {
		return nil
	}
	if at, parted := protocol.Part(id.Epochs, w.Epochs); parted && last > at {
		return &unfitError{
			rewind: true,
			text: fmt.Sprintf("diverged after transaction %v: the last one here is %v, and %s has another history "+
				"from there on; stop this node and use zrsd rewind, which sets aside what the primary never had, "+
				"or give it an empty Data.fs", at, last, clean(w.Name)),
		}
	}
	return nil
}

// takeMagic gives an empty storage the primary's magic.
func (s *Secondary) takeMagic(w *protocol.Welcome) error {
	if s.st.Magic() == w.Magic {
		return nil
	}
	if err := s.st.SetMagic(w.Magic); err != nil {
		return &localError{fmt.Errorf("taking the primary's magic: %w", err)}
	}
	return nil
}
