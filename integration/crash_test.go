package integration

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/internal/daemon"
)

// keepCommitting commits from a goroutine of its own until the returned function is called, which waits for its end.
func keepCommitting(t *testing.T, owner *workload.Owner) (rest func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var failure error
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil && failure == nil {
			_, failure = owner.Commit(context.WithoutCancel(ctx)) // a commit that has begun is finished
		}
	})
	return func() {
		t.Helper()
		cancel()
		wg.Wait()
		if failure != nil {
			t.Fatal(failure)
		}
	}
}

func TestRandomKillsOfEitherSideLoseNothingAndInventNothing(t *testing.T) {
	d := seededRand(t)
	source, target := newSite(t, true), newSite(t, true)
	storage := source.open(t)
	owner := newOwner(t, storage, d.Uint64())
	rest := keepCommitting(t, owner)
	addr := freeAddress(t)
	roles := []struct {
		site  *site
		role  string
		flags []string
		now   *daemon.Process
	}{
		{site: source, role: "primary", flags: []string{"--attach", "--replicate-to", addr}},
		{site: target, role: "secondary", flags: []string{"--replicate-from", addr}},
	}
	for i := range roles {
		roles[i].now = launch(t, roles[i].role, roles[i].site, roles[i].flags...)
	}
	for round := range rounds(20) {
		moment(within(t), d, 300*time.Millisecond)
		victim := &roles[d.IntN(len(roles))]
		t.Logf("round %d: kill -9 of the %s", round, victim.role)
		kill(t, victim.now)
		victim.now = launch(t, victim.role, victim.site, victim.flags...)
	}
	rest()
	secondary := roles[1].now
	mustReach(t, secondary, storage.LastTid())
	stop(t, secondary)
	mustBeIdentical(t, source, target)
	mustBeSound(t, target)
}

func TestRandomKillsWhileCatchingUpLeaveAPrefixOfThePrimary(t *testing.T) {
	d := seededRand(t)
	source, target := newSite(t, true), newSite(t, true)
	last := ownHistory(t, source, 1500)
	addr := freeAddress(t)
	start(t, "primary", source, "--replicate-to", addr)
	for round := range rounds(20) {
		secondary := launch(t, "secondary", target, "--replicate-from", addr)
		moment(within(t), d, 200*time.Millisecond)
		kill(t, secondary)
		n := mustBePrefix(t, target, source)
		t.Logf("round %d: the killed secondary had %d bytes of the history", round, n)
		if n == committed(t, source) {
			target = newSite(t, true)
		}
	}
	secondary := start(t, "secondary", target, "--replicate-from", addr)
	mustReach(t, secondary, last)
	stop(t, secondary)
	mustBeIdentical(t, source, target)
}
