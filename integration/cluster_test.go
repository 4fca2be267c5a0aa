package integration

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/zodb"
)

// patience ends every wait of a story. It is no measure of speed: a healthy run never comes near it.
const patience = 2 * time.Minute

// within returns a context for the steps of one story.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, fmt.Errorf("patience of %v is over", patience))
	t.Cleanup(cancel)
	return ctx
}

// freeAddress returns a TCP address that a process of the story can listen on, again after each restart.
func freeAddress(t *testing.T) string {
	t.Helper()
	addr, err := endpoint.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// start runs zrsd with the role and flags on the site and waits until it answers. It is killed when the test ends; when
// the test has failed, its log is shown.
func start(t *testing.T, role string, s *site, flags ...string) *daemon.Process {
	t.Helper()
	p := launch(t, role, s, flags...)
	if err := p.Up(within(t)); err != nil {
		t.Fatal(err)
	}
	return p
}

// launch runs zrsd without waiting for anything.
func launch(t *testing.T, role string, s *site, flags ...string) *daemon.Process {
	t.Helper()
	args := append(append([]string{role}, s.flags()...), flags...)
	p, err := daemon.Start(zrsd, filepath.Join(s.dir, "admin"), nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of zrsd %s on %s:\n%s", role, s.dir, p.Log().Tail())
		}
	})
	return p
}

// stop drains a process and expects a clean end.
func stop(t *testing.T, p *daemon.Process) {
	t.Helper()
	code, err := p.Stop(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if code != 0 {
		t.Fatalf("exit code %d after SIGTERM, want 0\n%s", code, p.Log().Tail())
	}
}

func kill(t *testing.T, p *daemon.Process) {
	t.Helper()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
}

func mustReach(t *testing.T, p *daemon.Process, tid zodb.Tid) {
	t.Helper()
	if err := p.Reached(within(t), tid); err != nil {
		t.Fatal(err)
	}
}

// mustHave expects that tid is the last transaction that the process shows.
func mustHave(t *testing.T, p *daemon.Process, tid zodb.Tid) {
	t.Helper()
	status, err := p.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := status.LastTid(); got != tid {
		t.Errorf("last tid is %v, want %v", got, tid)
	}
}

// newerThan is the condition that a node has a transaction above tid.
func newerThan(tid zodb.Tid) func(*admin.Status) bool {
	return func(s *admin.Status) bool { return s.LastTid() > tid }
}

// serves is the condition that n secondaries have been accepted and get transactions.
func serves(n int) func(*admin.Status) bool {
	return func(s *admin.Status) bool {
		fed := 0
		for _, secondary := range s.Secondaries {
			if secondary.State == "catching-up" || secondary.State == "live" {
				fed++
			}
		}
		return fed == n
	}
}
