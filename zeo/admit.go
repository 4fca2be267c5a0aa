package zeo

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/admission"
	"github.com/zrsd/zrsd/internal/warning"
)

const (
	maxUnregistered = 2048 // connections of all addresses that have not registered
	maxLines        = 1000 // a minute about clients that have
)

// A limiter tracks connections, and bounds what those cost that have not registered yet.
type limiter struct {
	clients    map[*client]struct{}
	registered int
	pending    *admission.Limiter
	logLimit   *admission.LogLimiter // about those that are pending
	rate       *admission.Rate       // of lines about the others
}

// admit makes a client of a connection, unless there are too many that have registered: then it is closed. Where too
// many have not registered, the oldest of them is closed for a new one.
func (s *Server) admit(conn net.Conn) *client {
	c := s.newClient(conn)
	s.mu.Lock()
	full := s.full()
	if full == nil {
		s.clients[c] = struct{}{}
	}
	s.mu.Unlock()
	if full != nil {
		admission.Cut(conn) // nothing was said
		c.stop()
		c.say(hclog.Warn, full, "refused a client", "reason", full, "warning", warning.ManyClients)
		return nil
	}
	c.pending.Enter()
	return c
}

// full says why no more can register.
func (s *Server) full() error {
	if s.registered < s.opt.MaxClients {
		return nil
	}
	return fmt.Errorf("%d clients are connected, which is the limit: raise max-clients if they are genuine",
		s.registered)
}

// Registered returns how many clients are registered, and how many may be.
func (s *Server) Registered() (clients, limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.registered, s.opt.MaxClients
}

func (s *Server) newClient(conn net.Conn) *client {
	c := &client{srv: s, conn: conn, since: time.Now(), over: make(chan error, 1)}
	w := &patientWriter{conn: conn, limit: s.opt.WriteTimeout, sent: &c.counters.sent}
	c.out = newOutbox(w, w.giveUp, s.opt.Backlog)
	c.slots, c.iterators.room = make(chan struct{}, maxBackground), s.warm
	c.source = admission.Source(conn.RemoteAddr())
	c.pending = s.pending.NewConn(c.source, c.makeWay)
	c.logWith()
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// makeWay ends a connection that has not registered, for another.
func (c *client) makeWay(why error) {
	c.say(hclog.Warn, why, "closed the oldest connection for a new one", "reason", why, "warning", warning.ManyClients)
	c.out.close(violation("%v", why))
	admission.Cut(c.conn)
}

// registers notes that a client has registered, unless there are too many clients.
func (s *Server) registers(c *client) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.known {
		return nil
	}
	if err := s.full(); err != nil {
		return violation("%v", err)
	}
	c.known = true
	s.registered++
	c.pending.Leave()
	return nil
}

func (s *Server) forget(c *client) {
	c.pending.Leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
	if c.known {
		s.registered--
	}
}

// say logs a line that a client can cause without limit. why distinguishes lines of unregistered connections; it may be
// nil.
func (c *client) say(level hclog.Level, why error, msg string, args ...any) {
	c.srv.mu.Lock()
	known := c.known
	c.srv.mu.Unlock()
	switch {
	case known:
		c.srv.rate.Log(c.logger(), level, msg, args...)
	case why != nil:
		c.srv.logLimit.Log(c.logger(), level, c.source, msg+admission.Kind(why), msg, args...)
	default:
		c.srv.logLimit.Log(c.logger(), level, c.source, msg, msg, args...)
	}
}
