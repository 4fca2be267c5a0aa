package secondary

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

const (
	// maxLanes is on how many streams parts of the data file come at a time.
	maxLanes = maxAhead / (laneAhead * seedPart)
	// laneRate is the bytes per second that all of them should reach over a long link.
	laneRate = 400 << 20
)

// A seedLink are the streams on which the data file of the primary comes as it is.
type seedLink struct {
	open     func(context.Context) (net.Conn, error) // one more of them
	patience time.Duration                           // for what was asked for on a stream for blobs
	forBlobs int                                     // how many streams there may be for these
	sources  []*seedSource
	intake   *protocol.Intake
	lanes    []*lane
	parts    *partQueue
	from     int64
	end      int64
	last     zodb.Tid // the transaction that ends at end
}

// openSeed asks for parts of the data file. Without an error and without a link the primary does not have them, and
// takes a request for transactions one by one. What comes first is asked for before it is known that the primary has
// it, which saves a round trip.
func (s *Secondary) openSeed(ctx context.Context, session *yamux.Session, w *protocol.Welcome, at *link) (
	*seedLink, error) {
	header := protocol.StreamHeader{
		Kind: protocol.StreamRanges, Start: at.start, Position: s.st.Size(), Digest: protocol.DigestXX,
	}
	if s.opt.Compress {
		header.Pack = protocol.PackZstd
	}
	l := &seedLink{
		open:   func(ctx context.Context) (net.Conn, error) { return protocol.OpenStream(ctx, session, header) },
		intake: s.intake, patience: s.opt.StallTimeout, from: header.Position, forBlobs: blobStreams,
		parts: newPartQueue(header.Position, w.Size, s.roundTrip, s.opt.SeedCopy, s.opt.now),
	}
	if l.parts.patience = s.opt.seedPatience; l.parts.patience == 0 {
		l.parts.patience = min(readyPatience, at.silence/4)
	}
	first, most := s.lanes(), s.lanes()
	if !slices.Contains(w.Capabilities, protocol.RangesAtOnce) {
		first, most, l.forBlobs = 1, min(most, protocol.RangeStreamsOneByOne-1), 1
	} else {
		l.sources = s.sources(header, w.StorageID)
	}
	taken, err := l.begin(ctx, first, most, at.wire, s.seedThreshold())
	if err != nil || !taken {
		l.close()
	}
	switch {
	case err != nil:
		return nil, err
	case !taken:
		return nil, s.unseeded(l.lanes[0].head, at.start)
	}
	return l, nil
}

// lanes is on how many streams the data file should come. Each of them has half a window on its way for certain: see
// protocol.ClientSession.
func (s *Secondary) lanes() int {
	if s.opt.seedLanes > 0 {
		return s.opt.seedLanes
	}
	window := s.opt.Window
	if window == 0 {
		window = protocol.WindowFor(s.roundTrip)
	}
	sure := min(int64(window/2), laneAhead*seedPart)
	want := int64(s.roundTrip.Seconds() * laneRate)
	return int(min(want/sure+1, maxLanes))
}

// begin opens so many streams, waits for the head of the first one, and opens the others. It reports whether the file
// is to be had, with at least so many bytes.
func (l *seedLink) begin(ctx context.Context, first, most int, wire *meteredReader, least int64) (bool, error) {
	if err := l.openLanes(ctx, first, wire); err != nil {
		return false, err
	}
	head, err := l.lanes[0].receiveHead()
	if err != nil || head.Code != 0 || head.End-l.from < least {
		return false, err
	}
	l.end, l.last = head.End, head.Last
	l.parts.settle(head.End)
	return true, l.openLanes(ctx, most, wire)
}

// openLanes opens streams until there are so many, and asks for the first parts on them.
func (l *seedLink) openLanes(ctx context.Context, n int, wire *meteredReader) error {
	for len(l.lanes) < n {
		conn, err := l.open(ctx)
		if err != nil {
			return err
		}
		l.lanes = append(l.lanes, &lane{
			stream: protocol.NewRangeStream(&meteredConn{l.intake.Watch(conn), wire}), parts: l.parts,
		})
	}
	return askAll(l.lanes)
}

// openMore opens a stream for blobs.
func (l *seedLink) openMore(ctx context.Context) (*protocol.RangeStream, error) {
	conn, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	more := protocol.NewRangeStream(conn)
	more.Patience(l.patience) // who reads from it has asked for something
	if _, err := more.ReceiveHead(); err != nil {
		return nil, errors.Join(err, more.Close())
	}
	return more, nil
}

// close closes the streams of the data file, and wakes who reads from them.
func (l *seedLink) close() {
	l.intake.End()
	for _, f := range l.lanes {
		closeQuietly(f.stream)
	}
}

// A meteredConn is one of several streams whose reads are metered together.
type meteredConn struct {
	net.Conn
	in *meteredReader
}

func (c *meteredConn) Read(b []byte) (int, error) {
	c.in.wait(1)
	n, err := c.Conn.Read(b)
	c.in.wait(-1)
	c.in.track.read(n)
	return n, err
}
