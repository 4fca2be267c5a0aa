package integration

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/daemon"
)

// asItIs makes a secondary take the data file of its primary as it is, however small it is.
var asItIs = []string{"--seed-threshold", "1"}

// mustHaveBeenSeeded checks that no transaction has come one by one.
func mustHaveBeenSeeded(t *testing.T, p *daemon.Process) {
	t.Helper()
	st, err := p.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if n := st.Totals.Applied.Transactions; n != 0 {
		t.Errorf("%d transactions came one by one", n)
	}
}

// What a secondary has that took the file as it is, is what the real ZODB sees in the primary, blobs and undone
// transactions included; so is the copy of zrsd seed.
func TestRealZODBReadsWhatASeededSecondaryWrote(t *testing.T) {
	for name, withBlobs := range bothWays {
		t.Run(name, func(t *testing.T) {
			source, target, copied := newSite(t, withBlobs), newSite(t, withBlobs), newSite(t, withBlobs)
			owner := startOwner(t, source)
			for _, command := range []string{
				"create 12", "commit 20", "undo", "pack", "create 3", "commit 10", "undo", "undo", "create 1", "undo",
				"commit 2",
			} {
				owner.do(t, command)
			}
			last := owner.close(t)
			addr := freeAddress(t)
			primary := start(t, "primary", source, "--replicate-to", addr)
			secondary := start(t, "secondary", target, append(asItIs, "--replicate-from", addr)...)
			mustReach(t, secondary, last)
			mustHaveBeenSeeded(t, secondary)
			mustRun(t, append([]string{"seed", "--from", addr}, copied.flags()...)...)
			stop(t, secondary)
			stop(t, primary)
			for _, s := range []*site{target, copied} {
				mustBeIdentical(t, source, s)
				if diff := cmp.Diff(surveyOf(t, source), surveyOf(t, s)); diff != "" {
					t.Errorf("ZODB sees another database in the copy (-primary +copy):\n%s", diff)
				}
				mustBeSound(t, s)
			}
		})
	}
}

func TestRandomKillsOfBothSidesWhileSeedingLeaveAPrefixOfThePrimary(t *testing.T) {
	d := seededRand(t)
	source, target := newSite(t, true), newSite(t, true)
	last := ownHistory(t, source, 1500)
	addr := freeAddress(t)
	limited := []string{"--replicate-to", addr, "--seed-rate", "4000000"}
	primary := start(t, "primary", source, limited...)
	for round := range rounds(20) {
		secondary := launch(t, "secondary", target, append(asItIs, "--replicate-from", addr)...)
		moment(within(t), d, 200*time.Millisecond)
		if d.IntN(3) == 0 {
			kill(t, primary)
			primary = start(t, "primary", source, limited...)
			moment(within(t), d, 200*time.Millisecond)
		}
		kill(t, secondary)
		n := mustBePrefix(t, target, source)
		t.Logf("round %d: the killed secondary had %d bytes of the history", round, n)
		if n == committed(t, source) {
			target = newSite(t, true)
		}
	}
	secondary := start(t, "secondary", target, append(asItIs, "--replicate-from", addr)...)
	mustReach(t, secondary, last)
	stop(t, secondary)
	mustBeIdentical(t, source, target)
}

// A seed takes parts from two nodes at once, one of which is killed and started again in the middle, and later the one
// whose data file is taken, so that the other one goes on in its place.
func TestASeedFromTwoNodesGoesOnWhicheverIsKilled(t *testing.T) {
	d := seededRand(t)
	source, second, target := newSite(t, true), newSite(t, true), newSite(t, true)
	last := ownHistory(t, source, 1500)
	addr, other := freeAddress(t), freeAddress(t)
	limited := []string{"--seed-rate", "4000000", "--replicate-to"}
	follows := append(append([]string{"--replicate-from", addr}, limited...), other)
	primary := start(t, "primary", source, append(limited, addr)...)
	secondary := start(t, "secondary", second, append(follows, "--seed-threshold", "0")...)
	mustReach(t, secondary, last)
	takes := append([]string{"--replicate-from", addr, "--seed-from", addr + "," + other}, asItIs...)
	for range rounds(4) {
		third := launch(t, "secondary", target, takes...)
		moment(within(t), d, 300*time.Millisecond)
		kill(t, secondary)
		moment(within(t), d, 300*time.Millisecond)
		secondary = start(t, "secondary", second, follows...)
		kill(t, primary)
		moment(within(t), d, 300*time.Millisecond)
		primary = start(t, "primary", source, append(limited, addr)...)
		kill(t, third)
		mustBePrefix(t, target, source)
	}
	third := start(t, "secondary", target, takes...)
	mustReach(t, third, last)
	stop(t, third)
	mustBeIdentical(t, source, target)
	mustBeSound(t, target)
}

// Of several nodes that a seed may take everything from, the primary may be lost: then it has what a secondary has, and
// does not look for a primary.
func TestASeedNeedsNoPrimaryAmongItsNodes(t *testing.T) {
	source, second, target := newSite(t, true), newSite(t, true), newSite(t, true)
	last := ownHistory(t, source, 100)
	addr, other := freeAddress(t), freeAddress(t)
	primary := start(t, "primary", source, "--replicate-to", addr)
	follows := start(t, "secondary", second, "--replicate-from", addr, "--replicate-to", other)
	mustReach(t, follows, last)
	kill(t, primary)
	out, err := exec.CommandContext(within(t), zrsd, "seed", "--from", addr+","+other, "--data", target.data,
		"--blobs", target.blobs).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "has everything up to transaction "+last.String()) {
		t.Errorf("%v: %s", err, out)
	}
	stop(t, follows)
	mustBeIdentical(t, source, target)
	mustBeSound(t, target)
}
