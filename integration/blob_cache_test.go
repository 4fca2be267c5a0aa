package integration

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/objectstore/objectstoretest"
)

// TestZEOsOwnDocumentOfBlobCachesPassesInFrontOfABlobCache has two caches: that of ZEO's client, which the document is
// about, and a server with a blob directory of 4,000 bytes, which has 10,000 bytes of blobs.
func TestZEOsOwnDocumentOfBlobCachesPassesInFrontOfABlobCache(t *testing.T) {
	t.Parallel()
	script, err := filepath.Abs("zeotests/cached.py")
	if err != nil {
		t.Fatal(err)
	}
	zeoTests(t, []string{python(t), script, zrsd}, "-m", "ZEO.tests.testZEO", "-t", "zeo_blob_cache")
}

// What readers of a blob cache do in CI, and with make blobcache.
func cacheStory() (blobs, kept, readers, reads, kills int) {
	if os.Getenv("ZRSD_LONG") == "1" {
		return 100_000, 1000, 10, 5000, 20
	}
	return 500, 20, 4, 150, 2
}

// TestReadersOfABlobCacheGetNoWrongByte has real ZEO clients read blobs at random through a secondary that keeps few of
// them, while it and its primary are killed. In the end the cache has its target.
func TestReadersOfABlobCacheGetNoWrongByte(t *testing.T) {
	t.Parallel()
	blobs, kept, readers, reads, kills := cacheStory()
	const size = 3000
	a, b := newSite(t, true), newSite(t, true)
	list := filepath.Join(a.dir, "list")
	out, err := exec.CommandContext(t.Context(), python(t), "python/blob_readers.py", "fill", a.data, a.blobs, list,
		strconv.Itoa(blobs), strconv.Itoa(size)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	to, zeo := freeAddress(t), freeAddress(t)
	lead := []string{"--replicate-to", to}
	follow := []string{"--replicate-from", to, "--zeo", zeo, "--blob-cache-size", strconv.Itoa(kept * size)}
	primary, secondary := start(t, "primary", a, lead...), start(t, "secondary", b, follow...)
	live(t, secondary)
	if found := blobFiles(t, b.blobs); len(found) != 0 {
		t.Errorf("%d blobs came with the records", len(found))
	}

	found := make([]readings, readers)
	var all sync.WaitGroup
	for i := range found {
		all.Go(func() {
			found[i] = readBlobs(t, zeo, newSite(t, true).blobs, list, i, reads)
		})
	}
	ended := make(chan struct{})
	go func() { all.Wait(); close(ended) }()
	for range kills {
		passed(t, secondary, int64(reads*readers/(kills+1)), ended)
		kill(t, primary)
		primary = start(t, "primary", a, lead...)
		kill(t, secondary)
		secondary = start(t, "secondary", b, follow...)
	}
	<-ended
	for i, f := range found {
		if f.Right != reads || len(f.Wrong) > 0 {
			t.Errorf("reader %d got %d of %d, and %v", i, f.Right, reads, f.Wrong)
		}
	}
	st, err := secondary.Await(within(t), "the cache has its target", func(s *admin.Status) bool {
		c := s.Storage.BlobCache
		return c != nil && c.Bytes <= c.Target
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the cache: %+v; read again after a cut: %d", *st.Storage.BlobCache, found[0].Again)
	auditEvicted(t, b, true, int64(blobs)-st.Storage.BlobCache.Blobs)
	stop(t, secondary)
	auditEvicted(t, b, false, int64(blobs)-st.Storage.BlobCache.Blobs)
}

// auditEvicted has a blob cache audited, by its node or without one: what it has evicted is not missing.
func auditEvicted(t *testing.T, s *site, runs bool, evicted int64) {
	t.Helper()
	args, kind := []string{"blobs", "audit", s.data, "--blobs", s.blobs, "--json"}, "unasked"
	if runs {
		args, kind = []string{"blobs", "audit", filepath.Join(s.dir, "admin"), "--json"}, "elsewhere"
	}
	out, err := exec.CommandContext(within(t), zrsd, args...).Output()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var last struct {
		Summary struct {
			Found   map[string]int64
			Damages int64
		}
	}
	if err == nil {
		err = json.Unmarshal([]byte(lines[len(lines)-1]), &last)
	}
	if sum := last.Summary; err != nil || sum.Damages > 0 || sum.Found[kind] != evicted {
		t.Errorf("zrsd %q: %v: of %d evicted blobs: %+v", args, err, evicted, sum)
	}
}

// readings are what a client has read.
type readings struct {
	Right, Again int
	Wrong        []any
}

func readBlobs(t *testing.T, server, cache, list string, seed, count int) (found readings) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python(t), "python/blob_readers.py", "read", server, cache, list,
		strconv.Itoa(seed), strconv.Itoa(count))
	out, err := cmd.CombinedOutput()
	if err == nil {
		err = json.Unmarshal(out, &found)
	}
	if err != nil {
		t.Errorf("a reader: %v\n%s", err, out)
	}
	return found
}

func live(t *testing.T, p *daemon.Process) {
	t.Helper()
	_, err := p.Await(within(t), "it is live", func(s *admin.Status) bool {
		return s.Upstream != nil && s.Upstream.State == "live"
	})
	if err != nil {
		t.Fatal(err)
	}
}

// passed waits until a cache was asked for so many blobs, or the readers have ended.
func passed(t *testing.T, p *daemon.Process, n int64, ended chan struct{}) {
	t.Helper()
	_, err := p.Await(t.Context(), "enough blobs were asked for", func(s *admin.Status) bool {
		select {
		case <-ended:
			return true
		default:
			return s.Storage.BlobCache != nil && s.Storage.BlobCache.Hits >= n
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAcknowledgedBlobsAreInTheObjectStore kills a primary that writes to a real S3 server while a client commits
// blobs. Each that was acknowledged is there, under the key of zodb-s3blobs, and zrsd blobs verify finds all of them.
func TestAcknowledgedBlobsAreInTheObjectStore(t *testing.T) {
	server := objectstoretest.Start(t)
	url := server.URL(server.Address, "app")
	a := newSite(t, true)
	a.open(t).Close()
	zeo := freeAddress(t)
	flags := []string{"--replicate-to", freeAddress(t), "--zeo", zeo, "--blobs-store", url,
		"--blob-cache-size", "10000"}
	primary := start(t, "primary", a, flags...)
	list := filepath.Join(a.dir, "list")
	writer := exec.CommandContext(within(t), python(t), "python/blob_readers.py", "write", zeo,
		newSite(t, true).blobs, list, "10000", "1000")
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	_, err := primary.Await(within(t), "30 blobs are in the store", func(s *admin.Status) bool {
		return s.Storage.BlobStore != nil && s.Storage.BlobStore.Uploaded >= 30
	})
	kill(t, primary)
	if err != nil {
		t.Fatal(err)
	}
	_ = writer.Process.Kill()
	_ = writer.Wait()
	names := acknowledged(t, list)
	if len(names) < 10 {
		t.Errorf("only %d blobs were acknowledged", len(names))
	}
	for _, key := range names {
		if _, err := os.Stat(filepath.Join(server.Folder, "app", filepath.FromSlash(key))); err != nil {
			t.Errorf("an acknowledged blob is not in the store: %v", err)
		}
	}
	primary = start(t, "primary", a, flags...)
	if _, err := primary.Await(within(t), "the store has everything", func(s *admin.Status) bool {
		b := s.Storage.BlobStore
		return b != nil && b.Waiting == 0 && b.Tid != nil && *b.Tid == *s.Storage.LastTid
	}); err != nil {
		t.Fatal(err)
	}
	stop(t, primary)
	out, err := exec.CommandContext(within(t), zrsd, "blobs", "verify", a.data, "--blobs", a.blobs, "--store", url,
		"--read").CombinedOutput()
	if err != nil {
		t.Errorf("zrsd blobs verify: %v\n%s", err, out)
	}
	out, err = exec.CommandContext(within(t), zrsd, "blobs", "pull", a.data, "--blobs", a.blobs, "--store",
		url).CombinedOutput()
	if err != nil || len(blobFiles(t, a.blobs)) < len(names) {
		t.Errorf("zrsd blobs pull: %v\n%s", err, out)
	}
}

// acknowledged returns the keys of the blobs in a list of blob_readers.py.
func acknowledged(t *testing.T, path string) (keys []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var one []any
		if json.Unmarshal(lines.Bytes(), &one) != nil || len(one) != 4 {
			break // it was being written
		}
		short := func(n any) string { return strings.TrimLeft(n.(string), "0") }
		keys = append(keys, "blobs/"+short(one[1])+"/"+short(one[2])+".blob")
	}
	return keys
}
