package node

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// reopenPause is how long a failed storage is left alone before it is opened again.
const reopenPause = 5 * time.Second

// addTo gives a member what runs it as this secondary.
func (c *SecondaryConfig) addTo(m *member) *replicated {
	m.status = newNodeStatus(roleSecondary, &c.Config)
	n := &replicated{c: &c.Config, cfg: *c, starts: state.RoleSecondary, status: m.status, pause: pause.For,
		self: rand.Text()}
	m.session, m.replica = n.run, &n.now
	return n
}

// run opens the storage again for as long as only that is needed. A primary that has lost its storage ends: it must
// not come back as one by itself, when another node may have taken its place.
func (n *replicated) run(ctx context.Context) error {
	if n.c.TLS == nil {
		for _, e := range n.cfg.ReplicateFrom {
			n.c.warnPlain("the primary is read", e)
		}
	}
	for {
		n.tail = nil
		err := n.session(ctx)
		if n.ran && interrupted(ctx, err) {
			return nil
		}
		if err == nil && ctx.Err() == nil && n.tail != nil {
			if !n.tail.noted {
				n.pause(ctx, reopenPause)
			}
			continue
		}
		if ctx.Err() != nil || !n.ran || n.led || !retryable(err) {
			return err
		}
		n.status.failed(err)
		n.status.waits("the storage failed, reopening it: " + err.Error())
		n.c.Logger.Error("the storage failed, reopening it", "error", err, "in", reopenPause)
		n.pause(ctx, reopenPause)
	}
}

// interrupted reports whether an error is only that the node was stopped while it opened its storage again.
func interrupted(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx)))
}

// retryable reports whether opening everything again may help: always, but for damage, for files that somebody moved
// under this node, and when nothing is wrong.
func retryable(err error) bool {
	var corrupt *zodb.CorruptError
	var displaced *filestorage.DisplacedError
	var failed *filestorage.FailedError
	var start *StartError
	return !errors.As(err, &corrupt) && !errors.As(err, &displaced) &&
		(errors.As(err, &failed) || errors.As(err, &start))
}

// firstWait is how soon the primary is looked for again. After a handover it is another node within milliseconds.
const firstWait = 20 * time.Millisecond

// options are how the primary is followed.
func (r *replica) options() secondary.Options {
	opt := secondary.Options{
		SharedBlobs: r.blobs.following(), Name: r.status.base.Name, Dial: r.c.dialServer,
		Secret: r.c.read.secret, ReplicationAddr: r.replicationAddr, Chain: r.position,
		Protocol: r.cfg.Protocol, KeepAliveDelay: r.cfg.KeepAliveDelay, NeedsIdentity: !r.c.ReplicateTo.IsZero(),
		MaxRecord: r.cfg.MaxRecord, MaxFrame: r.cfg.MaxFrame,
		HandshakeTimeout: r.c.HandshakeTimeout, StallTimeout: r.c.IdleTimeout,
		MinBackoff: firstWait, Logger: r.c.Logger,
	}
	opt.EpochsChanged = r.renew
	opt.Rewind = func(ctx context.Context, addr string) string {
		return r.c.rewindCommand(r.leaderFor(ctx, addr))
	}
	opt.Diverged = r.refusedAt
	if r.replicationAddr != "" && r.blobs.shared == nil {
		opt.Successor = r
	}
	return opt
}
