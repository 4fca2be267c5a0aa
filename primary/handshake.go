package primary

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/zrs"
	"github.com/zrsd/zrsd/protocol"
)

// A protocolHandler serves a secondary in the protocol that it has chosen.
type protocolHandler interface {
	// replicate runs the connection from after its first message to its end.
	replicate(ctx context.Context) error
}

// preface learns which protocol the secondary speaks, and says nothing to it.
func (c *peer) preface(ctx context.Context) (protocolHandler, error) {
	ctx, cancel := c.authenticating(ctx)
	defer cancel()
	proto, err := protocol.ServerPreface(ctx, c.conn)
	switch {
	case errors.Is(err, protocol.ErrEncrypted):
		r := refuse(protocol.CodeNotAuthorised, 0, "%v", err)
		c.refused(r)
		refusePreface(ctx, c.conn, r) // which TLS takes for what it is: no TLS
		return nil, r
	case errors.Is(err, protocol.ErrHTTP):
		lastAnswer(ctx, c.conn, func(ctx context.Context) error { return protocol.RefuseHTTP(ctx, c.conn) })
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("handshake: %w", err)
	case proto == protocol.Native:
		c.speaks(proto)
		return &native{c}, nil
	}
	if r := c.p.checkSecret(proto); r != nil {
		c.refused(r) // in the log only: whatever the peer were told, it would take for something else
		return nil, r
	}
	if proto == zrs.V20 || proto == zrs.V21 {
		c.speaks(proto)
		return newZrs2(c), nil
	}
	r := refuse(protocol.CodeProtocol, 0, "protocol %q is not supported here, only %s, %s and %s; %s",
		clean(proto), protocol.Native, zrs.V20, zrs.V21, sameVersion)
	c.refused(r)
	if !strings.HasPrefix(proto, "zrs2.") { // a zc.zrs secondary would take any answer for a transaction
		refusePreface(ctx, c.conn, r)
	}
	return nil, r
}

// authenticating bounds everything until a connection has proved who it is. It also ends when the primary begins to
// drain.
func (c *peer) authenticating(ctx context.Context) (context.Context, context.CancelFunc) {
	return c.p.before(ctx, c.until, c.p.opt.HandshakeTimeout)
}

// handshaking bounds a wait for the peer. It also ends when the primary begins to drain.
func (p *Primary) handshaking(ctx context.Context) (context.Context, context.CancelFunc) {
	return p.within(ctx, p.opt.HandshakeTimeout)
}

// within bounds what takes as long as d. It also ends when the primary begins to drain.
func (p *Primary) within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return p.before(ctx, time.Now().Add(d), d)
}

func (p *Primary) before(ctx context.Context, end time.Time, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithDeadlineCause(ctx, end, fmt.Errorf("the peer took longer than %v", d))
	ctx, abort := context.WithCancelCause(ctx)
	stop := context.AfterFunc(p.draining, func() { abort(errShutdown) })
	return ctx, func() {
		stop()
		abort(nil)
		cancel()
	}
}

// speaks takes the protocol that the secondary has chosen.
func (c *peer) speaks(proto string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.protocol = proto
}

// introduce takes the name by which the secondary is known from now on.
func (c *peer) introduce(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.name = clean(name)
	c.log = c.log.With("secondary", c.name)
	c.heard.Store(c.p.opt.now().UnixNano())
}

func (c *peer) refused(r *protocol.Refusal) {
	c.setState(StateRefused)
	c.p.refused(c.conn.RemoteAddr(), c.name, r)
}

// authenticate takes the first message of a secondary and returns its hello, which is the same one where there is no
// secret, and otherwise what follows when both sides have proved theirs. Not to do so is a *protocol.Refusal, which
// the caller sends.
func (c *peer) authenticate(ctx context.Context, control *protocol.Control, first any) (hello any, err error) {
	proposal, proposed := first.(*protocol.Authenticate)
	secret := c.p.opt.Secret
	switch {
	case len(secret) == 0 && proposed:
		return nil, refuse(protocol.CodeNotAuthorised, 0, "this secondary has a shared secret and the primary has "+
			"none; give the primary the same --secret-file, or start the secondary without")
	case len(secret) == 0:
		return first, nil
	case !proposed:
		return nil, refuse(protocol.CodeNotAuthorised, 0, "the primary lets in only who has its shared secret; start "+
			"the secondary with --secret-file")
	}
	if err := secret.Demand(ctx, control, proposal); err != nil {
		return nil, err
	}
	c.guard.Allow(helloBytes)
	control.Limit(helloBytes)
	return control.Receive(ctx)
}

// checkSecret refuses every protocol but the native one when there is a secret, for which they have no room.
func (p *Primary) checkSecret(proto string) *protocol.Refusal {
	if len(p.opt.Secret) == 0 {
		return nil
	}
	return refuse(protocol.CodeNotAuthorised, 0, "a peer with the protocol %q cannot prove that it has the shared "+
		"secret; replace it by a zrsd secondary, or start this primary without --secret-file", clean(proto))
}
