package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mustRunTool runs another program to its end.
func mustRunTool(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(within(t), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// seededFrom makes a copy of the storage of a node with what is right in a folder, and returns how many bytes came from
// there.
func seededFrom(t *testing.T, addr string, target *site, dir string) int64 {
	t.Helper()
	args := append([]string{"seed", "--from", addr, "--from-files", dir}, target.flags()...)
	out, err := exec.CommandContext(within(t), zrsd, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("zrsd %q: %v\n%s", args, err, out)
	}
	found := regexp.MustCompile(`; (\d+) bytes of the data file and the blobs came from `).FindSubmatch(out)
	if found == nil {
		t.Fatalf("it does not say how much came from the copy: %s", out)
	}
	n, err := strconv.ParseInt(string(found[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// nodeOf returns the id of the node whose files these are.
func nodeOf(t *testing.T, s *site) string {
	t.Helper()
	text, err := os.ReadFile(s.data + ".zrsd")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^  "node": "([^"]+)"`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("no id of a node in %s", text)
	}
	return string(found[1])
}

// A copy of the files of a running server, made while it commits, is taken up to where it is right; and the node that
// begins with it is another one.
func TestASeedBeginsWithACopyOfTheFilesOfARunningServer(t *testing.T) {
	source, copied, target := newSite(t, true), newSite(t, true), newSite(t, true)
	addr := freeAddress(t)
	if err := source.open(t).Close(); err != nil {
		t.Fatal(err)
	}
	stop(t, start(t, "primary", source, "--replicate-to", addr)) // it has an id now
	storage := source.open(t)
	owner := newOwner(t, storage, 1)
	commitSome(t, owner, 200)
	before := committed(t, source)
	done := make(chan struct{})
	go func() {
		defer close(done)
		commitSome(t, owner, 300)
	}()
	mustRunTool(t, "cp", "-r", source.dir+"/.", copied.dir)
	<-done
	if err := storage.Close(); err != nil {
		t.Fatal(err)
	}
	primary := start(t, "primary", source, "--replicate-to", addr)
	if n := seededFrom(t, addr, target, copied.dir); n < before {
		t.Errorf("%d bytes came from the copy of a file that had %d before it was made", n, before)
	}
	stop(t, primary)
	mustBeIdentical(t, source, target)
	mustBeSound(t, target)
	if a, b := nodeOf(t, source), nodeOf(t, target); a == b {
		t.Errorf("both nodes are %s", a)
	}
}

// What the real repozo has restored is taken, and the rest comes from the node.
func TestASeedBeginsWithWhatRepozoRestored(t *testing.T) {
	source, target := newSite(t, false), newSite(t, false)
	backup, restored := t.TempDir(), t.TempDir()
	repozo := func(args ...string) {
		t.Helper()
		mustRunTool(t, python(t), append([]string{"-m", "ZODB.scripts.repozo"}, args...)...)
	}
	owner := startOwner(t, source)
	for _, command := range []string{"create 12", "commit 20", "undo", "pack", "create 3", "commit 10"} {
		owner.do(t, command)
	}
	repozo("-B", "-F", "-r", backup, "-f", source.data)
	for _, command := range []string{"commit 10", "undo", "commit 5"} {
		owner.do(t, command)
	}
	repozo("-B", "-r", backup, "-f", source.data)
	owner.do(t, "commit 5")
	owner.close(t)
	repozo("-R", "-r", backup, "-o", filepath.Join(restored, "Data.fs"))
	info, err := os.Stat(filepath.Join(restored, "Data.fs"))
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddress(t)
	primary := start(t, "primary", source, "--replicate-to", addr)
	n := seededFrom(t, addr, target, restored)
	stop(t, primary)
	if want := info.Size() - 4; n != want || n >= committed(t, source)-4 {
		t.Errorf("%d bytes came from the copy, want %d of %d", n, want, committed(t, source))
	}
	mustBeIdentical(t, source, target)
	if diff := cmp.Diff(surveyOf(t, source), surveyOf(t, target)); diff != "" {
		t.Errorf("ZODB sees another database in the copy (-primary +copy):\n%s", diff)
	}
}
