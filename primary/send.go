package primary

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// send streams what s yields, until the primary drains and the secondary has everything, or something fails. It
// flushes whenever there is nothing more to read: a single commit leaves at once, history leaves in full buffers.
func (c *peer) send(ctx context.Context, s *sender) error {
	follow, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.p.draining, func() { cancel(errDrained) })()
	for {
		txn, err := s.next(ctx, follow)
		if errors.Is(err, errDrained) {
			return c.awaitDurable(ctx)
		}
		if err != nil {
			return err
		}
		if err := s.encode(ctx, txn); err != nil {
			return err
		}
	}
}

// An encoder writes transactions in the protocol of the secondary. After an error it has written out every transaction
// before.
type encoder interface {
	Encode(txn zodb.Transaction) error
	Flush() error
}

// A sender is the state of send: one iterator, one encoder.
type sender struct {
	c    *peer
	it   zodb.Iterator
	enc  encoder
	wire *countingWriter
	// over is closed before the first transaction of an epoch that the secondary has not been told of. Nil: never.
	over <-chan struct{}
}

// next waits for the next transaction under follow, which ends when the primary drains. Then what is left is still
// read, and the end is errDrained.
func (s *sender) next(ctx, follow context.Context) (zodb.Transaction, error) {
	for {
		wait := ctx
		if !s.it.Pending() {
			if err := s.enc.Flush(); err != nil {
				return nil, err
			}
			s.c.progress.atEnd()
			wait = follow
		}
		txn, err := s.it.Next(wait)
		switch {
		case err == nil && s.renewed():
			return nil, errRenewed
		case err == nil:
			return txn, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, errDrained) && s.it.Pending(): // committed in the very moment
			continue
		case errors.Is(err, errDrained):
			return nil, errDrained
		}
		return nil, s.c.p.sourceFailed(err)
	}
}

// renewed reports whether the node is not any more what the secondary was told: then the transaction may be of an epoch
// that it does not know.
func (s *sender) renewed() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}

// encode sends a transaction, and distinguishes a failure to read it from a failure to send it. After the former the
// secondary has time to store what it got before, or it would get no further with each attempt.
func (s *sender) encode(ctx context.Context, txn zodb.Transaction) error {
	s.c.progress.sending(txn.Meta().Tid, s.it.Position(), s.c.p.opt.now())
	err := s.enc.Encode(txn)
	switch {
	case err == nil:
		s.c.txns.Add(1)
		return nil
	case s.wire.failed:
		return err
	}
	err = s.c.p.sourceFailed(err)
	s.c.progress.resetSent()
	ctx, cancel := context.WithTimeout(ctx, lingerLimit)
	defer cancel()
	if end := s.c.awaitDurable(ctx); !errors.Is(end, errDrained) {
		s.c.log.Debug("the secondary did not store everything before the damage in time", "error", end)
	}
	return err
}

// awaitDurable waits until the secondary has acknowledged everything.
func (c *peer) awaitDurable(ctx context.Context) error {
	for {
		all, moved := c.progress.allDurable()
		if all {
			return errDrained
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// sourceFailed logs that the storage could not be read, remembers it for Status and returns what the secondaries hear.
// The other connections continue: they may be in another part of the file.
func (p *Primary) sourceFailed(err error) error {
	if errors.Is(err, zodb.ErrClosed) {
		return errShutdown
	}
	log := p.log
	var damage *zodb.CorruptError
	if errors.As(err, &damage) {
		log = log.With("file", damage.File, "pos", damage.Pos)
	}
	log.Error("reading the storage failed; run zrsd check on it", "error", err, "warning", warning.Damaged)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roster.sourceError, p.roster.sourceErrorTime = err.Error(), p.opt.now()
	return goodbye("the primary cannot read its own storage: %w; check it there", err)
}

// A countingWriter counts what it wrote and remembers whether it failed.
type countingWriter struct {
	w      io.Writer
	n      *atomic.Int64
	failed bool
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n.Add(int64(n))
	c.failed = err != nil
	return n, err
}
