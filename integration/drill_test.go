package integration

import (
	"bytes"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/zrsd/zrsd/drill"
)

// minFailovers is what a run of the test below comes to at least.
const minFailovers = 30

// What is promised holds over failovers of all kinds, with and without waiting for secondaries. In the long run it goes
// on for hours.
func TestDrillsOfMixedFailoversKeepThePromise(t *testing.T) {
	dice := dice(t)
	var failovers int
	begun := time.Now()
	long := os.Getenv("ZRSD_LONG") == "1"
	for round := 0; failovers < minFailovers || long && time.Since(begun) < 3*time.Hour; round++ {
		rep := playDrill(t, []drill.Scenario{drill.Mixed()}, dice.Uint64(), round%(drill.MaxSync+1))
		failovers += rep.Scenarios[0].Failovers
	}
	t.Logf("%d failovers in %v", failovers, time.Since(begun).Round(time.Second))
}

// Each scenario of which the mixed ones have none.
func TestDrillsThatKeepThePrimaryKeepThePromise(t *testing.T) {
	dice := dice(t)
	var quiet []drill.Scenario
	for _, s := range drill.Scenarios() {
		switch s.Name {
		case "primary-restarted", "secondary-lost-and-replaced", "slow-disk", "full-disk":
			quiet = append(quiet, s)
		}
	}
	for sync := range drill.MaxSync + 1 {
		playDrill(t, quiet, dice.Uint64(), sync)
	}
}

// playDrill plays scenarios and fails when what is promised did not hold. What it leaves behind is kept then.
func playDrill(t *testing.T, scenarios []drill.Scenario, seed uint64, sync int) *drill.Report {
	t.Helper()
	dir, err := os.MkdirTemp("", "drill-") //nolint:usetesting // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %s, waiting for %d", strconv.FormatUint(seed, 10), sync)
	rep, err := drill.Play(t.Context(), scenarios, drill.Options{
		Binary: zrsd, Dir: dir, Seed: seed, Sync: sync, StepTimeout: 5 * time.Minute, CallTimeout: 3 * time.Second,
	})
	if err != nil {
		t.Fatalf("%v; everything is kept in %s", err, dir)
	}
	if rep.Kept = !rep.Held; rep.Kept {
		var text bytes.Buffer
		if err := rep.WriteText(&text); err != nil {
			t.Error(err)
		}
		t.Fatal(text.String())
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
	return rep
}
