package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zrsd/zrsd/cluster/lease/etcd/etcdtest"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/drill/zeoclients"
)

// A soak is one cluster with real clients that goes through one failure after the other.
type soak struct {
	nodes       []*served
	clients     []*zeoclients.Clients
	sync        bool
	coordinator bool
	random      *rand.Rand
	primary     *served
	failures    map[string]int
	rewinds     int // by a person
}

// soakRounds is how many failures there are in CI, with one set-up.
const soakRounds = 2

// soakFor is for how long it goes on in the long run, with each of eight set-ups.
func soakFor(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("ZRSD_SOAK")
	if text == "" {
		return 15 * time.Minute
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("ZRSD_SOAK: %v", err)
	}
	return d
}

// TestRealClientsGoOnThroughManyFailures: real clients of both versions of ZEO, with one encoding or the other, with
// and without waiting for a secondary, with and without a coordinator, commit again after each failure, and in sync
// mode find all that they were told of. In the long run this takes two hours.
func TestRealClientsGoOnThroughManyFailures(t *testing.T) {
	random := seededRand(t)
	long := os.Getenv("ZRSD_LONG") == "1"
	var setups []int
	if setups = random.Perm(8); !long {
		setups = setups[:1]
	}
	for _, n := range setups {
		msgpack, sync, coordinator := n&1 > 0, n&2 > 0, n&4 > 0
		t.Run(fmt.Sprintf("msgpack %v, sync %v, coordinator %v", msgpack, sync, coordinator), func(t *testing.T) {
			s := newSoak(t, random, msgpack, sync, coordinator)
			begun := time.Now()
			for round := 0; round < soakRounds || long && time.Since(begun) < soakFor(t); round++ {
				s.round(t)
			}
			t.Logf("%v in %v; rewinds by a person: %d", s.failures, time.Since(begun).Round(time.Second), s.rewinds)
			s.longest(t)
			if s.sync && s.rewinds > 0 {
				t.Errorf("%d rewinds needed a person in sync mode", s.rewinds)
			}
		})
	}
}

func newSoak(t *testing.T, random *rand.Rand, msgpack, sync, coordinator bool) *soak {
	t.Helper()
	var more []string
	if sync {
		more = append(more, "sync-secondaries 1 of a, b, c")
	}
	if coordinator {
		etcd := etcdtest.New(t.TempDir(), nil)
		if err := etcd.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(etcd.Stop)
		more = append(more, "coordinator etcd://"+etcd.Address, "coordinator-ttl 5s")
	}
	s := &soak{nodes: servedThree(t, msgpack, more...), sync: sync, coordinator: coordinator, random: random,
		failures: make(map[string]int)}
	s.primary = s.nodes[0]
	s.clients = crowds(t, s.nodes)
	return s
}

// round has something fail, expects that all clients commit again, and that all nodes have everything in the end.
func (s *soak) round(t *testing.T) {
	t.Helper()
	failures := map[string]func(*testing.T){
		"killed":    func(t *testing.T) { t.Helper(); s.ends(t, syscall.SIGKILL) },
		"stopped":   func(t *testing.T) { t.Helper(); s.ends(t, syscall.SIGTERM) },
		"restarted": s.restarts,
		"frozen":    s.freezes,
		"handed":    s.handsOver,
		"secondary": s.losesASecondary,
	}
	names := []string{"killed", "stopped", "restarted", "frozen", "handed", "secondary"}
	name := names[s.random.IntN(len(names))]
	s.failures[name]++
	failures[name](t)
	mustCommit(t, s.clients, time.Now())
	s.redundant(t)
	for _, c := range s.clients {
		if lost := c.Lost(); len(lost) > 0 && s.sync {
			t.Fatalf("after %q ZEO %s lost: %s", name, c.Version, strings.Join(lost, "; "))
		}
	}
}

// others are the nodes but the primary, in any order.
func (s *soak) others() []*served {
	list := slices.DeleteFunc(slices.Clone(s.nodes), func(n *served) bool { return n == s.primary })
	s.random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// succeeded finds the new primary, or makes one.
func (s *soak) succeeded(t *testing.T) {
	t.Helper()
	ctx := within(t)
	for {
		for _, n := range s.others() {
			if !s.coordinator && exec.CommandContext(ctx, zrsd, "promote", n.admin()).Run() != nil {
				continue // another one is further
			}
			if st, err := n.Status(ctx); err == nil && st.Role == "primary" && st.Ready {
				s.primary = n
				return
			}
		}
		if ctx.Err() != nil {
			t.Fatal("nobody leads: ", context.Cause(ctx))
		}
		betweenQuestions(ctx)
	}
}

// betweenQuestions waits a moment, or until ctx ends.
func betweenQuestions(ctx context.Context) {
	select {
	case <-time.After(100 * time.Millisecond):
	case <-ctx.Done():
	}
}

func (s *soak) ends(t *testing.T, signal syscall.Signal) {
	t.Helper()
	former := s.primary
	if err := former.Signal(signal); err != nil {
		t.Fatal(err)
	}
	<-former.Exited()
	s.succeeded(t)
	mustCommit(t, s.clients, time.Now())
	former.start(t)
}

// restarts may be quicker than anybody notices.
func (s *soak) restarts(t *testing.T) {
	t.Helper()
	if err := s.primary.Kill(); err != nil {
		t.Fatal(err)
	}
	s.primary.start(t)
	if s.coordinator {
		s.led(t)
	}
}

// led finds who leads, the same node or another.
func (s *soak) led(t *testing.T) {
	t.Helper()
	ctx := within(t)
	for ctx.Err() == nil {
		for _, n := range s.nodes {
			if st, err := n.Status(ctx); err == nil && st.Role == "primary" && st.Ready {
				s.primary = n
				return
			}
		}
		betweenQuestions(ctx)
	}
	t.Fatal("nobody leads: ", context.Cause(ctx))
}

func (s *soak) freezes(t *testing.T) {
	t.Helper()
	former := s.primary
	if err := former.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.succeeded(t)
	if err := former.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

func (s *soak) handsOver(t *testing.T) {
	t.Helper()
	to := s.others()[0]
	zrsdDoes(t, "switchover", s.primary.admin(), to.admin())
	s.primary = to
}

func (s *soak) losesASecondary(t *testing.T) {
	t.Helper()
	n := s.others()[0]
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s.clients, time.Now())
	n.start(t)
}

// ownRewind is for how long a node is left alone that is refused: it may rewind itself.
const ownRewind = 3 * time.Second

// redundant waits until both others follow the primary. One that is refused is rewound, as an operator would.
func (s *soak) redundant(t *testing.T) {
	t.Helper()
	for _, n := range s.others() {
		for {
			st, err := n.Await(
				within(t),
				"it follows the primary, or is refused for good",
				func(st *admin.Status) bool {
					up := st.Upstream
					return up != nil && (up.State == "live" ||
						up.State == "refused" && up.Since != nil && st.Now.Sub(*up.Since) > ownRewind)
				},
			)
			if err != nil {
				t.Fatal(err)
			}
			if st.Upstream.State == "live" {
				break
			}
			s.rewinds++
			if err := n.Kill(); err != nil {
				t.Fatal(err)
			}
			zrsdDoes(t, "rewind", "--data", n.data, "--primary", s.primary.replication, "--yes", "--force")
			n.start(t)
		}
	}
}

// longest logs how long each client was told of no commit at most.
func (s *soak) longest(t *testing.T) {
	t.Helper()
	for _, c := range s.clients {
		t.Logf("ZEO %s: longest times without a commit: %v", c.Version, c.Pause())
	}
}
