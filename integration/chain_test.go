package integration

import (
	"testing"

	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/zodb"
)

func TestEveryLinkOfAChainHasTheSameBytesWhoeverIsKilled(t *testing.T) {
	source, first, second, third := newSite(t, true), newSite(t, true), newSite(t, true), newSite(t, true)
	storage := source.open(t)
	owner := newOwner(t, storage, 1)
	a, b, c := freeAddress(t), freeAddress(t), freeAddress(t)
	start(t, "primary", source, "--attach", "--replicate-to", a)
	one := start(t, "secondary", first, "--replicate-from", a, "--replicate-to", b)
	two := start(t, "secondary", second, "--replicate-from", b, "--replicate-to", c)
	three := start(t, "secondary", third, "--replicate-from", c)

	mustReach(t, three, commitSome(t, owner, 20))
	kill(t, two)
	mustReach(t, one, commitSome(t, owner, 20))
	two = start(t, "secondary", second, "--replicate-from", b, "--replicate-to", c)
	mustReach(t, three, commitSome(t, owner, 20))
	kill(t, one)
	commitSome(t, owner, 20)
	one = start(t, "secondary", first, "--replicate-from", a, "--replicate-to", b)
	mustReach(t, three, commitSome(t, owner, 20))

	stop(t, three)
	stop(t, two)
	stop(t, one)
	for _, s := range []*site{first, second, third} {
		mustBeIdentical(t, source, s)
		mustAgree(t, source, s)
	}
}

// narrow is a network that makes a secondary take seconds, so that it is certainly after when the story goes on.
func narrow(t *testing.T, upstream string) *link {
	t.Helper()
	l := newLink(t, upstream)
	l.spoil(t, "bandwidth", towardsSecondary, map[string]any{"rate": 2000}) // KB per second
	return l
}

// mustBeBehind expects that the process lacks something of what ends with last.
func mustBeBehind(t *testing.T, p *daemon.Process, last zodb.Tid) {
	t.Helper()
	status, err := p.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if status.LastTid() >= last {
		t.Fatal("the secondary has everything already: this story proves nothing")
	}
}

func TestAPrimaryThatIsToldToStopLetsItsSecondariesCatchUpFirst(t *testing.T) {
	source, target := newSite(t, true), newSite(t, true)
	last := ownHistory(t, source, 300)
	addr := freeAddress(t)
	primary := start(t, "primary", source, "--replicate-to", addr)
	secondary := start(t, "secondary", target, "--replicate-from", narrow(t, addr).addr, "--seed-threshold", "0")
	if _, err := primary.Await(within(t), "the secondary gets transactions", serves(1)); err != nil {
		t.Fatal(err)
	}
	mustBeBehind(t, secondary, last)
	stop(t, primary)
	mustHave(t, secondary, last)
	stop(t, secondary)
	mustBeIdentical(t, source, target)
}

func TestASecondaryThatIsToldToStopLetsTheNextOneCatchUpFirst(t *testing.T) {
	source, middle, target := newSite(t, true), newSite(t, true), newSite(t, true)
	last := ownHistory(t, source, 300)
	a, b := freeAddress(t), freeAddress(t)
	start(t, "primary", source, "--replicate-to", a)
	one := start(t, "secondary", middle, "--replicate-from", a, "--replicate-to", b)
	mustReach(t, one, last)
	two := start(t, "secondary", target, "--replicate-from", narrow(t, b).addr, "--seed-threshold", "0")
	if _, err := one.Await(within(t), "the next one gets transactions", serves(1)); err != nil {
		t.Fatal(err)
	}
	mustBeBehind(t, two, last)
	stop(t, one)
	mustHave(t, two, last)
}
