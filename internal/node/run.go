package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/warning"
)

// A member is one storage of a process, with what runs it.
type member struct {
	name    string // "" where there is only one
	storage string // as clients ask for it; "" where there are none
	c       *Config
	status  *nodeStatus
	session func(context.Context) error
	packer  *packer                  // nil: there is no schedule
	now     *atomic.Pointer[session] // what changes its role, while it is open; nil: it has one role for good
}

// runAll puts around sessions what they share: the admin server, which c describes, the settings of the garbage
// collector, and the front, if any.
func runAll(ctx context.Context, c *Config, members []*member, front front) (err error) {
	for _, m := range members {
		c.Logger.Info(
			"starting",
			"role",
			m.status.base.Role,
			"version",
			m.status.base.Version,
			"name",
			m.status.base.Name,
		)
	}
	for _, m := range members {
		m.c.verifier = m.c.newVerifier()
		m.c.healer = newHealer(m.c)
		m.status.verifier, m.status.healer = m.c.verifier, m.c.healer
		if m.packer = newPacker(m.c, m.status); m.packer != nil {
			m.status.packs = m.packer.plan
		}
	}
	if first := members[0]; first.c != c { // what all share is told of once
		first.status.configs = append(first.status.configs, c)
	}
	release, err := loadAll(c, members)
	if err != nil {
		return err
	}
	defer release()
	around, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	helpers.Go(func() { tuneGC(around) })
	helpers.Go(func() { tellSupervisor(around, ctx, c, members, front) })
	helpers.Go(func() { verifyAll(around, members) })
	defer helpers.Wait()
	defer cancel(errStopped)
	ln, err := c.listenForAdmin(ctx, members)
	if err != nil {
		return err
	}
	if ln != nil {
		c.Logger.Info("the admin server is listening", "address", ln.Addr().String())
		server := admin.Serve(
			ln,
			sourceOf(members),
			&control{members, front},
			c.Logger.Named("admin"),
			c.adminNames()...)
		defer func() { err = errors.Join(err, server.Close()) }()
	}
	for _, m := range members {
		helpers.Go(func() { m.c.healer.run(around) })
		helpers.Go(func() { m.c.watchOver(around) })
		helpers.Go(func() { m.logWarnings(around) })
		if m.packer != nil {
			helpers.Go(func() { m.packer.run(around) })
		}
	}
	err = untilHung(ctx, members, front)
	logEnd(c.Logger, err)
	return err
}

// loadAll reads the credentials of the admin server and of every member.
func loadAll(c *Config, members []*member) (release func(), err error) {
	var ends []func()
	release = func() {
		for _, end := range ends {
			end()
		}
	}
	configs := []*Config{c}
	for _, m := range members {
		if m.c != c {
			configs = append(configs, m.c)
		}
	}
	for _, one := range configs {
		end, err := one.loadCredentials()
		if err != nil {
			release()
			return nil, err
		}
		ends = append(ends, end)
	}
	end, err := members[0].c.loadFront() // all have the same one
	if err != nil {
		release()
		return nil, err
	}
	ends = append(ends, end)
	return release, nil
}

// together runs all members and the front until ctx ends or one of them does. The front ends first, so that no client
// uses a storage that closes.
func together(ctx context.Context, members []*member, front front) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	storages, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	failures := make(chan error, len(members)+1)
	var open, served sync.WaitGroup
	for _, m := range members {
		open.Go(func() {
			err := m.named(besidesStop(storages, m.session(storages)))
			failures <- err
			cancel(err)
		})
	}
	serving, shut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer shut(nil)
	if front != nil {
		served.Go(func() {
			err := besidesStop(serving, front.Serve(serving))
			failures <- err
			cancel(err)
		})
	}
	<-ctx.Done()
	for _, m := range members {
		m.c.leaving.Store(true)
	}
	shut(context.Cause(ctx))
	served.Wait()
	stop(context.Cause(ctx))
	open.Wait()
	close(failures)
	var all []error
	for err := range failures {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// besidesStop returns what an error says beside that it was told to stop, which may come while a storage is opened:
// that something could not be closed, for example. Nil: nothing.
func besidesStop(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		parts := joined.Unwrap()
		var rest []error
		for _, part := range parts {
			if left := besidesStop(ctx, part); left != nil {
				rest = append(rest, left)
			}
		}
		if len(rest) < len(parts) {
			return errors.Join(rest...)
		}
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx)) {
		return nil
	}
	return err
}

// named says which storage an error is about, where there are several.
func (m *member) named(err error) error {
	if err == nil || m.name == "" {
		return err
	}
	return fmt.Errorf("storage %s: %w", m.name, err)
}

func logEnd(log hclog.Logger, err error) {
	if err != nil {
		log.Error("stopped by an error", "error", err, "warning", warning.Stopped)
		return
	}
	log.Info("stopped")
}
