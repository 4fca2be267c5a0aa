package node

import (
	"context"
	"crypto/rand"

	"github.com/zrsd/zrsd/internal/identity"
)

// staff gives a member what runs it as this primary.
func (c *PrimaryConfig) staff(m *member) {
	m.face = newFace(rolePrimary, &c.Config)
	if c.Attach {
		m.face.base.Storage.Attached = true
		m.session = func(ctx context.Context) error { return c.attach(ctx, m.face) }
		return
	}
	n := &replicated{
		c: &c.Config, cfg: c.following(), create: c.Create, starts: identity.RolePrimary, face: m.face, pause: pause,
		self: rand.Text(),
	}
	m.session, m.replica = n.run, &n.now
}
