package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
)

// mountOf is a site without blobs of its own. Its blob directory is a symbolic link: what is mounted there can change.
func mountOf(t *testing.T, dir string) *site {
	t.Helper()
	s := newSite(t, true)
	if err := os.Symlink(dir, s.blobs); err != nil {
		t.Fatal(err)
	}
	return s
}

// mountInstead lets the site see another directory.
func mountInstead(t *testing.T, s *site, dir string) {
	t.Helper()
	if err := os.Remove(s.blobs); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, s.blobs); err != nil {
		t.Fatal(err)
	}
}

// imprint notes every file and folder below dir with its time of change, except in tmp, where the owner works.
func imprint(t *testing.T, dir string) map[string]time.Time {
	t.Helper()
	found := map[string]time.Time{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "tmp" {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err == nil {
			found[path] = info.ModTime()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sharing starts a secondary that sees the blobs of the source through its own mount.
func sharing(t *testing.T, s *site, from string) *daemon.Process {
	t.Helper()
	return start(t, "secondary", s, "--blobs-shared", "--replicate-from", from)
}

// mustDistrust waits until the secondary tells its operator that the directory is another.
func mustDistrust(t *testing.T, p *daemon.Process) {
	t.Helper()
	_, err := p.Await(within(t), "it says that the directory is another", func(s *admin.Status) bool {
		up := s.Upstream
		return up != nil && up.State == "refused" && up.LastError != nil &&
			strings.Contains(*up.LastError, "is not the primary's blob directory")
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestASecondaryThatSharesTheBlobDirectoryOfAPythonProcessLeavesTheBlobsWhereTheyAre(t *testing.T) {
	t.Parallel()
	source := newSite(t, true)
	owner := startOwner(t, source)
	owner.do(t, "create 4")
	last := owner.do(t, "commit 20")
	addr := freeAddress(t)
	mustReach(t, start(t, "primary", source, "--attach", "--replicate-to", addr), last)

	target := mountOf(t, source.blobs)
	before := imprint(t, source.blobs)
	second := sharing(t, target, addr)
	mustReach(t, second, last)
	if diff := cmp.Diff(before, imprint(t, source.blobs)); diff != "" {
		t.Errorf("the shared directory was changed: %s", diff)
	}
	owner.do(t, "commit 20")
	owner.do(t, "undo")
	mustReach(t, second, owner.close(t))
	stop(t, second)
	compareFiles(t, source.data, target.data)
	mustBeSound(t, target)
	mustAgree(t, source, target)
	want := surveyOf(t, source)
	if diff := cmp.Diff(want, surveyOf(t, target)); diff != "" || want.Blobs == 0 {
		t.Errorf("the real ZODB finds something else, of %d blobs: %s", want.Blobs, diff)
	}
}

func TestASharedDirectoryThatIsAnotherOrGoneIsNotTrusted(t *testing.T) {
	t.Parallel()
	source := newSite(t, true)
	storage := source.open(t)
	owner := newOwner(t, storage, 1)
	first := commitSome(t, owner, 10)
	addr := freeAddress(t)
	mustReach(t, start(t, "primary", source, "--attach", "--replicate-to", addr), first)

	twin := filepath.Join(source.dir, "copy")
	if err := os.CopyFS(twin, os.DirFS(source.blobs)); err != nil {
		t.Fatal(err)
	}
	target := mountOf(t, twin)
	second := sharing(t, target, addr)
	mustDistrust(t, second)
	mustHave(t, second, 0)
	kill(t, second)

	mountInstead(t, target, source.blobs)
	second = sharing(t, target, addr)
	mustReach(t, second, first)
	mountInstead(t, target, t.TempDir()) // as what an unmounted file system leaves
	last := commitSome(t, owner, 10)
	mustDistrust(t, second)
	kill(t, second)
	mountInstead(t, target, source.blobs)
	mustReach(t, sharing(t, target, addr), last)
}
