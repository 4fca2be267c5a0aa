package integration

import (
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
