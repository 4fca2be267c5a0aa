package node

import (
	"context"
	"errors"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/admin"
)

// run puts around a session what both roles have: the admin server and the settings of the garbage collector.
func run(ctx context.Context, c *Config, f *face, session func(context.Context) error) (err error) {
	c.Logger.Info("starting", "role", f.base.Role, "version", f.base.Version, "name", f.base.Name)
	release, err := c.loadCredentials()
	if err != nil {
		return err
	}
	defer release()
	around, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	helpers.Go(func() { govern(around) })
	defer helpers.Wait()
	defer cancel(errStopped)
	if !c.Admin.IsZero() {
		ln, err := c.listenForAdmin(ctx)
		if err != nil {
			return err
		}
		c.Logger.Info("admin server listens", "address", ln.Addr().String())
		server := admin.Serve(ln, f, c.Logger.Named("admin"))
		defer func() { err = errors.Join(err, server.Close()) }()
	}
	err = session(ctx)
	logEnd(c.Logger, err)
	return err
}

func logEnd(log hclog.Logger, err error) {
	if err != nil {
		log.Error("ended by a failure", "error", err)
		return
	}
	log.Info("stopped")
}
