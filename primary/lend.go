package primary

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/zrsd/zrsd/protocol"
)

// maxLent is how many streams of ranges one connection may open that asks about the history, one after the other.
const maxLent = 4096

// lend answers the streams of ranges of a node that asks about the history: it compares its own files with these, or
// replaces what is damaged in them. It follows nobody here, and has one stream at a time.
func (c *native) lend(ctx context.Context, s *yamux.Session, idle *idleLimit) error {
	for range maxLent {
		conn, h, err := protocol.AcceptStream(ctx, s)
		switch {
		case ctx.Err() != nil, err != nil && s.IsClosed():
			return nil //nolint:nilerr // why, the questions say
		case err != nil:
			return err
		case h.Kind != protocol.StreamRanges:
			closeQuietly(conn)
			return goodbye("a node that asks about the history opened a %q stream", clean(string(h.Kind)))
		}
		if err := c.lendFile(ctx, s, protocol.NewRangeStream(conn), h, idle); err != nil {
			return err
		}
	}
	return goodbye("%d streams of ranges are served on one connection; open the next one on another", maxLent)
}

// lendFile answers one stream.
func (c *native) lendFile(ctx context.Context, s *yamux.Session, stream *protocol.RangeStream, h protocol.StreamHeader,
	idle *idleLimit) error {
	defer closeQuietly(stream)
	defer context.AfterFunc(ctx, func() { closeQuietly(stream) })()
	idle.begin()
	defer idle.end()
	lent, why, err := c.takeSnapshot(ctx, h)
	if err != nil {
		return c.p.sourceFailed(err)
	}
	if lent == nil {
		return stream.SendHead(&protocol.RangesHead{Code: protocol.CodeDiverged, Text: why})
	}
	defer closeQuietly(lent.snapshot) // read only
	lent.stream = stream
	if err := stream.SendHead(&protocol.RangesHead{
		End: lent.done.end, Last: lent.done.last, Digest: protocol.RangeDigest(h.Digest),
		Pack: protocol.RangePacking(h.Pack), BlobCache: c.p.opt.Seed.BlobHere != nil,
	}); err != nil {
		return err
	}
	out := &rangeSender{ctx: ctx, c: c, s: lent, stream: stream, open: c.p.opt.Seed.BlobHere, lends: true}
	for {
		c.guard.Allow(helloBytes)
		err := out.answer()
		switch {
		case ctx.Err() != nil, errors.Is(err, io.EOF), err != nil && s.IsClosed():
			return nil // it has what it wanted, or the questions say why not
		case err != nil:
			return err
		}
	}
}

// An idleLimit ends a context when the other side of a connection wants nothing for a while; while it has a stream
// open, the limits of that count. Its methods may be called concurrently.
type idleLimit struct {
	d     time.Duration
	timer *time.Timer

	mu   sync.Mutex
	busy int
}

// idleFor returns a context that ends when nothing is done for d, and when the primary begins to drain.
func (p *Primary) idleFor(ctx context.Context, d time.Duration) (context.Context, *idleLimit, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	l := &idleLimit{d: d}
	l.timer = time.AfterFunc(d, func() { cancel(fmt.Errorf("the peer took longer than %v", d)) })
	stop := context.AfterFunc(p.draining, func() { cancel(errShutdown) })
	return ctx, l, func() {
		stop()
		l.timer.Stop()
		cancel(nil)
	}
}

// begin says that something is done for the other side.
func (l *idleLimit) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy++
	l.timer.Stop()
}

// end says that it is done.
func (l *idleLimit) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy--; l.busy == 0 {
		l.timer.Reset(l.d)
	}
}
