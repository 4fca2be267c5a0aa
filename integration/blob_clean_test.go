package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/objectstore/objectstoretest"
)

// TestAPrimaryRemovesWhatPacksLeaveInTheObjectStore has a primary with a real S3 server, and a secondary that keeps few
// blobs. Real ZEO clients write each blob twice. What the primary packs stays while the secondary has not packed, also
// over a kill of the primary, and goes then; what is left can be read by way of the secondary.
func TestAPrimaryRemovesWhatPacksLeaveInTheObjectStore(t *testing.T) {
	server := objectstoretest.Start(t)
	const blobs, size = 30, 3000
	a, b := newSite(t, true), newSite(t, true)
	list := filepath.Join(a.dir, "list")
	scripted(t, "fill", a.data, a.blobs, list, strconv.Itoa(blobs), strconv.Itoa(size))
	to, zeoA, zeoB := freeAddress(t), freeAddress(t), freeAddress(t)
	store := []string{"--blobs-store", server.URL(server.Address, "app"), "--blobs-store-grace", "1s"}
	lead := append([]string{"--replicate-to", to, "--zeo", zeoA}, store...)
	follow := append([]string{"--replicate-from", to, "--replicate-to", freeAddress(t), "--zeo", zeoB,
		"--blob-cache-size", "10000"}, store...)
	primary, secondary := start(t, "primary", a, lead...), start(t, "secondary", b, follow...)
	live(t, secondary)
	stored := func() int { return len(blobFiles(t, filepath.Join(server.Folder, "app", "blobs"))) }
	cleaned(t, primary, "all are uploaded", func(c *admin.BlobCleaning) bool {
		return c.Looked != nil && stored() == blobs
	})
	scripted(t, "rewrite", zeoA, newSite(t, true).blobs, list)
	if n := stored(); n != 2*blobs {
		t.Errorf("after all were written once more there are %d objects", n)
	}
	sameTid(t, primary, secondary)

	command(t, "pack", filepath.Join(a.dir, "admin"), "--no-keep-old")
	cleaned(t, primary, "it has found what the pack left", func(c *admin.BlobCleaning) bool {
		return c.Unneeded == blobs
	})
	kill(t, primary)
	primary = start(t, "primary", a, lead...)
	live(t, secondary)
	first := cleaned(t, primary, "it has found them again", func(c *admin.BlobCleaning) bool {
		return c.Unneeded == blobs && c.LastError == nil && c.Looked != nil
	})
	cleaned(t, primary, "it has looked again after the grace time", func(c *admin.BlobCleaning) bool {
		return c.Looked != nil && c.Looked.Sub(*first.Looked).Seconds() > 2
	})
	if n := stored(); n != 2*blobs {
		t.Errorf("while the secondary has their records there are %d objects", n)
	}

	command(t, "pack", filepath.Join(b.dir, "admin"), "--no-keep-old")
	cleaned(t, primary, "they are removed", func(c *admin.BlobCleaning) bool {
		return c.Removed == blobs && c.Unneeded == 0
	})
	if n := stored(); n != blobs {
		t.Errorf("in the end there are %d objects", n)
	}
	if found := readBlobs(t, zeoB, newSite(t, true).blobs, list, 1, 100); found.Right != 100 {
		t.Errorf("by way of the secondary a client has read %+v", found)
	}
	out, err := exec.CommandContext(within(t), zrsd, "blobs", "verify", a.data, "--blobs", a.blobs, "--store",
		store[1], "--read", "--json").CombinedOutput()
	if err != nil {
		t.Errorf("zrsd blobs verify: %v\n%s", err, out)
	}
}

// scripted runs a part of blob_readers.py.
func scripted(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(within(t), python(t), append([]string{"python/blob_readers.py"}, args...)...).
		CombinedOutput()
	var nothing struct{}
	if err == nil {
		err = json.Unmarshal(out, &nothing)
	}
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
}

// cleaned waits for what a primary says of the cleaning of its object store.
func cleaned(t *testing.T, p *daemon.Process, what string, is func(*admin.BlobCleaning) bool) admin.BlobCleaning {
	t.Helper()
	var last *admin.BlobCleaning
	_, err := p.Await(within(t), what, func(s *admin.Status) bool {
		if s.Storage.BlobStore == nil || s.Storage.BlobStore.Cleaning == nil {
			return false
		}
		last = s.Storage.BlobStore.Cleaning
		return is(last)
	})
	if err != nil {
		if last != nil && last.LastError != nil {
			t.Log(*last.LastError)
		}
		t.Fatalf("%v: %+v", err, last)
	}
	return *last
}

// sameTid waits until a secondary has what the primary has.
func sameTid(t *testing.T, primary, secondary *daemon.Process) {
	t.Helper()
	ctx := within(t)
	has, err := primary.Await(ctx, "it is open", func(s *admin.Status) bool { return s.Storage.LastTid != nil })
	if err == nil {
		_, err = secondary.Await(ctx, "it has everything", func(s *admin.Status) bool {
			return s.Storage.LastTid != nil && *s.Storage.LastTid == *has.Storage.LastTid
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestAFormerBlobCacheThatIsServedSaysThatBlobsWereEvicted has a real ZEO client read each blob from a read-only
// server of what was the blob cache of a primary: what is there comes, and of all else it hears that it was evicted,
// never that it does not exist.
func TestAFormerBlobCacheThatIsServedSaysThatBlobsWereEvicted(t *testing.T) {
	t.Parallel()
	const blobs, size = 20, 3000
	a := newSite(t, true)
	store := filepath.Join(a.dir, "store")
	if err := os.Mkdir(store, 0o700); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(a.dir, "list")
	scripted(t, "fill", a.data, a.blobs, list, strconv.Itoa(blobs), strconv.Itoa(size))
	command(t, "blobs", "push", a.data, "--blobs", a.blobs, "--store", "file://"+store)
	p := start(t, "primary", a, "--replicate-to", freeAddress(t), "--zeo", freeAddress(t), "--blobs-store",
		"file://"+store, "--blob-cache-size", "10000")
	st, err := p.Await(within(t), "it has its target", func(s *admin.Status) bool {
		c := s.Storage.BlobCache
		return c != nil && c.Bytes <= c.Target && c.Evicted > 0
	})
	if err != nil {
		t.Fatal(err)
	}
	stop(t, p)
	kept := len(blobFiles(t, a.blobs))
	if kept == 0 || kept >= blobs {
		t.Fatalf("%d blobs are left, %+v", kept, st.Storage.BlobCache)
	}
	zeo := freeAddress(t)
	server := start(t, "serve", a, "--as-of", st.Storage.LastTid.String(), "--zeo", zeo)
	mustSayWhatWasEvicted(t, zeo, list, kept, blobs-kept)
	stop(t, server)

	conf, socket := filepath.Join(a.dir, "zeo.conf"), filepath.Join(a.dir, "admin")
	zeo = freeAddress(t)
	text := fmt.Sprintf("<zeo>\n  address %s\n</zeo>\n<admin>\n  address %s\n</admin>\n<filestorage 1>\n  path %s\n"+
		"  blob-dir %s\n  read-only true\n</filestorage>\n", zeo, socket, a.data, a.blobs)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server = configured(t, socket, "-C", conf)
	mustSayWhatWasEvicted(t, zeo, list, kept, blobs-kept)
	stop(t, server)
}

// mustSayWhatWasEvicted has a real client read each blob of the list.
func mustSayWhatWasEvicted(t *testing.T, zeo, list string, kept, evicted int) {
	t.Helper()
	out, err := exec.CommandContext(within(t), python(t), "python/blob_readers.py", "once", zeo,
		newSite(t, true).blobs, list).CombinedOutput()
	var found struct {
		Right, Wrong int
		Errors       []string
	}
	if err == nil {
		err = json.Unmarshal(out, &found)
	}
	if err != nil || found.Right != kept || found.Wrong != 0 || len(found.Errors) != evicted {
		t.Errorf("%v: %d blobs are there, and a client got %s", err, kept, out)
	}
	for _, text := range found.Errors {
		if !strings.Contains(text, "was evicted from blob cache") || strings.Contains(text, "POSKeyError") {
			t.Errorf("a client heard %s", text)
		}
	}
}
