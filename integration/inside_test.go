package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/zodb"
)

// tell runs zrsd, and decodes the JSON that it prints into answer. It may say that something was found.
func tell(t *testing.T, answer any, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(within(t), zrsd, args...).Output()
	if err2 := json.Unmarshal(out, answer); err2 != nil {
		t.Fatalf("zrsd %q: %v, %v\n%s", args, err, err2, out)
	}
}

// TestPythonsToolsFindNothingThatZrsdDoesNot compares what fsrefs and zodbverify report with what zrsd finds in the
// same files. Where Python cannot import a class, zrsd shows its name. zodbverify ends at the first object that was
// deleted: the file that has some is unpickled as zodbverify does it.
func TestPythonsToolsFindNothingThatZrsdDoesNot(t *testing.T) {
	t.Parallel()
	made := newSite(t, false)
	ask(t, new(any), "findings.py", "make", made.data)
	files := []string{made.data}
	for _, from := range []string{"../internal/inside/testdata/site.fs", "../testdata/filestorage/plone-like/Data.fs"} {
		content, err := os.ReadFile(from)
		copied := newSite(t, false)
		if err == nil {
			err = os.WriteFile(copied.data, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, copied.data)
	}
	found := 0
	for _, path := range files {
		var refs inside.Refs
		tell(t, &refs, "refs", path, "--json", "--limit", "100000")
		var classes inside.Census
		tell(t, &classes, "classes", path, "--json", "--limit", "100000")
		var loads [][3]string
		ask(t, &loads, "findings.py", "loads", path)
		if reported, all := zodbverify(t, path); all {
			if len(reported) != len(loads) {
				t.Errorf("%s: zodbverify reports %d objects, and %d cannot be unpickled", path, len(reported),
					len(loads))
			}
			loads = reported
		}
		found += fsrefsIsASubset(t, path, &refs) + unreadIsASubset(t, path, loads, &classes)
	}
	if found < 4 {
		t.Errorf("Python's tools have found %d faults: the files have too few", found)
	}
}

func fsrefsIsASubset(t *testing.T, path string, ours *inside.Refs) int {
	t.Helper()
	known := map[string]bool{}
	for _, d := range ours.Dangling {
		known[d.From.String()+" "+d.To.String()] = true
	}
	var theirs [][2]string
	ask(t, &theirs, "findings.py", "refs", path)
	for _, r := range theirs {
		if !known[r[0]+" "+r[1]] {
			t.Errorf("%s: fsrefs reports the reference from %s to %s, and zrsd refs does not", path, r[0], r[1])
		}
	}
	return len(theirs)
}

// zodbverify runs the real one, and returns the objects that it could not load, each with the kind of the error and its
// text. all is false where it did not come to its end.
func zodbverify(t *testing.T, path string) (reported [][3]string, all bool) {
	t.Helper()
	program := filepath.Join(filepath.Dir(interpreter(t, "tools")), "zodbverify")
	cmd := exec.CommandContext(within(t), program, "-f", path)
	classes, err := filepath.Abs("python")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "PYTHONPATH="+classes)
	out, err := cmd.CombinedOutput()
	_, summary, all := strings.Cut(string(out), "Done! Scanned ")
	if !all {
		if err == nil || !strings.Contains(string(out), "POSKeyError") {
			t.Fatalf("zodbverify %s: %v\n%s", path, err, out)
		}
		return nil, false
	}
	var kind, text string
	for _, line := range strings.Split(summary, "\n") {
		if !strings.HasPrefix(line, "0x") { // the error, of which the objects are in the next line
			kind, text, _ = strings.Cut(line, ": ")
			continue
		}
		for _, oid := range strings.Fields(line) {
			n, err := strconv.ParseUint(oid, 0, 64)
			if err != nil {
				t.Fatal(err)
			}
			reported = append(reported, [3]string{zodb.Oid(n).String(), kind, text})
		}
	}
	return reported, true
}

func unreadIsASubset(t *testing.T, path string, theirs [][3]string, ours *inside.Census) int {
	t.Helper()
	unread := map[string]bool{}
	for _, u := range ours.Unread {
		unread[u.Oid.String()] = true
	}
	for _, r := range theirs {
		oid, kind, text := r[0], r[1], r[2]
		imported := kind == "ModuleNotFoundError" || kind == "AttributeError"
		if !unread[oid] && (!imported || !showsNames(t, path, oid, text)) {
			t.Errorf("%s: Python cannot load object %s (%s: %s), and zrsd says nothing of it", path, oid, kind, text)
		}
	}
	return len(theirs)
}

// showsNames reports whether zrsd find shows an object with one of the names that are quoted in a text.
func showsNames(t *testing.T, path, oid, text string) bool {
	t.Helper()
	var found inside.Finds
	tell(t, &found, "find", path, oid, "--json")
	for i, name := range strings.Split(text, "'") {
		if i%2 == 1 && strings.Contains(string(found.Objects[0].Detail.Object), name) {
			return true
		}
	}
	return false
}

// TestAGhostHasTheRightClassAfterARewrite has seven ZEO clients, each with a cache that stays, behind a balancer in
// front of a primary and its secondary. What class an object has depends on who asked first, until the references are
// rewritten through the primary; the clients keep their caches.
func TestAGhostHasTheRightClassAfterARewrite(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, false), newSite(t, false)
	ask(t, new(any), "ghost_class.py", "make", a.data)
	to, zeoA, zeoB := freeAddress(t), freeAddress(t), freeAddress(t)
	start(t, "primary", a, "--replicate-to", to, "--zeo", zeoA)
	secondary := start(t, "secondary", b, "--replicate-from", to, "--zeo", zeoB)
	live(t, secondary)
	front := freeAddress(t)
	runBalancer(t, front, zeoA, zeoB)

	caches := make([]string, 7)
	for i := range caches {
		caches[i] = newSite(t, false).dir
	}
	want := map[bool]string{true: "[Document]", false: "[Page]"}
	for i, seen := range lookAtDocuments(t, front, caches) {
		if got := fmt.Sprint(seen.Classes); got != want[i%2 == 0] {
			t.Errorf("before the rewrite client %d takes the document for %s, want %s", i, got, want[i%2 == 0])
		}
	}

	rules := filepath.Join(a.dir, "rules")
	if err := os.WriteFile(rules, []byte("* = record\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(within(t), zrsd, "classes", "rewrite", a.data, "--rules", rules, "--through",
		zeoA).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var census inside.Census
	tell(t, &census, "classes", filepath.Join(a.dir, "admin"), "--json")
	if len(census.Mismatches) > 0 {
		t.Errorf("after the rewrite there are mismatches: %+v", census.Mismatches)
	}
	mustReach(t, secondary, census.LastTid)
	for i, seen := range lookAtDocuments(t, front, caches) {
		if got := fmt.Sprint(seen.Classes); got != "[Page]" || len(seen.Cache) != 1 || seen.Size == 0 {
			t.Errorf("after the rewrite client %d takes the document for %s; its cache: %v, %d bytes", i, got,
				seen.Cache, seen.Size)
		}
	}
}

// runBalancer runs a real haproxy, which gives the connections to one address to the servers in turn.
func runBalancer(t *testing.T, front string, servers ...string) {
	t.Helper()
	conf := "defaults\n mode tcp\n timeout connect 10s\n timeout client 5m\n timeout server 5m\n" +
		"listen zeo\n bind " + front + "\n balance roundrobin\n"
	for i, address := range servers {
		conf += fmt.Sprintf(" server node%d %s\n", i, address)
	}
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	runHaproxy(t, path)
}

// seenClasses are what a client takes a document for, wherever it comes from.
type seenClasses struct {
	Classes, Cache []string
	Size           int64
}

// lookAtDocuments has clients run at the same time; every second one looks at the reference first that was not written
// when the document became a page.
func lookAtDocuments(t *testing.T, front string, caches []string) []seenClasses {
	t.Helper()
	seen := make([]seenClasses, len(caches))
	var all sync.WaitGroup
	for i, cache := range caches {
		all.Go(func() {
			ask(t, &seen[i], "ghost_class.py", "show", front, cache, []string{"old", "new"}[i%2])
		})
	}
	all.Wait()
	return seen
}
