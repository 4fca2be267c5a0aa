package zeo

import (
	"context"
	"fmt"
	"net"
	"time"
)

// A guests is who is connected, and how many of those have not registered yet.
type guests struct {
	clients   map[*client]struct{}
	strangers map[string]int // by host
	turned    int            // away since the last line about it
	said      time.Time
}

// admit makes a client of a connection, unless there are too many.
func (s *Server) admit(conn net.Conn) (*client, error) {
	host := hostOf(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.clients) >= s.opt.MaxClients:
		return nil, fmt.Errorf("%d clients are connected, more are not let in: raise max-clients if they are genuine",
			len(s.clients))
	case s.strangers[host] >= s.opt.MaxStrangers:
		return nil, fmt.Errorf("%d connections of this address have not registered yet, more are not let in: find out "+
			"who they are, or raise max-per-address", s.strangers[host])
	}
	c := s.newClient(conn)
	c.stranger = host
	s.clients[c] = struct{}{}
	s.strangers[host]++
	return c, nil
}

// hostOf returns what counts as one address: all who come over a Unix socket are one.
func hostOf(conn net.Conn) string {
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		return ""
	}
	return host
}

func (s *Server) newClient(conn net.Conn) *client {
	w := &patientWriter{conn: conn, limit: s.opt.WriteTimeout}
	c := &client{srv: s, conn: conn, since: time.Now(), out: newOutbox(w, w.giveUp, s.opt.Backlog)}
	c.slots = make(chan struct{}, maxBackground)
	c.logWith()
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// registered notes that a client is a stranger no more.
func (s *Server) registered(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noStranger(c)
}

func (s *Server) noStranger(c *client) {
	if c.known {
		return
	}
	c.known = true
	if s.strangers[c.stranger]--; s.strangers[c.stranger] == 0 {
		delete(s.strangers, c.stranger)
	}
}

func (s *Server) forget(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
	s.noStranger(c)
}

// turnedAwayPause is the least time between two lines about connections that were turned away.
const turnedAwayPause = time.Minute

// turnAway closes a connection that is one too many.
func (s *Server) turnAway(conn net.Conn, why error) {
	_ = conn.Close() // nothing was said
	s.mu.Lock()
	s.turned++
	turned := s.turned
	quiet := time.Since(s.said) < turnedAwayPause
	if !quiet {
		s.turned, s.said = 0, time.Now()
	}
	s.mu.Unlock()
	if !quiet {
		s.log.Warn("a client was turned away", "client", conn.RemoteAddr().String(), "reason", why,
			"turned_away", turned)
	}
}
