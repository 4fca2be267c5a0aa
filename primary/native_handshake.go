package primary

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/hashicorp/yamux"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A follower is a secondary that was accepted: its streams, and where it stands.
type follower struct {
	session *yamux.Session
	control *protocol.Control
	repl    net.Conn // nil: it is seeded
	seed    *seed    // nil: it gets its transactions one by one
	start   zodb.Tid
	renewed <-chan struct{} // see Primary.Renew; taken before the welcome was made
}

// handshake takes the secondary's hello, judges it, and welcomes it. Waiting for the peer is bounded, judging is not:
// it may have to read a long transaction. The caller closes the iterator, which begins where the secondary ends.
func (c *native) handshake(ctx context.Context, s *yamux.Session) (*follower, zodb.Iterator, error) {
	control, hello, err := c.hello(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	c.member(hello)
	if r := c.take(slotFollowing); r != nil {
		return nil, nil, c.refuse(s, control, r)
	}
	renewed := c.p.renewing()
	if r := c.p.checkHello(ctx, hello); r != nil {
		return nil, nil, c.refuse(s, control, r)
	}
	if r := c.namesake(); r != nil {
		return nil, nil, c.refuse(s, control, r)
	}
	if r := c.counts(hello.Last.Tid); r != nil {
		return nil, nil, c.refuse(s, control, r)
	}
	it, onDemand, err := c.p.iterate(hello)
	if err != nil {
		err = c.p.sourceFailed(err)
		return nil, nil, c.refuse(s, control, refuse(protocol.CodeInternal, hello.Last.Tid, "%v", err))
	}
	f := &follower{session: s, control: control, start: hello.Last.Tid, renewed: renewed}
	welcome := c.p.greeting()
	done, r := c.share(hello, welcome)
	if r != nil {
		closeQuietly(it) // read only
		return nil, nil, c.refuse(s, control, r)
	}
	defer done()
	c.offerRanges(hello, welcome)
	if onDemand {
		welcome.Capabilities = append(welcome.Capabilities, protocol.BlobsOnDemand)
	}
	if err := c.welcome(ctx, f, welcome); err != nil {
		closeQuietly(it) // read only
		return nil, nil, confirming(err, hello, welcome)
	}
	if f.seed != nil {
		closeQuietly(it) // read only
		return f, nil, nil
	}
	if shares(welcome) {
		it = sharing{it}
	}
	return f, it, nil
}

// counts has it noted that this secondary, whose last transaction is given, is one of those that commits wait for.
func (c *native) counts(last zodb.Tid) *protocol.Refusal {
	m := c.p.opt.Member
	if m == nil || c.p.opt.Sync.Required == 0 {
		return nil
	}
	counting, counts := c.p.quorum.compare(c.countsAs(), c.name, c.p.counted(last))
	if !counts {
		return nil
	}
	if err := m.Counts(counting); err != nil {
		return refuse(protocol.CodeInternal, last, "the primary cannot save that commits wait for this secondary: %v",
			err)
	}
	return nil
}

// confirming tells a secondary that learned something new of our identity, and left to hear it again, from one that
// was lost.
func confirming(err error, h *protocol.Hello, w *protocol.Welcome) error {
	news := h.StorageID != w.StorageID || !slices.EqualFunc(h.Epochs, w.Epochs, protocol.Epoch.Equal)
	if left := errors.Is(err, io.EOF) || errors.Is(err, yamux.ErrSessionShutdown); news && left {
		return fmt.Errorf("%w (%w)", errConfirm, err)
	}
	return err
}

// offerRanges says in the welcome that parts of the data file are to be had.
func (c *native) offerRanges(h *protocol.Hello, w *protocol.Welcome) {
	if c.p.opt.Seed.Snapshot != nil && slices.Contains(h.Capabilities, protocol.Ranges) {
		w.Capabilities = append(w.Capabilities, protocol.Ranges, protocol.RangesAtOnce)
	}
}

// welcome accepts the secondary and waits for the stream on which it wants its transactions.
func (c *native) welcome(ctx context.Context, f *follower, w *protocol.Welcome) error {
	ctx, cancel := c.p.handshaking(ctx)
	defer cancel()
	if err := f.control.Send(w); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	ranges := 0
	if slices.Contains(w.Capabilities, protocol.Ranges) {
		ranges = protocol.MaxRangeStreams
	}
	refused := false
	for {
		conn, header, err := protocol.AcceptStream(ctx, f.session)
		if err != nil {
			return fmt.Errorf("handshake: %w", err)
		}
		switch {
		case header.Start != f.start:
		case header.Kind == protocol.StreamReplication:
			c.p.seeds.goesOn(c.identity())
			f.repl = conn
			return nil
		case header.Kind == protocol.StreamRanges && refused && ranges > 0:
			ranges--
			closeQuietly(conn) // it was opened at once with the one that was refused
			continue
		case header.Kind == protocol.StreamRanges && ranges > 0:
			refused = true
			if f.seed, err = c.openSeed(ctx, protocol.NewRangeStream(conn), header, f.renewed); err != nil {
				return fmt.Errorf("handshake: %w", err)
			}
			if f.seed != nil {
				return nil
			}
			continue
		}
		r := refuse(protocol.CodeUnknownMessage, header.Start, "after the welcome comes a %s stream from %v, not %q "+
			"from %v; %s", protocol.StreamReplication, f.start, clean(string(header.Kind)), header.Start, sameVersion)
		return c.refuse(f.session, f.control, r)
	}
}

// hello waits for the control stream and the first message on it.
func (c *native) hello(ctx context.Context, s *yamux.Session) (*protocol.Control, *protocol.Hello, error) {
	serving := ctx
	ctx, cancel := c.authenticating(serving)
	defer cancel()
	conn, header, err := protocol.AcceptStream(ctx, s)
	if err != nil {
		return nil, nil, fmt.Errorf("handshake: %w", err)
	}
	if header.Kind != protocol.StreamControl {
		return nil, nil, fmt.Errorf("handshake: the first stream is %q, not %q", clean(string(header.Kind)),
			protocol.StreamControl)
	}
	control := protocol.NewControl(conn)
	msg, err := c.first(ctx, control)
	switch m := msg.(type) {
	case *protocol.StatusRequest:
		return nil, nil, c.answerStatus(s, control, m)
	case *protocol.VoteRequest:
		return nil, nil, c.answerVoteRequest(serving, s, control, m)
	case *protocol.HistoryQuery:
		return nil, nil, c.answerQueries(serving, s, control, m)
	}
	hello, ok := msg.(*protocol.Hello)
	var r *protocol.Refusal
	switch {
	case errors.As(err, &r):
		return nil, nil, c.refuse(s, control, r)
	case errors.Is(err, protocol.ErrUnknownMessage), err == nil && !ok:
		r := refuse(protocol.CodeUnknownMessage, 0, "the first message must be a hello; %s", sameVersion)
		return nil, nil, c.refuse(s, control, r)
	case err != nil:
		return nil, nil, fmt.Errorf("handshake: %w", err)
	}
	c.introduce(hello.Name)
	return control, hello, nil
}

// first waits for the first message of who has proved the secret, if there is one.
func (c *native) first(ctx context.Context, control *protocol.Control) (any, error) {
	if len(c.p.opt.Secret) == 0 {
		c.guard.Allow(helloBytes)
		control.Limit(helloBytes)
	} else {
		control.Limit(unauthenticatedLine)
	}
	msg, err := control.Receive(ctx)
	if err != nil {
		return nil, err
	}
	return c.authenticate(ctx, control, msg)
}

// refuse sends r, waits until the secondary has hung up, and returns r.
func (c *native) refuse(s *yamux.Session, control *protocol.Control, r *protocol.Refusal) error {
	c.refused(r)
	if err := control.Send(r); err != nil {
		return errors.Join(r, err)
	}
	c.release()
	linger(s)
	return r
}

func (p *Primary) greeting() *protocol.Welcome {
	id, epochs := p.opt.Identity()
	st := p.info()
	return &protocol.Welcome{
		Node: st.Node, IsPrimary: st.IsPrimary, UpstreamPath: st.UpstreamPath,
		Version: protocol.MessageVersion, StorageID: id, Epochs: epochs, LastTid: p.src.LastTid(), Size: p.src.Size(),
		Magic: p.src.Magic(), Blobs: p.src.HasBlobs(), Heartbeat: p.opt.Heartbeat, Name: p.opt.Name,
	}
}

// accept takes the proposal of our protocol.
func (c *native) accept(ctx context.Context) error {
	ctx, cancel := c.authenticating(ctx)
	defer cancel()
	return protocol.AcceptPreface(ctx, c.conn)
}
