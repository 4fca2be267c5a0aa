package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/zodb"
)

// TestClientsSeeAMomentAndNothingOfAfter lets real clients of both releases, with both kinds of blob directories, read
// everything by every method while the storage goes on being written, changed back, and packed up to the moment: on a
// process of its own beside the primary's file, and on the secondary, as a storage of its configuration. All of them
// read what a client of the primary read when that moment was now.
func TestClientsSeeAMomentAndNothingOfAfter(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, true), newSite(t, true)
	a.open(t).Close()
	to, live, old, copied := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	start(t, "primary", a, "--replicate-to", to, "--zeo", live)
	writer := startPython(t, "zodb", "zeo_client.py", newSite(t, true).blobs, live)
	writer.do(t, "create 9")
	moment := writer.do(t, "commit 20")
	now := startPython(t, "zodb", "as_of.py", newSite(t, true).blobs, live, "")
	want := now.do(t, "read "+moment.String())
	now.close(t)
	writer.do(t, "create 6")
	writer.do(t, "commit 20")
	writer.do(t, "undo")

	configured(t, filepath.Join(a.dir, "as-of.admin"), append(a.flags(), "--as-of", moment.String(), "--zeo", old,
		"--admin", filepath.Join(a.dir, "as-of.admin"))...)
	secondary := startAsOfSecondary(t, b, to, copied, moment)
	mustReach(t, secondary, writer.do(t, "commit 1"))
	writer.begin(t, "commit 300")
	for _, where := range []struct{ environment, address, shared string }{
		{"zodb", old, ""}, {"zeo5", old, a.blobs}, {"zeo5", copied, ""}, {"zodb", copied, b.blobs},
	} {
		reader := startPython(t, where.environment, "as_of.py", newSite(t, true).blobs, where.address, where.shared)
		if got := reader.do(t, "read "+moment.String()); got != want {
			t.Errorf("%+v: a client reads other data than the one of then", where)
		}
		reader.close(t)
	}
	writer.answer(t, "commit 300")
	again := startPython(t, "zodb", "as_of.py", newSite(t, true).blobs, old, "")
	if got := again.do(t, "read "+moment.String()); got != want {
		t.Error("after 300 commits a client reads other data than the one of then")
	}
	again.close(t)
	writer.close(t)
}

// startAsOfSecondary runs a secondary whose clients get its storage as "1", as of the moment.
func startAsOfSecondary(t *testing.T, s *site, from, zeo string, moment zodb.Tid) *daemon.Process {
	t.Helper()
	conf, admin := filepath.Join(s.dir, "zeo.conf"), filepath.Join(s.dir, "admin")
	text := fmt.Sprintf(`<zeo>
  address %s
</zeo>
<admin>
  address %s
</admin>
<zrs live>
  replicate-from %s
  <filestorage>
    path %s
    blob-dir %s
  </filestorage>
</zrs>
<as-of 1>
  at %v
</as-of>
`, zeo, admin, from, s.data, s.blobs, moment)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return configured(t, admin, "-C", conf)
}

// configured runs zrsd serve until the end of the test.
func configured(t *testing.T, admin string, args ...string) *daemon.Process {
	t.Helper()
	p, err := daemon.StartConfigured(zrsd, admin, nil, append([]string{"serve"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of zrsd serve %q:\n%s", args, p.Log().Tail())
		}
	})
	if err := p.Up(within(t)); err != nil {
		t.Fatal(err)
	}
	return p
}
