package integration

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// An installation is what docs/migrating-from-zc-zrs.md moves: a primary whose clients write, a secondary, and a
// secondary of that. A primary and its first secondary may change their roles.
type installation struct {
	a, b, c *machine
	clients *pyProcess
	last    zodb.Tid // that the clients were told is committed
}

// A runner starts a machine as a primary, or as a secondary of another one.
type runner func(m *machine, t *testing.T, from *machine)

func TestAnInstallationMovesFromZcZRSToZrsdAndBackWhileItsClientsWrite(t *testing.T) {
	t.Parallel()
	in := &installation{a: newMachine(t, "A"), b: newMachine(t, "B"), c: newMachine(t, "C")}
	python, zrsd := runner((*machine).runPython), runner((*machine).runZrsd)
	python(in.a, t, nil)
	python(in.b, t, in.a)
	python(in.c, t, in.b)
	in.connect(t)
	in.last = in.clients.do(t, "create 12")
	in.c.reach(t, in.last)

	thereAndBack(zrsd, python, func(next runner) { in.exchange(t, in.c, in.b, next) })
	thereAndBack(zrsd, python, func(next runner) { in.exchange(t, in.b, in.a, next) })
	in.change(t, in.b, (*machine).runAttached, in.a, python)
	in.change(t, in.a, python, in.b, zrsd)
	in.change(t, in.b, zrsd, in.a, python)
	thereAndBack(zrsd, python, func(next runner) { in.exchange(t, in.a, in.b, next) })
	thereAndBack((*machine).runNative, zrsd, func(next runner) { in.exchange(t, in.c, in.b, next) })

	in.exchange(t, in.c, in.b, zrsd)
	in.exchange(t, in.a, in.b, python)
	in.change(t, in.a, python, in.b, zrsd)
	in.exchange(t, in.b, in.a, python)
	in.exchange(t, in.c, in.b, python)
	in.end(t)
}

// thereAndBack takes a step, the way back, and the step again.
func thereAndBack(there, back runner, step func(next runner)) {
	for _, next := range []runner{there, back, there} {
		step(next)
	}
}

// exchange lets another program take over a secondary while the clients write. All catch up.
func (in *installation) exchange(t *testing.T, m, from *machine, next runner) {
	t.Helper()
	in.clients.begin(t, "commit 30")
	m.stop(t)
	next(m, t, from)
	in.last = in.clients.answer(t, "commit 30")
	in.allReach(t)
}

// change makes the secondary the primary and the primary its secondary.
func (in *installation) change(t *testing.T, secondary *machine, first runner, primary *machine, second runner) {
	t.Helper()
	in.last = in.clients.close(t)
	primary.stop(t)
	secondary.reach(t, in.last)
	secondary.stop(t)
	copyMissingBlobs(t, primary.site, secondary.site)
	first(secondary, t, nil)
	second(primary, t, secondary)
	in.connect(t)
	in.last = in.clients.do(t, "commit 10")
	in.allReach(t)
}

func (in *installation) allReach(t *testing.T) {
	t.Helper()
	for _, m := range []*machine{in.a, in.b, in.c} {
		m.reach(t, in.last)
	}
}

// connect starts the clients, who know the addresses of both machines that may be primary.
func (in *installation) connect(t *testing.T) {
	t.Helper()
	in.clients = startPython(t, "zodb", "zeo_client.py", newSite(t, true).blobs, in.a.zeo, in.b.zeo)
}

// end stops everything and expects the same in all places.
func (in *installation) end(t *testing.T) {
	t.Helper()
	in.clients.close(t)
	for _, m := range []*machine{in.a, in.b, in.c} {
		m.stop(t)
	}
	mustBeSound(t, in.a.site)
	mustBeReplicated(t, in.a.site, in.b.site, zcZRS)
	mustBeReplicated(t, in.a.site, in.c.site, zcZRS)
}

// copyMissingBlobs gives a machine that was a zc.zrs secondary the empty blobs that it does not have.
func copyMissingBlobs(t *testing.T, from, to *site) {
	t.Helper()
	have := blobFiles(t, to.blobs)
	for name := range blobFiles(t, from.blobs) {
		if have[name] {
			continue
		}
		content, err := os.ReadFile(filepath.Join(from.blobs, name))
		if err != nil {
			t.Fatal(err)
		}
		if len(content) > 0 {
			t.Errorf("%s has been replicated without the blob %s of %d bytes", to.data, name, len(content))
		}
		target := filepath.Join(to.blobs, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
