package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/objectstore/objectstoretest"
	"github.com/zrsd/zrsd/zodb"
)

// Real clients of both releases read a moment from an archive in a directory, which is encrypted, and in S3: the same
// objects and blobs by every method as a client of the primary when that moment was now, although the storage was
// changed, undone and packed since. Nothing was restored.
func TestClientsReadAMomentFromAnArchive(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	identity := filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(identity, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := objectstoretest.Start(t)
	for _, one := range []struct {
		url             string
		writes, readsBy []string
	}{
		{server.URL(server.Address, "app"), nil, nil},
		{t.TempDir(), []string{"--archive-recipients", id.Recipient().String()}, []string{"--identity", identity}},
	} {
		moment, want := archivedStory(t, one.url, one.writes...)
		cache, old := filepath.Join(t.TempDir(), "cache"), freeAddress(t)
		for range 2 { // the second time from what is kept
			node := fromArchive(t, one.url, moment, cache, old, one.readsBy...)
			for _, environment := range []string{"zodb", "zeo5"} {
				reader := startPython(t, environment, "as_of.py", newSite(t, true).blobs, old, "")
				if got := reader.do(t, "read "+moment.String()); got != want {
					t.Errorf("%s: a client of %s reads other data than the one of then", one.url, environment)
				}
				reader.close(t)
			}
			stop(t, node)
		}
		if info, err := os.Stat(cache); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("others can read what is kept: %v, %v", info, err)
		}
	}
}

// What is kept of an encrypted archive is not encrypted: a folder that others can enter is refused.
func TestWhatIsKeptOfAnEncryptedArchiveIsItsOwners(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	identity, archive, cache := filepath.Join(t.TempDir(), "identity"), t.TempDir(), t.TempDir()
	if err := os.WriteFile(identity, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	moment, _ := archivedStory(t, archive, "--archive-recipients", id.Recipient().String())
	if err := os.Chmod(cache, 0o750); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), zrsd, "serve", "--from-archive", archive, "--as-of", moment.String(),
		"--cache", cache, "--identity", identity, "--zeo", freeAddress(t)).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "chmod 700 "+cache) {
		t.Errorf("%v: %s", err, out)
	}
}

// Three moments of an archive, two of them in a data file of before a pack, are storages of one process beside one that
// is here, with one bounded cache. Real clients of both releases read each as it was, also after a restart.
func TestClientsReadSeveralMomentsOfAnArchive(t *testing.T) {
	archive := t.TempDir()
	wants := map[zodb.Tid]zodb.Tid{}
	archivedStories(t, archive, func(i int, moment, want zodb.Tid) {
		if i != 0 { // one with nothing to compare with
			wants[moment] = want
		}
	})
	here := newSite(t, true)
	here.open(t).Close()
	at, cache, zeo := filepath.Join(here.dir, "admin"), filepath.Join(t.TempDir(), "cache"), freeAddress(t)
	var text strings.Builder
	fmt.Fprintf(&text, `<zeo>
  address %s
</zeo>
<admin>
  address %s
</admin>
<filestorage here>
  path %s
  blob-dir %s
</filestorage>
<from-archive backup>
  archive %s
  cache %s
  cache-size 256MB
  blob-cache-size 1MB
</from-archive>
<as-of never>
  storage backup
  at 2001-01-01
</as-of>
`, zeo, at, here.data, here.blobs, archive, cache)
	for moment := range wants {
		fmt.Fprintf(&text, "<as-of %v>\n  storage backup\n  at %[1]v\n</as-of>\n", moment)
	}
	conf := filepath.Join(here.dir, "zeo.conf")
	if err := os.WriteFile(conf, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from what is kept
		node := configured(t, at, "-C", conf)
		for moment, want := range wants {
			for _, environment := range []string{"zodb", "zeo5"} {
				reader := startPython(t, environment, "as_of.py", newSite(t, true).blobs, zeo, "", moment.String())
				if got := reader.do(t, "read "+moment.String()); got != want {
					t.Errorf("%v: a client of %s reads other data than the one of then", moment, environment)
				}
				reader.close(t)
			}
		}
		kept, err := filepath.Glob(filepath.Join(cache, "generation-*", "Data.fs.index"))
		if err != nil || len(kept) != 2 {
			t.Errorf("there are indexes of %v, want those of two generations: %v", kept, err)
		}
		stop(t, node)
	}
}

// archivedStory writes a storage with the real ZODB and archives it, and returns a moment in the middle of that, and a
// digest of what a client read then.
func archivedStory(t *testing.T, url string, archived ...string) (moment, want zodb.Tid) {
	t.Helper()
	archivedStories(t, url, func(i int, last, read zodb.Tid) {
		if i == 1 {
			moment, want = last, read
		}
	}, archived...)
	return moment, want
}

// archivedStories tells of the end of each part, and of a digest of what a client read then.
func archivedStories(t *testing.T, url string, tell func(i int, last, read zodb.Tid), archived ...string) {
	t.Helper()
	s, to, live := newSite(t, true), freeAddress(t), freeAddress(t)
	for i, commands := range [][]string{
		{"create 9"}, {"commit 20"}, {"create 6", "commit 20", "undo"}, {"pack", "commit 3"},
	} {
		owner := startOwner(t, s)
		for _, command := range commands {
			owner.do(t, command)
		}
		last := owner.close(t)
		primary := start(t, "primary", s, append([]string{"--replicate-to", to, "--zeo", live, "--archive", url,
			"--archive-interval", "1s"}, archived...)...)
		_, err := primary.Await(within(t), "everything is archived", func(s *admin.Status) bool {
			return s.Archive != nil && s.Archive.LastTid != nil && *s.Archive.LastTid == last && s.Archive.Complete
		})
		if err != nil {
			t.Fatal(err)
		}
		reader := startPython(t, "zodb", "as_of.py", newSite(t, true).blobs, live, "")
		tell(i, last, reader.do(t, "read "+last.String()))
		reader.close(t)
		stop(t, primary)
	}
}

// fromArchive serves a moment of an archive.
func fromArchive(t *testing.T, url string, moment zodb.Tid, cache, zeo string, more ...string) *daemon.Process {
	t.Helper()
	at := filepath.Join(cache, "admin")
	return configured(t, at, append([]string{"--from-archive", url, "--as-of", moment.String(), "--cache", cache,
		"--zeo", zeo, "--admin", at}, more...)...)
}

// A client hears that the archive is away, in words, for what is not kept, and nothing else; then it goes on. What is
// damaged in the archive fails the loads of what is there.
func TestClientsOfAnArchiveThatIsAwayOrDamagedHearWhy(t *testing.T) {
	archive := t.TempDir()
	moment, want := archivedStory(t, archive)
	cache, old := filepath.Join(t.TempDir(), "cache"), freeAddress(t)
	node := fromArchive(t, archive, moment, cache, old)
	forget := func(pattern string) {
		t.Helper()
		kept, err := filepath.Glob(filepath.Join(cache, "Data.fs.segments", pattern))
		if err != nil || len(kept) == 0 {
			t.Fatal(kept, err)
		}
		for _, path := range kept {
			if err := os.Truncate(path, 0); err != nil { // it may be open: a name that is removed would not be missed
				t.Fatal(err)
			}
		}
	}
	reader := startPython(t, "zodb", "as_of.py", newSite(t, true).blobs, old, "")
	forget("*-0000000001") // the other ones stay
	if err := os.Rename(archive, archive+".away"); err != nil {
		t.Fatal(err)
	}
	if reader.do(t, "broken 60 cannot be read from the archive") == 0 {
		t.Error("objects were read from an archive that is away")
	}
	if err := os.Rename(archive+".away", archive); err != nil {
		t.Fatal(err)
	}
	reader.close(t)
	if _, err := node.Await(within(t), "the archive can be read again", func(s *admin.Status) bool {
		return s.Ready
	}); err != nil {
		t.Fatal(err)
	}
	reader = startPython(t, "zodb", "as_of.py", newSite(t, true).blobs, old, "")
	if got := reader.do(t, "read "+moment.String()); got != want {
		t.Error("after it was away a client reads other data")
	}
	reader.close(t)
	reader = startPython(t, "zodb", "as_of.py", newSite(t, true).blobs, old, "")
	damage(t, filepath.Join(archive, "seg", "00000001", "0000000001"))
	forget("*-0000000001")
	if reader.do(t, "broken 60 of the archive is damaged") == 0 {
		t.Error("objects were read from a damaged segment")
	}
	reader.close(t)
	if tail := node.Log().Tail(); !strings.Contains(tail, "archive_unread") {
		t.Errorf("the log says nothing of it:\n%s", tail)
	}
}

func damage(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
