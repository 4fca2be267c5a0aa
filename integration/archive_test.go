package integration

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
)

// What the real ZODB wrote and packed is archived, and restored as it was at two moments: byte for byte, and the real
// ZODB reads the same objects and blobs in it.
func TestRealZODBReadsWhatIsRestoredFromAnArchive(t *testing.T) {
	source, archive, addr := newSite(t, true), t.TempDir(), freeAddress(t)
	life := func(commands ...string) *site {
		owner := startOwner(t, source)
		for _, command := range commands {
			owner.do(t, command)
		}
		last := owner.close(t)
		primary := start(t, "primary", source, "--replicate-to", addr, "--archive", archive, "--archive-interval", "1s")
		_, err := primary.Await(within(t), "everything is archived", func(s *admin.Status) bool {
			return s.Archive != nil && s.Archive.LastTid != nil && *s.Archive.LastTid == last && s.Archive.Complete
		})
		if err != nil {
			t.Fatal(err)
		}
		stop(t, primary)
		was := newSite(t, true)
		mustRunTool(t, "cp", "-r", source.dir+"/.", was.dir)
		return was
	}
	first := life("create 12", "commit 20", "undo")
	last := first.open(t)
	tid := last.LastTid()
	if err := last.Close(); err != nil {
		t.Fatal(err)
	}
	second := life("commit 10", "pack", "create 2", "commit 5")
	mustRun(t, "archive", "verify", archive)
	for moment, want := range map[string]*site{tid.String(): first, "latest": second} {
		copied := newSite(t, true)
		mustRun(t, append([]string{"archive", "restore", archive, "--to", moment}, copied.flags()...)...)
		mustBeIdentical(t, want, copied)
		mustBeSound(t, copied)
		mustAgree(t, want, copied)
	}
	mustTellOfTheVerification(t, source, archive)
}

// mustTellOfTheVerification checks that a node shows, in every way, that the archive was verified elsewhere.
func mustTellOfTheVerification(t *testing.T, s *site, archive string) {
	t.Helper()
	node := start(t, "primary", s, "--replicate-to", freeAddress(t), "--archive", archive)
	st, err := node.Await(within(t), "it knows of the verification", func(s *admin.Status) bool {
		return s.Archive != nil && s.Archive.Verified != nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if a := st.Archive; a.LagTransactions == nil || *a.LagTransactions != 0 || a.VerifyProblem != nil {
		t.Errorf("%+v", a)
	}
	for _, command := range []string{"status", "doctor"} { // the latter has other things to warn of
		text, _ := exec.CommandContext(within(t), zrsd, command, filepath.Join(s.dir, "admin")).CombinedOutput()
		if !strings.Contains(string(text), "; verified ") {
			t.Errorf("zrsd %s says nothing of it:\n%s", command, text)
		}
	}
	stop(t, node)
}

// An empty secondary fills itself from the archive, and goes on with what its primary has committed since.
func TestAnEmptySecondaryIsFilledFromAnArchive(t *testing.T) {
	source, copied := newSite(t, true), newSite(t, true)
	archive, addr := t.TempDir(), freeAddress(t)
	owner := startOwner(t, source)
	owner.do(t, "create 5")
	owner.close(t)
	primary := start(t, "primary", source, "--replicate-to", addr)
	mustRun(t, "archive", "run", archive, "--from", addr, "--once")
	stop(t, primary)
	owner = startOwner(t, source)
	last := owner.do(t, "commit 3")
	owner.close(t)
	primary = start(t, "primary", source, "--replicate-to", addr)
	secondary := start(t, "secondary", copied, "--replicate-from", addr, "--seed-from", "file://"+archive)
	mustReach(t, secondary, last)
	stop(t, secondary)
	stop(t, primary)
	mustBeIdentical(t, source, copied)
}

// A drill restores the latest moment and others of an archive that grows, compares them with the node, and has the real
// ZEO read them. It leaves nothing. Of an archive that is damaged it says that it cannot be restored.
func TestADrillRestoresAnArchive(t *testing.T) {
	s, archive, scratch, addr := newSite(t, true), t.TempDir(), t.TempDir(), freeAddress(t)
	owner := startOwner(t, s)
	owner.do(t, "create 5")
	last := owner.do(t, "commit 5")
	owner.close(t)
	node := start(t, "primary", s, "--replicate-to", addr, "--archive", archive, "--archive-interval", "1s")
	_, err := node.Await(within(t), "everything is archived", func(st *admin.Status) bool {
		return st.Archive != nil && st.Archive.LastTid != nil && *st.Archive.LastTid == last
	})
	if err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(t.TempDir(), "report.json")
	drill := []string{"drill", "--scenario", "restore", "--archive", archive, "--node", addr, "--dir", scratch,
		"--python", python(t), "--report", report, "--seed", "4"}
	mustRun(t, drill...)
	var got struct {
		Held      bool
		Scenarios []struct{ Restores []restored }
	}
	b, err := os.ReadFile(report)
	if err == nil {
		err = json.Unmarshal(b, &got)
	}
	if err != nil || !got.Held || len(got.Scenarios[0].Restores) != 2 {
		t.Fatalf("%v\n%s", err, b)
	}
	if latest := got.Scenarios[0].Restores[0]; latest.Tid != last.String() || !latest.Writer || latest.Python == 0 {
		t.Errorf("the latest moment: %+v", latest)
	}
	for _, one := range got.Scenarios[0].Restores {
		if !strings.HasPrefix(one.Node, "the same ") || one.Objects == 0 || one.Objects != one.Python {
			t.Errorf("%+v", one)
		}
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("it has left %v, %v", left, err)
	}
	segment := filepath.Join(archive, "seg", "00000001", "0000000001")
	if b, err = os.ReadFile(segment); err == nil {
		b[len(b)-1] ^= 1
		err = os.WriteFile(segment, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(within(t), zrsd, drill...).CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 ||
		!strings.Contains(string(out), "DID NOT HOLD") {
		t.Errorf("of a damaged archive: %v\n%s", err, out)
	}
	stop(t, node)
}

// A restored moment, as a report has it.
type restored struct {
	Tid, Node string
	Writer    bool `json:"as_archived"`
	Objects   int
	Python    int `json:"python_objects"`
}
