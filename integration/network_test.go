package integration

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/zodb"
)

// troubled is the condition that a secondary has all up to last, or has met an error.
func troubled(last zodb.Tid) func(*admin.Status) bool {
	return func(s *admin.Status) bool {
		return s.LastTid() >= last || s.Upstream != nil && s.Upstream.LastError != nil
	}
}

// impatient lets a primary promise so many heartbeats that its secondaries soon notice when they do not arrive.
const impatient = "--heartbeat=300ms"

// suffer runs a secondary until it has met trouble or has everything, stops it, and expects that everything visible
// in its storage is the primary's. It reports how many bytes that is.
func suffer(t *testing.T, source, target *site, from string, last zodb.Tid) int64 {
	t.Helper()
	secondary := launch(t, "secondary", target, "--replicate-from", from)
	if _, err := secondary.Await(within(t), "it meets trouble", troubled(last)); err != nil {
		t.Fatal(err)
	}
	stop(t, secondary)
	return mustBePrefix(t, target, source)
}

// somewhere picks a place in the traffic of one connection, given how many bytes there are to transfer: mostly in the
// stream, often right at the beginning, where the handshake is, and at times in what the secondary sends.
func somewhere(d *rand.Rand, total int64) (direction string, offset int64) {
	switch d.IntN(4) {
	case 0:
		return towardsPrimary, d.Int64N(600)
	case 1:
		return towardsSecondary, d.Int64N(600)
	}
	return towardsSecondary, d.Int64N(total)
}

func TestRandomCutsLeaveNothingHalfAndAreResumedFrom(t *testing.T) {
	t.Parallel()
	d := seededRand(t)
	source, target := newSite(t, true), newSite(t, true)
	last, total := ownHistory(t, source, 200), sizeOf(t, source)
	addr := freeAddress(t)
	start(t, "primary", source, "--replicate-to", addr, impatient)
	for round := range rounds(20) {
		l := newLink(t, addr)
		direction, offset := somewhere(d, total)
		l.spoil(t, "limit_data", direction, map[string]any{"bytes": offset + 1})
		n := suffer(t, source, target, l.addr, last)
		t.Logf("round %d: cut after %d bytes %s: %d bytes are visible", round, offset+1, direction, n)
		if n == committed(t, source) {
			target = newSite(t, true)
		}
	}
	secondary := start(t, "secondary", target, "--replicate-from", addr)
	mustReach(t, secondary, last)
	stop(t, secondary)
	mustBeIdentical(t, source, target)
}

func TestRandomWrongBytesNeverBecomeVisible(t *testing.T) {
	t.Parallel()
	d := seededRand(t)
	source, target := newSite(t, true), newSite(t, true)
	last, total := ownHistory(t, source, 200), sizeOf(t, source)
	addr := freeAddress(t)
	start(t, "primary", source, "--replicate-to", addr, impatient)
	network := newTamperer(t, addr)
	for round := range rounds(20) {
		w := wound{bit: 1 << d.IntN(8)}
		w.direction, w.offset = somewhere(d, total)
		network.strike(w)
		n := suffer(t, source, target, network.addr, last)
		t.Logf("round %d: bit %#x flipped at %d %s: %d bytes are visible", round, w.bit, w.offset, w.direction, n)
		if n == committed(t, source) {
			target = newSite(t, true)
		}
	}
	network.strike(wound{})
	secondary := start(t, "secondary", target, "--replicate-from", network.addr)
	mustReach(t, secondary, last)
	stop(t, secondary)
	mustBeIdentical(t, source, target)
}

func TestACutSecondaryReconnectsByItself(t *testing.T) {
	t.Parallel()
	source, target := newSite(t, false), newSite(t, false)
	storage := source.open(t)
	owner := newOwner(t, storage, 1)
	addr := freeAddress(t)
	start(t, "primary", source, "--attach", "--replicate-to", addr, impatient)
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
	t.Parallel()
	source, target := newSite(t, false), newSite(t, false)
	storage := source.open(t)
	owner := newOwner(t, storage, 1)
	addr := freeAddress(t)
	primary := start(t, "primary", source, "--attach", "--replicate-to", addr, impatient)
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
	t.Parallel()
	source, target := newSite(t, true), newSite(t, true)
	last := ownHistory(t, source, 100)
	addr := freeAddress(t)
	start(t, "primary", source, "--replicate-to", addr, impatient)
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
	t.Parallel()
	source, slow, fast := newSite(t, true), newSite(t, true), newSite(t, true)
	storage := source.open(t)
	owner := newOwner(t, storage, 1)
	addr := freeAddress(t)
	primary := start(t, "primary", source, "--attach", "--replicate-to", addr, impatient)
	l := newLink(t, addr)
	l.spoil(t, "bandwidth", towardsSecondary, map[string]any{"rate": 20}) // KB per second
	behind := start(t, "secondary", slow, "--replicate-from", l.addr)
	ahead := start(t, "secondary", fast, "--replicate-from", addr)

	before, err := primary.PeakMemory() // the program's own pages are counted, too
	if err != nil {
		t.Fatal(err)
	}
	last := commitSome(t, owner, 300) // tens of MB
	mustReach(t, ahead, last)
	status, err := behind.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if status.LastTid() >= last {
		t.Fatal("the slow secondary was not slow: this story proves nothing")
	}
	peak, err := primary.PeakMemory()
	if err != nil {
		t.Fatal(err)
	}
	if limit := before + 24<<20; peak > limit {
		t.Errorf("the primary needed %d bytes of memory, at most %d are allowed", peak, limit)
	}
	t.Logf("memory: %d bytes before, %d with a slow secondary; the file has %d", before, peak, storage.Size())
	l.heal(t)
	mustReach(t, behind, last)
	stop(t, behind)
	stop(t, ahead)
	mustBeIdentical(t, source, slow)
	mustBeIdentical(t, source, fast)
}

func TestASecondaryThatCannotReachItsPrimaryTakesTheNextAddress(t *testing.T) {
	t.Parallel()
	source, target := newSite(t, false), newSite(t, false)
	last := ownHistory(t, source, 5)
	nobody, addr := freeAddress(t), freeAddress(t)
	start(t, "primary", source, "--replicate-to", addr, impatient)
	secondary := start(t, "secondary", target, "--replicate-from", strings.Join([]string{nobody, addr}, ","))
	mustReach(t, secondary, last)
}
