package node

import (
	"context"
	"runtime/debug"
	"testing"
)

func TestGarbageIsHeldToAConstantSlack(t *testing.T) {
	for live, want := range map[uint64]int{
		0:         maxGCPercent, // before the first collection
		4 << 20:   maxGCPercent,
		16 << 20:  100,
		64 << 20:  25,
		160 << 20: 10,
		1 << 40:   minGCPercent,
	} {
		if got := gcPercent(live); got != want {
			t.Errorf("%d MiB live: %d, want %d", live>>20, got, want)
		}
	}
}

func TestTheSettingsOfTheCollectorAreGivenBack(t *testing.T) {
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tuneGC(ctx)
	if got := debug.SetGCPercent(77); got != 77 {
		t.Errorf("it is %d afterwards", got)
	}
}

func TestLiveMemoryIsKnown(t *testing.T) {
	debug.FreeOSMemory() // collects, after which there is a figure
	if liveBytes() == 0 {
		t.Error("the runtime does not tell the live memory under the name that is asked for")
	}
}
