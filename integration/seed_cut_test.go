package integration

import (
	"testing"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
)

// seedHistory writes small blobs and large ones, and records, into a storage that no process has open.
func seedHistory(t *testing.T, s *site) {
	t.Helper()
	storage := s.open(t)
	for i, set := range []workload.Set{
		{Transactions: 300, Records: 3, RecordSize: 4000},
		{Transactions: 300, Records: 1, BlobMin: 1, BlobMax: 60 << 10},
		{Transactions: 8, Records: 1, BlobMin: 1 << 20, BlobMax: 8 << 20},
		{Transactions: 50, Records: 2, RecordSize: 20000},
	} {
		if err := workload.Fill(t.Context(), storage, set, uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := storage.Close(); err != nil {
		t.Fatal(err)
	}
}

// A seed is interrupted again and again: its connection is cut after some bytes, it is killed, or the primary is. What
// is there after each time is the beginning of the primary's, and at the end both are the same, blobs included.
func TestRandomInterruptionsOfASeedEndWithTheSameFiles(t *testing.T) {
	d := seededRand(t)
	source, target := newSite(t, true), newSite(t, true)
	seedHistory(t, source)
	addr := freeAddress(t)
	limited := []string{"--replicate-to", addr, "--seed-rate", "6000000"}
	primary := start(t, "primary", source, limited...)
	network := newLink(t, addr)
	kinds := map[string]int{}
	for round := range rounds(20) {
		kind := []string{"cut", "kill", "kill of the primary"}[d.IntN(3)]
		kinds[kind]++
		if kind == "cut" {
			network.spoil(t, "limit_data", towardsSecondary, map[string]any{"bytes": 1000 + d.IntN(4<<20)})
		}
		secondary := launch(t, "secondary", target, append(asItIs, "--replicate-from", network.addr)...)
		moment(within(t), d, 800*time.Millisecond)
		if kind == "kill of the primary" {
			kill(t, primary)
			primary = start(t, "primary", source, limited...)
		}
		network.heal(t) // while somebody reads: the proxy waits for ever to heal a link whose reader is gone
		kill(t, secondary)
		n := mustBePrefix(t, target, source)
		if n == committed(t, source) {
			t.Logf("round %d: it was complete, and begins again", round)
			target = newSite(t, true)
		}
	}
	t.Logf("interruptions: %v", kinds)
	mustRun(t, append([]string{"seed", "--from", network.addr}, target.flags()...)...)
	stop(t, primary)
	mustBeIdentical(t, source, target)
	mustBeSound(t, target)
}
