package primary

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/yamux"
	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A History is the chain of digests of the source: a *history.Local. Its methods may be called concurrently.
type History interface {
	hashchain.Chain
	// Near returns the base of the chain and its point at tid, if that is known and little has to be read for it.
	Near(ctx context.Context, tid zodb.Tid) (base zodb.Tid, at hashchain.Point, ok bool)
}

// queryLimit is how long one question about the history may take. What was read by then is not lost.
const queryLimit = 2 * time.Minute

// errCompared ends the connection of who asked about the history.
var errCompared = errors.New("answered questions about the history")

// proves compares the chain of a secondary whose last transaction is also ours with our own. Where that says nothing,
// because the bases differ, or a side does not know it, nil is returned.
func (p *Primary) proves(ctx context.Context, last protocol.Position) *protocol.Refusal {
	if p.opt.History == nil || last.Value == (zodb.Digest{}) || p.info().ExternalHistory {
		return nil
	}
	base, at, ok := p.opt.History.Near(ctx, last.Tid)
	if !ok || base != last.Base || at.Value == last.Value {
		return nil
	}
	return refuse(protocol.CodeDiverged, last.Tid, "transaction %v (%s) is the same here and on the primary, but "+
		"the transactions before it, from after %v, are not: the histories differ; run zrsd compare on both to "+
		"find where, keep a copy of the one that is wrong, and give it an empty Data.fs to be filled from the other",
		last.Tid,
		last.Tid.Stamp(), base)
}

// answerQueries answers questions about the history until there are no more.
func (c *native) answerQueries(ctx context.Context, s *yamux.Session, control *protocol.Control,
	query *protocol.HistoryQuery) error {
	r := c.take(placeComparing) // before it has a name, by which it could count as a secondary
	c.introduce(query.Name)
	if r != nil {
		return c.refuse(s, control, r)
	}
	switch {
	case !protocol.KnownVersion(query.Version):
		return c.refuse(s, control, unknownVersion(query.Version))
	case c.p.opt.History == nil:
		return c.refuse(s, control, refuse(protocol.CodeInternal, 0, "%s keeps no hash chain", c.p.opt.Name))
	}
	wait, idle, end := c.p.idleFor(ctx, c.p.opt.HandshakeTimeout)
	g, inner := errgroup.WithContext(wait)
	if c.p.opt.Seed.Snapshot != nil {
		g.Go(c.recovering(func() error { return c.lend(inner, s, idle) }))
	}
	g.Go(c.recovering(func() error {
		defer end()
		return c.answerAll(inner, s, control, query, idle)
	}))
	return g.Wait()
}

// answerAll answers the questions, one after the other.
func (c *native) answerAll(ctx context.Context, s *yamux.Session, control *protocol.Control, query any,
	idle *idleLimit) error {
	blobs := blobComparison{c: c}
	for range protocol.MaxHistoryQueries {
		c.guard.Allow(helloBytes)
		idle.begin()
		answer, err := c.answer(ctx, query, &blobs)
		if err != nil {
			return err
		}
		if r, refused := answer.(*protocol.Refusal); refused {
			return c.refuse(s, control, r)
		}
		if err := control.Send(answer); errors.Is(err, yamux.ErrSessionShutdown) {
			return errCompared // the other side may have the answer, and be gone, before Send returns
		} else if err != nil {
			return fmt.Errorf("answering about the history: %w", err)
		}
		idle.end()
		if query, err = c.nextQuery(ctx, control); err != nil {
			return err
		}
	}
	return c.refuse(s, control, refuse(protocol.CodeTooMany, 0, "%d questions about the history are answered on one "+
		"connection; ask the next one on another", protocol.MaxHistoryQueries))
}

// nextQuery waits for the next question. When the other side has no more it returns errCompared.
func (c *native) nextQuery(ctx context.Context, control *protocol.Control) (query any, err error) {
	query, err = control.Receive(ctx)
	if errors.Is(err, io.EOF) || errors.Is(err, yamux.ErrSessionShutdown) {
		return nil, errCompared
	}
	return query, err
}

// answer answers one question; the answer may be a refusal, which is the last one.
func (c *native) answer(ctx context.Context, query any, blobs *blobComparison) (answer any, err error) {
	switch q := query.(type) {
	case *protocol.HistoryQuery:
		if answer, err = c.aboutHistory(ctx, q); err != nil {
			return refuse(protocol.CodeInternal, q.Tid, "computing the hash chain: %v", err), nil
		}
		return answer, nil
	case *protocol.BlobQuery:
		return blobs.answer(q)
	case *protocol.RecordQuery:
		return c.aboutRecords(q)
	}
	return nil, goodbye("the other side sent an unexpected message: %T", query)
}

func (c *native) aboutHistory(ctx context.Context, query *protocol.HistoryQuery) (*protocol.HistoryAnswer, error) {
	ctx, cancel := c.p.within(ctx, queryLimit)
	defer cancel()
	id, _ := c.p.opt.Identity()
	answer := &protocol.HistoryAnswer{StorageID: id, Name: c.p.opt.Name, Ranges: c.p.opt.Seed.Snapshot != nil,
		Blobs: c.p.opt.BlobDigests != nil, Records: c.p.opt.HasRevision != nil,
		Data: c.p.opt.Seed.Snapshot != nil && c.p.opt.Revisions != nil}
	span, err := c.p.opt.History.Span(ctx)
	answer.Base, answer.Last = span.Base, span.Last
	if err == nil && query.Tid != 0 {
		var at hashchain.Point
		at, err = c.p.opt.History.At(ctx, query.Base, query.Tid)
		answer.Tid, answer.Count, answer.Value = at.Tid, at.Count, at.Value
	}
	unknown := (*hashchain.UnknownError)(nil)
	if errors.As(err, &unknown) {
		answer.Unknown = unknown.Why
		return answer, nil
	}
	return answer, err
}
