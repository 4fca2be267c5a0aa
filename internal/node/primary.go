package node

import (
	"context"
	"crypto/rand"

	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
)

// addTo gives a member what runs it as this primary.
func (c *PrimaryConfig) addTo(m *member) {
	m.status = newNodeStatus(rolePrimary, &c.Config)
	if c.Attach {
		m.status.base.Storage.Attached = true
		m.session = func(ctx context.Context) error { return c.attach(ctx, m.status) }
		return
	}
	n := &replicated{
		c: &c.Config, cfg: c.following(), create: c.Create, starts: state.RolePrimary, status: m.status,
		pause: pause.For, self: rand.Text(),
	}
	m.session, m.replica = n.run, &n.now
}
