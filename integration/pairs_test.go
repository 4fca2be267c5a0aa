package integration

import (
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// A pair is who replicates from whom, and what.
type pair struct {
	from, to  *software
	withBlobs bool
}

// pairings are all that have to work, without blobs and with. The first shows that the stories themselves are right.
func pairings() map[string]pair {
	all := map[string]pair{}
	for name, withBlobs := range bothWays {
		for _, p := range []pair{
			{zcZRS, zcZRS, withBlobs},
			{zcZRS, zrsdBy("auto"), withBlobs},
			{zrsdBy("zrs2"), zcZRS, withBlobs},
			{zrsdBy("zrs2"), zrsdBy("zrs2"), withBlobs},
			{zrsdBy("native"), zrsdBy("native"), withBlobs},
		} {
			all[p.from.name+" to "+p.to.name+" "+name] = p
		}
	}
	return all
}

// sites are where the two keep their files.
func (p pair) sites(t *testing.T) (source, target *site) {
	t.Helper()
	return newSite(t, p.withBlobs), newSite(t, p.withBlobs)
}

// eachPair runs a test with all pairs at a time, each with sites of its own.
func eachPair(t *testing.T, test func(t *testing.T, p pair, source, target *site)) {
	t.Helper()
	for name, p := range pairings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, target := p.sites(t)
			test(t, p, source, target)
		})
	}
}

// everything lets the application do all that a FileStorage records, and returns the last tid.
func everything(t *testing.T, p primary) (last zodb.Tid) {
	t.Helper()
	for _, command := range []string{
		"create 12", "commit 10", "undo", "undo", "create 1", "undo", "large", "undo", "commit 3",
	} {
		last = p.do(t, command)
	}
	return last
}

func TestPairsReplicateEverythingBeforeAndAfterTheyMeet(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, p pair, source, target *site) {
		t.Helper()
		addr := freeAddress(t)
		first := p.from.primary(t, source, addr)
		last := everything(t, first)
		second := p.to.secondary(t, target, addr, "")
		second.reach(t, last)
		second.reach(t, everything(t, first))
		second.stop(t)
		first.stop(t)
		mustBeReplicated(t, source, target, p.to)
	})
}

func TestPairsGoOnWhereTheyWereWhenEitherSideIsRestartedOrKilled(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, p pair, source, target *site) {
		t.Helper()
		addr := freeAddress(t)
		first, second := p.from.primary(t, source, addr), p.to.secondary(t, target, addr, "")
		second.reach(t, first.do(t, "create 12"))

		second.stop(t)
		last := first.do(t, "commit 5")
		second = p.to.secondary(t, target, addr, "")
		second.reach(t, last)

		second.kill(t)
		last = first.do(t, "commit 5")
		second = p.to.secondary(t, target, addr, "")
		second.reach(t, last)

		first.stop(t)
		first = p.from.primary(t, source, addr)
		second.reach(t, first.do(t, "commit 5"))

		first.kill(t)
		first = p.from.primary(t, source, addr)
		second.reach(t, first.do(t, "commit 5"))

		second.stop(t)
		first.stop(t)
		mustBeReplicated(t, source, target, p.to)
	})
}

func TestAStreamGoesOnWhenThePrimaryIsPackedInTheMiddleOfIt(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, p pair, source, target *site) {
		t.Helper()
		addr := freeAddress(t)
		first := p.from.primary(t, source, addr)
		second := p.to.secondary(t, target, addr, "")
		second.reach(t, first.do(t, "create 12"))
		for range 2 {
			first.do(t, "commit 10")
			second.reach(t, first.do(t, "large"))
			first.do(t, "pack")
			second.reach(t, first.do(t, "commit 5"))
		}
		second.stop(t)
		first.stop(t)
		if committed(t, source) >= committed(t, target) {
			t.Error("the pack removed nothing: this story proves nothing")
		}
		mustHoldWhatIsLeftOf(t, source, target, p.to)
	})
}

// The bytes of an extension may change on the way, because the protocol carries what they say. That stays the same.
func TestTheMetadataOfTransactionsSayTheSameAfterwardsWhateverTheyHold(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, p pair, source, target *site) {
		t.Helper()
		addr := freeAddress(t)
		first, second := p.from.primary(t, source, addr), p.to.secondary(t, target, addr, "")
		first.do(t, "create 3")
		second.reach(t, first.do(t, "annotate"))
		second.stop(t)
		first.stop(t)
		mustSayTheSame(t, "all", source, target, []*software{p.to})
	})
}
