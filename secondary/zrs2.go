package secondary

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/zrsd/zrsd/internal/zrs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// followOld follows a primary that speaks zrs2.
func (s *Secondary) followOld(ctx context.Context, addr string) error {
	if len(s.opt.Secret) > 0 || s.opt.SharedBlobs != nil {
		return unfit("zrs2 can carry neither a shared secret nor shared blobs; use --protocol native")
	}
	last, err := s.standing(ctx)
	if err == nil {
		err = s.noteExternalHistory()
	}
	if err != nil {
		return err
	}
	err = s.followOldFrom(ctx, addr, last)
	if errors.Is(err, errProved) {
		last.before, last.proved = last.tid, true
		err = s.followOldFrom(ctx, addr, last)
	}
	return err
}

// followOldFrom makes one connection.
func (s *Secondary) followOldFrom(ctx context.Context, addr string, last standing) error {
	conn, err := s.dial(ctx, addr)
	if err != nil {
		return err
	}
	defer closeQuietly(conn)
	l := &oldLink{
		s: s, conn: conn, last: last, version: zrs.V20,
		wire: &meteredReader{r: conn, track: s.track, now: s.opt.now, lastArrived: last.tid},
	}
	if s.st.HasBlobs() {
		l.version = zrs.V21
	}
	err = l.run(ctx)
	switch {
	case l.wire.begun:
		s.speaksZrs2(addr)
	case errors.Is(err, errWordless), errors.Is(err, syscall.ECONNRESET):
		return s.wordless(addr, last.tid)
	}
	return err
}

// wordless counts a connection that the primary ended before it had sent anything. A primary that restarts does so once
// or twice.
func (s *Secondary) wordless(addr string, last zodb.Tid) error {
	if s.old.wordless[addr]++; s.old.wordless[addr] < patience {
		return errWordless
	}
	return unfit("%v, again and again; zc.zrs does so when this secondary is ahead of it (this one ends with %v), "+
		"when it has blobs and this secondary has no blob directory, and when it cannot read its file: its log says "+
		"which. Check the address and that log; if the primary was restored from an old copy, restore a newer one or "+
		"promote this secondary, otherwise keep a copy of this secondary's Data.fs and give it an empty one",
		errWordless, last)
}

// An oldLink is a connection to a primary that speaks zrs2.
type oldLink struct {
	s       *Secondary
	conn    net.Conn
	wire    *meteredReader // reads conn
	last    standing
	version string
}

// run asks for the stream and applies it until something ends that. It is follow for a primary that sends nothing but
// transactions and is sent nothing but keep-alives.
func (l *oldLink) run(ctx context.Context) error {
	if err := l.ask(); err != nil {
		return err
	}
	if l.last.proved {
		l.joined()
		if err := l.s.needsIdentity(); err != nil {
			return err
		}
	}
	inner, end := context.WithCancelCause(ctx)
	out := make(chan pendingCommit, 1)
	var g sync.WaitGroup
	dec := zrs.NewDecoder(l.wire, l.last.before, protocol.Limits{
		MaxRecord: l.s.opt.MaxRecord, MaxBlob: l.s.opt.MaxBlob,
	})
	g.Go(func() { end(l.s.apply(inner, l.source(dec), out)) })
	g.Go(func() { end(l.watch(inner, dec.Idle)) })
	g.Go(func() { end(l.keepAlive(inner)) })
	g.Go(func() { l.s.acknowledge(ctx, out, func(pendingCommit) error { return l.s.needsIdentity() }, end) })
	<-inner.Done()
	closeQuietly(l.conn)
	g.Wait()
	if ctx.Err() != nil {
		return errStopped
	}
	return context.Cause(inner)
}

// ask says hello. Whether the primary likes it is seen by what it sends.
func (l *oldLink) ask() error {
	if err := protocol.LimitSilence(l.conn, l.s.opt.StallTimeout); err != nil {
		return fmt.Errorf("setting up the connection: %w", err)
	}
	if err := l.conn.SetWriteDeadline(time.Now().Add(l.s.opt.HandshakeTimeout)); err != nil {
		return err
	}
	return zrs.WriteHello(l.conn, l.version, l.last.before)
}

// source is the stream, which begins with the proof that it continues our history.
func (l *oldLink) source(dec *zrs.Decoder) *source {
	ended := func(context.Context) error {
		if !l.wire.begun {
			return errWordless
		}
		return errOver
	}
	return &source{&continuity{decoder: dec, l: l, proved: l.last.proved}, l.wire, ended}
}

// watch notices when there is nothing more to read, when there never was, and when a message stays incomplete: a
// primary sends a transaction without a pause, so its length was damaged on the way, or the rest of it was lost.
func (l *oldLink) watch(ctx context.Context, idle func() bool) error {
	opt := &l.s.opt
	t := time.NewTicker(min(opt.quietAfter, opt.StallTimeout) / 4)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if idle() { // asked first: what is waited for then is what it says
			if l.wire.waitedFor(opt.quietAfter) {
				l.s.track.streamQuiet()
			}
		} else if l.wire.waitedFor(opt.StallTimeout) {
			return errIncomplete
		}
		if l.last.tid != 0 && !l.s.track.hasJoined() && l.wire.waitedFor(welcomePatience*opt.HandshakeTimeout) {
			return errHandshake
		}
	}
}

// keepAlive sends empty messages, so that firewalls on the way keep the connection and the loss of it is noticed: the
// primary sends none.
func (l *oldLink) keepAlive(ctx context.Context) error {
	opt := &l.s.opt
	if opt.KeepAliveDelay <= 0 {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	t := time.NewTicker(opt.KeepAliveDelay)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := l.conn.SetWriteDeadline(time.Now().Add(opt.StallTimeout)); err != nil {
			return err
		}
		if err := zrs.WriteKeepAlive(l.conn); err != nil {
			return fmt.Errorf("sending a keep-alive: %w", err)
		}
	}
}
