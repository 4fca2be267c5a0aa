package integration

import (
	"testing"

	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/zodb"
)

// A server is one member of a replication, whichever software it runs.
type server interface {
	reach(t *testing.T, tid zodb.Tid) // waits until it shows tid
	last(t *testing.T) zodb.Tid       // what it shows
	stop(t *testing.T)                // as its operator does
	kill(t *testing.T)                // as a power failure does
}

// A primary is the first member, with the application that writes there.
type primary interface {
	server
	do(t *testing.T, command string) zodb.Tid // what application.py knows
}

// A software is what members are made of.
type software struct {
	name      string
	primary   func(t *testing.T, s *site, to string) primary
	secondary func(t *testing.T, s *site, from, to string) server // to may be empty
	// forgetsEmptyBlobs: a secondary makes no file for a blob of no bytes, and cannot pass one on.
	forgetsEmptyBlobs bool
}

// zcZRS is the real one.
var zcZRS = &software{
	name: "zc.zrs",
	primary: func(t *testing.T, s *site, to string) primary {
		t.Helper()
		return startZcZRS(t, s, "--to", to)
	},
	secondary: func(t *testing.T, s *site, from, to string) server {
		t.Helper()
		if to == "" {
			return startZcZRS(t, s, "--from", from)
		}
		return startZcZRS(t, s, "--from", from, "--to", to)
	},
	forgetsEmptyBlobs: true,
}

// zrsdBy is zrsd whose secondaries speak the protocol with their primary: native, zrs2, or auto, which finds out.
func zrsdBy(protocol string) *software {
	return &software{
		name: "zrsd by " + protocol,
		primary: func(t *testing.T, s *site, to string) primary {
			t.Helper()
			owner := startOwner(t, s)
			return &zrsdPrimary{owner, zrsdServer{start(t, "primary", s, "--attach", "--replicate-to", to)}}
		},
		secondary: func(t *testing.T, s *site, from, to string) server {
			t.Helper()
			flags := []string{"--replicate-from", from, "--protocol", protocol}
			if to != "" {
				flags = append(flags, "--replicate-to", to)
			}
			return zrsdServer{start(t, "secondary", s, flags...)}
		},
	}
}

// zcZRSServer is a server with the real zc.zrs; a primary is its own application.
type zcZRSServer struct{ *pyProcess }

func startZcZRS(t *testing.T, s *site, flags ...string) zcZRSServer {
	t.Helper()
	return zcZRSServer{startPython(t, "zrs", "zrs_peer.py", append(flags, s.args()...)...)}
}

func (p zcZRSServer) reach(t *testing.T, tid zodb.Tid) {
	t.Helper()
	p.do(t, "reach "+tid.String())
}

func (p zcZRSServer) last(t *testing.T) zodb.Tid {
	t.Helper()
	return p.do(t, "last")
}

func (p zcZRSServer) stop(t *testing.T) {
	t.Helper()
	p.close(t)
}

// zrsdServer is a server with zrsd.
type zrsdServer struct{ *daemon.Process }

func (p zrsdServer) reach(t *testing.T, tid zodb.Tid) {
	t.Helper()
	mustReach(t, p.Process, tid)
}

func (p zrsdServer) last(t *testing.T) zodb.Tid {
	t.Helper()
	status, err := p.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return status.LastTid()
}

func (p zrsdServer) stop(t *testing.T) {
	t.Helper()
	stop(t, p.Process)
}

func (p zrsdServer) kill(t *testing.T) {
	t.Helper()
	kill(t, p.Process)
}

// zrsdPrimary is zrsd beside the Python process that writes the files.
type zrsdPrimary struct {
	owner *pyProcess
	zrsdServer
}

func (p *zrsdPrimary) do(t *testing.T, command string) zodb.Tid {
	t.Helper()
	return p.owner.do(t, command)
}

func (p *zrsdPrimary) stop(t *testing.T) {
	t.Helper()
	p.owner.close(t)
	p.zrsdServer.stop(t)
}

func (p *zrsdPrimary) kill(t *testing.T) {
	t.Helper()
	p.owner.kill(t)
	p.zrsdServer.kill(t)
}
