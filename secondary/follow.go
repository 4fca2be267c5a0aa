package secondary

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/protocol"
)

// closeTimeout bounds what is waited for at the end of a connection: for the disk when this secondary is to stop, for
// the primary to take our last words, and for its reason when its stream ends without one.
const closeTimeout = 5 * time.Second

// follow applies what comes over l until something ends it, and closes l. When it returns, everything that was handed
// to the storage is durable or failed, unless ctx has ended and the disk takes its time.
func (s *Secondary) follow(ctx context.Context, l *link) error {
	defer closeQuietly(l.session)
	if err := s.learned(l, l.start); err != nil {
		return err
	}
	s.followed(l)
	inner, end := context.WithCancelCause(ctx)
	out := make(chan pendingCommit, 1)
	var g sync.WaitGroup
	g.Go(func() { end(s.apply(inner, s.stream(l), out)) })
	g.Go(func() { end(s.listen(inner, l, end)) })
	g.Go(func() {
		s.acknowledge(ctx, out, func(h pendingCommit) error {
			if err := s.learned(l, h.tid); err != nil {
				return err
			}
			l.caughtUp(h.tid)
			return l.report(h, s.st.Size())
		}, end)
	})
	<-inner.Done()
	limit := time.AfterFunc(closeTimeout, func() { closeQuietly(l.session) })
	defer limit.Stop()
	closeQuietly(l.repl) // wakes apply
	g.Wait()
	err := context.Cause(inner)
	if ctx.Err() != nil {
		err = errStopped
	}
	leave(l, err)
	return err
}

// stream decodes what comes over l.
func (s *Secondary) stream(l *link) *source {
	return &source{protocol.NewDecoder(l.wire, l.start, protocol.Limits{
		MaxFrame: s.opt.MaxFrame, MaxRecord: s.opt.MaxRecord, MaxBlob: s.opt.MaxBlob,
	}), l.wire, ended}
}

// report acknowledges a durable transaction. The file has grown to size.
func (l *link) report(h pendingCommit, size int64) error {
	return l.acks.send(func(a *protocol.Ack) {
		a.Applied, a.Durable, a.Count, a.Bytes = h.tid, h.tid, h.count, uint64(max(size-l.size, 0))
	})
}

// leave sends the primary the reason why the connection ends, as far as it can still receive that.
func leave(l *link, why error) {
	var local *localError
	var err error
	if errors.As(why, &local) {
		err = l.acks.send(func(a *protocol.Ack) { a.Error, a.Trouble = why.Error(), troubleOf(why) })
	}
	if err == nil {
		err = l.control.Send(&protocol.Goodbye{Reason: why.Error()})
	}
	if err != nil {
		l.log.Debug("cannot tell the primary why the connection ends", "error", err)
	}
}

// listen takes the primary's messages, and ends the connection when there are none for longer than a living primary
// may be silent.
func (s *Secondary) listen(ctx context.Context, l *link, end context.CancelCauseFunc) error {
	silent := time.AfterFunc(l.silence, func() {
		end(errSilent)
		closeQuietly(l.session)
	})
	defer silent.Stop()
	for {
		var msg any
		err := recovered.Do(l.log, "reading a message of the primary", func() (err error) {
			msg, err = l.control.Receive(ctx)
			return err
		})
		silent.Reset(l.silence)
		if errors.Is(err, protocol.ErrUnknownMessage) { // of a newer version, which must be able to do without
			l.log.Debug("ignored a message", "error", err)
			continue
		}
		if err != nil {
			return err
		}
		switch m := msg.(type) {
		case *protocol.Heartbeat:
			s.track.heartbeat(m)
			if err := l.wire.check(m.LastTid); err != nil {
				return err
			}
			if err := l.acks.again(); err != nil { // the primary wants to hear something, too
				return err
			}
		case *protocol.HandoverCheck:
			if err := s.answerHandoverCheck(l, m); err != nil {
				return err
			}
		case *protocol.TakeOver:
			if s.opt.Successor != nil {
				s.opt.Successor.TakeOver(m)
			}
		case *protocol.Goodbye:
			return &goodbyeError{m.Reason}
		case *protocol.Refusal:
			return m
		default:
			return fmt.Errorf("the primary sent an unexpected %T", msg)
		}
	}
}
