package integration

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/pause"
)

// blobsCommand runs a command for blobs with --json, and returns its summary and the exit code.
func blobsCommand(t *testing.T, args ...string) (summary map[string]any, code int) {
	t.Helper()
	out, err := exec.CommandContext(within(t), zrsd, append([]string{"blobs"}, append(args, "--json")...)...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code, err = exit.ExitCode(), nil
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var last struct {
		Summary map[string]any `json:"summary"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Summary == nil {
		t.Fatalf("zrsd blobs %q: exit code %d, %v in %s", args, code, err, out)
	}
	return last.Summary, code
}

// A site had set its ZEO clients to private blobs and given all of them the same cache. So nobody noticed that the
// server's blob directory was moved. What the caches have comes back into it, and the real ZODB finds the database to
// be what it was.
func TestBlobsComeBackFromTheSharedCacheOfZEOClients(t *testing.T) {
	s := newSite(t, true)
	cache := filepath.Join(s.dir, "cache")
	zeo := filepath.Join(s.dir, "zeo")
	server := start(t, "serve", s, "--zeo", zeo)
	var revisions float64
	ask(t, &revisions, "blob_cache.py", zeo, cache)
	if summary, code := blobsCommand(t, "audit", filepath.Join(s.dir, "admin")); code != 0 ||
		summary["blob_revisions"] != revisions {
		t.Errorf("the running node says %v, exit code %d", summary, code)
	}
	stop(t, server)
	before := surveyOf(t, s)
	moved := s.blobs + ".moved"
	if err := errors.Join(os.Rename(s.blobs, moved), os.Mkdir(s.blobs, 0o777)); err != nil {
		t.Fatal(err)
	}

	// One blob of the cache was evicted, and one download was interrupted.
	files := blobFilesOf(t, cache)
	if len(files) != int(revisions) {
		t.Fatalf("the cache has %d files, want %v", len(files), revisions)
	}
	largestFirst := func(a, b string) int { return cmp.Compare(lengthOf(t, b), lengthOf(t, a)) }
	slices.SortFunc(files, largestFirst)
	if err := errors.Join(os.Truncate(files[0], lengthOf(t, files[0])-1), os.Rename(files[0], files[0]+".dl"),
		os.Remove(files[1])); err != nil {
		t.Fatal(err)
	}
	recovering := []string{"recover", s.data, "--blobs", s.blobs, "--from", cache}
	summary, code := blobsCommand(t, append(recovering, "--dry-run")...)
	if code != 1 || summary["missing"] != revisions || summary["left"] != 2.0 || len(blobFilesOf(t, s.blobs)) != 0 {
		t.Errorf("a dry run says %v, exit code %d", summary, code)
	}
	if summary, code = blobsCommand(t, recovering...); code != 1 || summary["recovered"] != revisions-2 {
		t.Errorf("from the cache: %v, exit code %d", summary, code)
	}
	summary, code = blobsCommand(t, append(recovering, "--from", moved)...)
	if code != 0 || summary["recovered"] != 2.0 {
		t.Errorf("from the cache and the directory that was moved: %v, exit code %d", summary, code)
	}
	if after := surveyOf(t, s); after.BlobHistory != before.BlobHistory || after.Current != before.Current {
		t.Errorf("the real ZODB sees %+v, before it was %+v", after, before)
	}
	if summary, code := blobsCommand(t, "audit", s.data, "--blobs", s.blobs); code != 0 || summary["warnings"] != 0.0 {
		t.Errorf("the audit says %v, exit code %d", summary, code)
	}
}

func lengthOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// blobFilesOf lists the paths of all blobs below a folder.
func blobFilesOf(t *testing.T, dir string) (paths []string) {
	t.Helper()
	for name := range blobFiles(t, dir) {
		paths = append(paths, filepath.Join(dir, name))
	}
	return paths
}

// The real ZODB opens what a conversion has made, in both directions, and finds the same blobs.
func TestTheRealZODBOpensAConvertedBlobDirectory(t *testing.T) {
	s := newSite(t, true)
	var revisions float64
	server := start(t, "serve", s, "--zeo", filepath.Join(s.dir, "zeo"))
	ask(t, &revisions, "blob_cache.py", filepath.Join(s.dir, "zeo"), filepath.Join(s.dir, "cache"))
	converting := []string{"blobs", "convert", s.data, "--blobs", s.blobs, "--to"}
	out, err := exec.CommandContext(within(t), zrsd, append(converting, "lawn")...).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(string(out), "another process") {
		t.Errorf("beside a server: %v, %s", err, out)
	}
	stop(t, server)
	before := surveyOf(t, s)
	for _, layout := range []string{"lawn", "bushy"} {
		command(t, append(converting, layout)...)
		if marker, err := os.ReadFile(filepath.Join(s.blobs, ".layout")); err != nil || string(marker) != layout {
			t.Errorf("the marker is %q, %v", marker, err)
		}
		if after := surveyOf(t, s); after.BlobHistory != before.BlobHistory || after.Blobs != int(revisions) {
			t.Errorf("as %s the real ZODB sees %+v, before it was %+v", layout, after, before)
		}
		summary, code := blobsCommand(t, "audit", s.data, "--blobs", s.blobs)
		if code != 0 || summary["warnings"] != 0.0 {
			t.Errorf("the audit of %s says %v, exit code %d", layout, summary, code)
		}
	}
}

// The layout of a blob directory is changed beside a running server, which is killed meanwhile, and real ZEO clients
// commit and read blobs all the time: one that shares the directory, and knows only the layout that it has read at its
// start, and one with a cache of its own. Then the real ZODB opens the directory.
func TestBlobsAreConvertedBesideRealZEOClients(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	zeo := filepath.Join(s.dir, "zeo")
	server := start(t, "serve", s, "--zeo", zeo)
	clients := startPython(t, "zodb", "converting_clients.py", zeo, s.blobs, filepath.Join(s.dir, "cache"))
	clients.do(t, "round")
	convert := []string{"blobs", "convert", filepath.Join(s.dir, "admin"), "--rate", "100000", "--json", "--to"}

	slow := exec.CommandContext(within(t), zrsd, append(convert, "lawn", "--rate", "4")...)
	if err := slow.Start(); err != nil {
		t.Fatal(err)
	}
	awaitFile(t, filepath.Join(s.blobs, ".convert.zrsd"))
	clients.do(t, "round")
	kill(t, server)
	if err := slow.Wait(); err == nil {
		t.Error("a conversion whose server was killed says that it is done")
	}
	server = start(t, "serve", s, "--zeo", zeo)
	clients.do(t, "round")

	var did struct {
		Blobs, Removed, Left int
		OldNames             bool `json:"old_names"`
	}
	decode(t, command(t, append(convert, "lawn")...), &did)
	if marker, err := os.ReadFile(filepath.Join(s.blobs, ".layout")); err != nil || string(marker) != "lawn" ||
		did.Blobs < 30 || did.Removed != 0 || !did.OldNames {
		t.Errorf("the marker is %q, %v; it says %+v", marker, err, did)
	}
	clients.do(t, "round")
	clients.do(t, "restart")
	clients.do(t, "round")
	decode(t, command(t, append(convert, "lawn", "--finish")...), &did)
	if did.Removed < 30 || did.Left != 0 || did.OldNames {
		t.Errorf("the end says %+v", did)
	}
	clients.do(t, "round")
	clients.close(t)
	mustBeConverted(t, s, "a conversion beside clients")
	stop(t, server)
	before := surveyOf(t, s)

	server = start(t, "serve", s, "--zeo", zeo)
	command(t, append(convert, "bushy", "--finish")...)
	stop(t, server)
	mustBeConverted(t, s, "one without clients that share the directory")
	after := surveyOf(t, s)
	if after.BlobHistory != before.BlobHistory || after.Blobs != before.Blobs || after.Blobs < 40 {
		t.Errorf("the real ZODB sees %+v, before it was %+v", after, before)
	}
}

// mustBeConverted looks whether each blob is there, under one name. What else there may be is the file that a client
// had put there for a commit which was cut off.
func mustBeConverted(t *testing.T, s *site, after string) {
	t.Helper()
	summary, code := blobsCommand(t, "audit", s.data, "--blobs", s.blobs)
	if code != 0 || summary["damages"] != 0.0 || summary["wasted_bytes"] != 0.0 ||
		summary["blob_revisions"] != float64(len(blobFiles(t, s.blobs))) {
		t.Errorf("after %s the audit says %v, exit code %d", after, summary, code)
	}
}

// awaitFile waits until a file is there.
func awaitFile(t *testing.T, path string) {
	t.Helper()
	ctx := within(t)
	for pause.For(ctx, 5*time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", path, context.Cause(ctx))
}
