package integration

import (
	"strings"
	"testing"

	"github.com/zrsd/zrsd/admin"
	"github.com/zrsd/zrsd/integration/daemon"
	"github.com/zrsd/zrsd/zodb"
)

// troubled is the condition that a secondary has all up to last, or has met an error.
func troubled(last zodb.Tid) func(*admin.Status) bool {
	return func(s *admin.Status) bool {
		return daemon.LastTid(s) >= last || s.Upstream != nil && s.Upstream.LastError != nil
	}
}

// suffer runs a secondary until it has met trouble or has everything, stops it, and expects that everything visible
// in its storage is the primary's. It reports how many bytes that is.
func suffer(t *testing.T, source, target *site, from string, last zodb.Tid) int64 {
	t.Helper()
	secondary := launch(t, "secondary", target, "--replicate-from", from)
	if _, err := secondary.Await(within(t), "it meets trouble", troubled(last)); err != nil {
		t.Fatal(err)
	}
	kill(t, secondary)
	return mustBePrefix(t, target, source)
}

func TestRandomCutsLeaveNothingHalfAndAreResumedFrom(t *testing.T) {
	d := dice(t)
	source, target := newSite(t, true), newSite(t, true)
	last := ownHistory(t, source, 200)
	addr := freeAddress(t)
	start(t, "primary", source, "--replicate-to", addr)
	for round := range rounds(20) {
		l := newLink(t, addr)
		direction, limit := towardsSecondary, 1+d.Int64N(2<<d.IntN(20))
		if d.IntN(4) == 0 {
			direction, limit = towardsPrimary, 1+d.Int64N(600)
		}
		l.spoil(t, "limit_data", direction, map[string]any{"bytes": limit})
		n := suffer(t, source, target, l.addr, last)
		t.Logf("round %d: cut after %d bytes %s: %d bytes are visible", round, limit, direction, n)
	}
	secondary := start(t, "secondary", target, "--replicate-from", addr)
	mustReach(t, secondary, last)
	stop(t, secondary)
	mustBeIdentical(t, source, target)
}

func TestRandomWrongBytesNeverBecomeVisible(t *testing.T) {
	d := dice(t)
	source, target := newSite(t, true), newSite(t, true)
	last := ownHistory(t, source, 100)
	addr := freeAddress(t)
	start(t, "primary", source, "--replicate-to", addr)
	network := newTamperer(t, addr)
	for round := range rounds(20) {
		w := wound{direction: towardsSecondary, offset: d.Int64N(2 << d.IntN(20)), bit: 1 << d.IntN(8)}
		if d.IntN(4) == 0 {
			w.direction, w.offset = towardsPrimary, d.Int64N(600)
		}
		network.strike(w)
		if d.IntN(4) == 0 {
			target = newSite(t, true)
		}
		n := suffer(t, source, target, network.addr, last)
		t.Logf("round %d: bit %#x flipped at %d %s: %d bytes are visible", round, w.bit, w.offset, w.direction, n)
	}
	network.strike(wound{})
	secondary := start(t, "secondary", target, "--replicate-from", network.addr)
	mustReach(t, secondary, last)
	stop(t, secondary)
	mustBeIdentical(t, source, target)
}

func TestACutSecondaryReconnectsByItself(t *testing.T) {
	source, target := newSite(t, false), newSite(t, false)
	storage := source.open(t)
	owner := newOwner(t, storage, 1)
	addr := freeAddress(t)
	start(t, "primary", source, "--attach", "--replicate-to", addr)
	l := newLink(t, addr)
	secondary := start(t, "secondary", target, "--replicate-from", l.addr)
	mustReach(t, secondary, storage.LastTid())
	for range 3 {
		l.spoil(t, "limit_data", towardsSecondary, map[string]any{"bytes": 1})
		last := commitSome(t, owner, 5)
		l.heal(t)
		mustReach(t, secondary, last)
	}
	stop(t, secondary)
	mustBeIdentical(t, source, target)
}

func TestAHalfOpenConnectionIsNoticedAndReplaced(t *testing.T) {
	source, target := newSite(t, false), newSite(t, false)
	storage := source.open(t)
	owner := newOwner(t, storage, 1)
	addr := freeAddress(t)
	primary := start(t, "primary", source, "--attach", "--replicate-to", addr)
	l := newLink(t, addr)
	secondary := start(t, "secondary", target, "--replicate-from", l.addr)
	mustReach(t, secondary, storage.LastTid())

	for _, direction := range []string{towardsSecondary, towardsPrimary} {
		l.spoil(t, "timeout", direction, map[string]any{"timeout": 0})
	}
	last := commitSome(t, owner, 5)
	if _, err := secondary.Await(within(t), "it gives the connection up", func(s *admin.Status) bool {
		return s.Upstream.LastError != nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := primary.Await(within(t), "it gives the secondary up", func(s *admin.Status) bool {
		return len(s.Secondaries) == 0
	}); err != nil {
		t.Fatal(err)
	}
	l.heal(t)
	mustReach(t, secondary, last)
	stop(t, secondary)
	mustBeIdentical(t, source, target)
}

func TestDelayAndJitterChangeNothingButTheTime(t *testing.T) {
	source, target := newSite(t, true), newSite(t, true)
	last := ownHistory(t, source, 100)
	addr := freeAddress(t)
	start(t, "primary", source, "--replicate-to", addr)
	l := newLink(t, addr)
	for _, direction := range []string{towardsPrimary, towardsSecondary} {
		l.spoil(t, "latency", direction, map[string]any{"latency": 40, "jitter": 20})
		l.spoil(t, "slicer", direction, map[string]any{"average_size": 5000, "size_variation": 4900, "delay": 10})
	}
	secondary := start(t, "secondary", target, "--replicate-from", l.addr)
	mustReach(t, secondary, last)
	stop(t, secondary)
	mustBeIdentical(t, source, target)
}

func TestASlowSecondaryHoldsUpNobodyAndCostsThePrimaryNoMemory(t *testing.T) {
	source, slow, fast := newSite(t, true), newSite(t, true), newSite(t, true)
	storage := source.open(t)
	owner := newOwner(t, storage, 1)
	addr := freeAddress(t)
	primary := start(t, "primary", source, "--attach", "--replicate-to", addr)
	l := newLink(t, addr)
	l.spoil(t, "bandwidth", towardsSecondary, map[string]any{"rate": 20}) // KB per second
	behind := start(t, "secondary", slow, "--replicate-from", l.addr)
	ahead := start(t, "secondary", fast, "--replicate-from", addr)

	last := commitSome(t, owner, 300) // tens of MB
	mustReach(t, ahead, last)
	status, err := behind.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if daemon.LastTid(status) >= last {
		t.Fatal("the slow secondary was not slow: this story proves nothing")
	}
	peak, err := primary.PeakMemory()
	if err != nil {
		t.Fatal(err)
	}
	if limit := int64(64 << 20); peak > limit {
		t.Errorf("the primary needed %d bytes of memory, at most %d are allowed", peak, limit)
	}
	l.heal(t)
	mustReach(t, behind, last)
	stop(t, behind)
	stop(t, ahead)
	mustBeIdentical(t, source, slow)
	mustBeIdentical(t, source, fast)
}

func TestASecondaryThatCannotReachItsPrimaryTakesTheNextAddress(t *testing.T) {
	source, target := newSite(t, false), newSite(t, false)
	last := ownHistory(t, source, 5)
	nobody, addr := freeAddress(t), freeAddress(t)
	start(t, "primary", source, "--replicate-to", addr)
	secondary := start(t, "secondary", target, "--replicate-from", strings.Join([]string{nobody, addr}, ","))
	mustReach(t, secondary, last)
}
