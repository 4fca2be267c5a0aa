package integration

import (
	"testing"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// meet lets a pair replicate a first history, up to before, through a network and stops the secondary; then the
// application writes one transaction of megabytes, the last.
func (p pair) meet(t *testing.T, source, target *site) (first primary, network *tamperer, before, last zodb.Tid) {
	t.Helper()
	addr := freeAddress(t)
	first = p.from.primary(t, source, addr)
	network = newTamperer(t, addr)
	second := p.to.secondary(t, target, network.addr, "")
	before = first.do(t, "create 12")
	second.reach(t, before)
	second.stop(t)
	return first, network, before, first.do(t, "large")
}

// withinTheLargeOne is an offset in the traffic of a connection that begins with the large transaction.
const withinTheLargeOne = 1 << 20

func TestNothingOfATransactionIsVisibleAfterAWrongByteOrACutInTheMiddleOfIt(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, p pair, source, target *site) {
		t.Helper()
		first, network, before, last := p.meet(t, source, target)

		network.strike(wound{direction: towardsSecondary, offset: withinTheLargeOne, harm: flip, bit: 0x10})
		second := p.to.secondary(t, target, network.addr, "")
		network.awaitWound(t)
		network.strike(wound{direction: towardsSecondary, offset: withinTheLargeOne, harm: cut})
		network.awaitWound(t) // the secondary has found the wrong byte and asked again
		network.awaitWound(t) // and again after the cut
		if got := second.last(t); got != before {
			t.Errorf("the secondary shows %v, of a transaction that never arrived whole; want %v", got, before)
		}
		network.strike(wound{})
		second.reach(t, last)
		second.reach(t, first.do(t, "commit 3"))
		second.stop(t)
		first.stop(t)
		mustBeReplicated(t, source, target, p.to)
	})
}

func TestAPairGoesOnAfterEitherSideEndedInTheMiddleOfATransaction(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, p pair, source, target *site) {
		t.Helper()
		first, network, before, last := p.meet(t, source, target)
		interrupted := func() server {
			network.strike(wound{direction: towardsSecondary, offset: withinTheLargeOne, harm: lose})
			second := p.to.secondary(t, target, network.addr, "")
			network.awaitWound(t)
			if got := second.last(t); got != before {
				t.Fatalf("the secondary shows %v, want %v", got, before)
			}
			return second
		}
		interrupted().kill(t)
		interrupted().stop(t)
		second := interrupted()
		network.strike(wound{})
		first.kill(t)
		first = p.from.primary(t, source, network.upstream)
		second.reach(t, last)
		second.reach(t, first.do(t, "commit 3"))
		second.stop(t)
		first.stop(t)
		mustBeReplicated(t, source, target, p.to)
	})
}

// end kills a secondary at any moment, if it stands that. A zc.zrs that was killed between the vote and the end of a
// transaction believes that it has it, because FileStorage.lastTransaction says so when it has removed the torn tail.
// It asks for what comes after, and lacks that transaction for ever.
func (p pair) end(t *testing.T, second server) {
	t.Helper()
	if p.to == zcZRS {
		second.stop(t)
	} else {
		second.kill(t)
	}
}

func TestRandomKillsAndCutsLeavePairsEqual(t *testing.T) {
	t.Parallel()
	for name, p := range pairings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := seededRand(t)
			source, target := p.sites(t)
			addr := freeAddress(t)
			network := newTamperer(t, addr)
			first, second := p.from.primary(t, source, addr), p.to.secondary(t, target, network.addr, "")
			first.do(t, "create 12")
			for range rounds(2) {
				first.do(t, "commit 10")
				first.do(t, "large")
				moment(t.Context(), d, 50*time.Millisecond)
				switch d.IntN(4) {
				case 0:
					p.end(t, second)
					second = p.to.secondary(t, target, network.addr, "")
				case 1:
					first.kill(t)
					first = p.from.primary(t, source, addr)
				default:
					network.cutAll()
				}
			}
			second.reach(t, first.do(t, "commit 1"))
			second.stop(t)
			first.stop(t)
			mustBeReplicated(t, source, target, p.to)
		})
	}
}
