package node

import (
	"context"
	"errors"
	"time"

	"github.com/zrsd/zrsd/admin"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// reopenPause is how long a failed storage is left alone before it is opened again.
const reopenPause = 5 * time.Second

// RunSecondary runs a secondary until ctx ends, stops it and returns nil. Otherwise it returns why it could not
// start or go on: *ConfigError, *StartError, or what failed.
func RunSecondary(ctx context.Context, cfg SecondaryConfig) error {
	if err := cfg.check(); err != nil {
		return err
	}
	n := &follower{cfg: cfg, face: newFace(roleSecondary, &cfg.Config), pause: pause}
	return run(ctx, &n.cfg.Config, n.face, n.run)
}

// A follower is a running secondary.
type follower struct {
	cfg  SecondaryConfig
	face *face
	ran  bool // everything could be opened once

	pause func(ctx context.Context, d time.Duration)
}

// run opens the storage again for as long as only that is needed.
func (n *follower) run(ctx context.Context) error {
	if n.cfg.TLS == nil {
		for _, e := range n.cfg.ReplicateFrom {
			n.cfg.warnPlain("the primary is read", e)
		}
	}
	for {
		err := n.session(ctx)
		if ctx.Err() != nil || !n.ran || !curable(err) {
			return err
		}
		n.face.failed(err)
		n.face.waits("the storage failed and will be opened again: " + err.Error())
		n.cfg.Logger.Error("the storage failed and will be opened again", "error", err, "in", reopenPause)
		n.pause(ctx, reopenPause)
	}
}

// curable reports whether opening everything again may help: always, but for damage and when nothing is wrong.
func curable(err error) bool {
	var corrupt *zodb.CorruptError
	var failed *filestorage.FailedError
	var start *StartError
	return !errors.As(err, &corrupt) && (errors.As(err, &failed) || errors.As(err, &start))
}

// session follows the primary with the storage opened once.
func (n *follower) session(ctx context.Context) (err error) {
	blobs, err := n.cfg.openBlobs(false)
	if err != nil {
		return err
	}
	st, err := n.cfg.openStorage(ctx, n.face, blobs, false)
	if err != nil {
		return err
	}
	defer func() {
		n.face.waits("the storage is closing")
		err = errors.Join(err, st.Close())
	}()
	defer n.cfg.offered(st)()
	id, err := n.cfg.loadIdentity()
	if err != nil {
		return err
	}
	sec := secondary.New(st, id, n.options(blobs))
	if n.cfg.ReplicateTo.IsZero() {
		n.ran = true
		n.face.opened(func(out *admin.Status) { showSecondary(out, st, sec.Status(), n.cfg.ReadyLag) })
		return sec.Run(ctx)
	}
	return n.chain(ctx, st, blobs, sec)
}

func (n *follower) options(blobs blobDir) secondary.Options {
	opt := secondary.Options{
		FS: n.cfg.FS, SharedBlobs: blobs.following(), Name: nodeName(n.cfg.Data), Dial: n.cfg.dialServer,
		Secret:   n.cfg.read.secret,
		Protocol: n.cfg.Protocol, KeepAliveDelay: n.cfg.KeepAliveDelay, NeedsIdentity: !n.cfg.ReplicateTo.IsZero(),
		MaxRecord: n.cfg.MaxRecord, MaxFrame: n.cfg.MaxFrame,
		HandshakeTimeout: n.cfg.HandshakeTimeout, StallTimeout: n.cfg.IdleTimeout,
		Logger: n.cfg.Logger,
	}
	for _, e := range n.cfg.ReplicateFrom {
		opt.Addresses = append(opt.Addresses, e.String())
	}
	return opt
}

// chain runs the secondary and feeds others meanwhile.
func (n *follower) chain(ctx context.Context, st *filestorage.Storage, blobs blobDir,
	sec *secondary.Secondary) error {
	ln, err := n.cfg.listenForServers(ctx)
	if err != nil {
		return err
	}
	fed := n.cfg.feed(st, ln, blobs, sec.Identity)
	n.ran = true
	n.face.opened(func(out *admin.Status) {
		showSecondary(out, st, sec.Status(), n.cfg.ReadyLag)
		showFed(out, fed.Status())
	})
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ran := make(chan error, 1)
	go func() { ran <- sec.Run(ctx) }()
	select {
	case err = <-ran:
		fed.drain()
		return errors.Join(err, <-fed.served)
	case err = <-fed.served:
		cancel(err)
		err = errors.Join(err, <-ran)
		fed.drain()
		return err
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
