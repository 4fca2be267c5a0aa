package integration

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/drill"
	"github.com/zrsd/zrsd/internal/endpoint"
)

// minFailovers is what a run of the test below comes to at least.
const minFailovers = 30

// What is promised holds over failovers of all kinds, with and without waiting for secondaries. In the long run it goes
// on for hours.
func TestDrillsOfMixedFailoversKeepTheGuarantee(t *testing.T) {
	random := seededRand(t)
	var failovers int
	begun := time.Now()
	long := os.Getenv("ZRSD_LONG") == "1"
	for round := 0; failovers < minFailovers || long && time.Since(begun) < 3*time.Hour; round++ {
		rep := playDrill(t, []drill.Scenario{drill.Mixed()}, random.Uint64(), round%(drill.MaxSync+1))
		failovers += rep.Scenarios[0].Failovers
	}
	t.Logf("%d failovers in %v", failovers, time.Since(begun).Round(time.Second))
}

// Each scenario of which the mixed ones have none.
func TestDrillsThatKeepThePrimaryKeepTheGuarantee(t *testing.T) {
	random := seededRand(t)
	var quiet []drill.Scenario
	for _, s := range drill.Scenarios() {
		switch s.Name {
		case "primary-restarted", "secondary-lost-and-replaced", "slow-disk", "full-disk":
			quiet = append(quiet, s)
		}
	}
	for sync := range drill.MaxSync + 1 {
		playDrill(t, quiet, random.Uint64(), sync)
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
		Pythons: []string{interpreter(t, []string{"zodb", "zeo5"}[seed%2])},
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
	for _, o := range rep.Scenarios {
		t.Logf("%s: rewound %d times by an operator, %d times by the node itself", o.Name, o.ByHand, o.ByItself)
		if sync > 0 && o.ByHand > 0 {
			t.Errorf("%s: commits waited for secondaries, and an operator had to rewind a node %d times: %+v", o.Name,
				o.ByHand, o.Events)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
	return rep
}

// A cluster that is there already is handed over and back, frozen and packed, and nothing is lost.
func TestADrillOnAClusterThatIsThere(t *testing.T) {
	a, b := startStaging(t)
	text := runDrill(t, "--primary", a.admin, "--secondary", b.admin, "--zeo", a.zeo+","+b.zeo, "--yes")
	for _, want := range []string{"The guarantee held", "switchover +held", "freeze-and-thaw +held", "pack +held"} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("the report does not say %q:\n%s", want, text)
		}
	}
}

// A place is where a node can be reached.
type place struct{ repl, zeo, admin string }

// startStaging starts a primary and a secondary that can change roles.
func startStaging(t *testing.T) (a, b place) {
	t.Helper()
	for _, p := range []*place{&a, &b} {
		for _, addr := range []*string{&p.repl, &p.zeo, &p.admin} {
			var err error
			if *addr, err = endpoint.FreeAddress(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := t.TempDir()
	st, err := filestorage.Open(t.Context(), filepath.Join(dir, "a.fs"), filestorage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	start := func(role, name string, own, other place) *daemon.Process {
		p, err := daemon.Start(zrsd, own.admin, nil, role, "--name", name, "--data", filepath.Join(dir, name+".fs"),
			"--replicate-to", own.repl, "--replicate-from", other.repl, "--zeo", own.zeo)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Kill() })
		return p
	}
	primary := start("primary", "a", a, b)
	start("secondary", "b", b, a)
	if _, err := primary.Await(within(t), "b follows it", func(s *admin.Status) bool {
		return len(s.Secondaries) == 1 && s.Secondaries[0].Name == "b" && s.Secondaries[0].State == "live"
	}); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// runDrill runs the command and returns its report.
func runDrill(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(within(t), zrsd, append([]string{"drill"}, args...)...)
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// What a drill says is worth something only if it finds what is wrong: here, that what was cut off is gone.
func TestADrillFindsThatCommitsAreGone(t *testing.T) {
	for _, s := range drill.Scenarios() {
		if s.Name != "old-primary-returning" {
			continue
		}
		s.Steps = append(slices.Clone(s.Steps), func(_ context.Context, r *drill.Run) error {
			for _, path := range r.Aside {
				if err := os.Remove(path); err != nil {
					return err
				}
			}
			r.Aside = nil
			return nil
		})
		dir, err := os.MkdirTemp("", "drill-") //nolint:usetesting // the path of a socket has to be short
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		rep, err := drill.Play(t.Context(), []drill.Scenario{s}, drill.Options{
			Binary: zrsd, Dir: dir, Seed: 1, StepTimeout: 5 * time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		v := rep.Scenarios[0].Verdict
		if rep.Held || v == nil || len(v.Violations) == 0 || v.Violations[0].Rule != consistency.Acknowledged {
			t.Errorf("%+v", rep.Scenarios[0])
		}
		return
	}
	t.Fatal("there is no such scenario")
}
