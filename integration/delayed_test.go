package integration

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/zodb"
)

// applyDelay is long enough for a mistake to be received, and the node to be stopped before it.
const applyDelay = 5 * time.Second

// TestADelayedSecondaryShowsLaterStopsBeforeAMistakeAndIsPromoted is a mistake that an operator stops before the
// clients of the delayed secondary see it. All of them are real ones, and read everything by every method.
func TestADelayedSecondaryShowsLaterStopsBeforeAMistakeAndIsPromoted(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, true), newSite(t, true)
	a.open(t).Close()
	first, second, zeoA, zeoB := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	primary := start(t, "primary", a, "--replicate-to", first, "--zeo", zeoA)
	delayed := []string{"--replicate-from", first, "--replicate-to", second, "--zeo", zeoB, "--apply-delay",
		applyDelay.String()}
	secondary := start(t, "secondary", b, delayed...)
	writer := startPython(t, "zodb", "zeo_client.py", newSite(t, true).blobs, zeoA)
	writer.do(t, "create 9")
	good := writer.do(t, "commit 10")
	want := readAsOf(t, zeoA, good)
	mustReach(t, secondary, good)
	at := filepath.Join(b.dir, "admin")
	command(t, "apply-until", at, good.String())
	mistake := writer.do(t, "commit 10")
	mustReach(t, secondary, mistake)

	mustShow(t, secondary, good)
	if got := readAsOf(t, zeoB, good); got != want {
		t.Error("its clients do not read what there was before the mistake")
	}
	mustTell(t, at, good, mistake)
	fed := filepath.Join(b.dir, "changes.jsonl")
	feed := exec.CommandContext(within(t), zrsd, "feed", at, "--follow", "--output", fed)
	if err := feed.Start(); err != nil {
		t.Fatal(err)
	}
	awaitFed(t, fed, good)
	if err := secondary.Kill(); err != nil {
		t.Fatal(err)
	}
	secondary = start(t, "secondary", b, delayed...)
	mustReach(t, secondary, mistake)
	mustShow(t, secondary, good)
	if got := readAsOf(t, zeoB, good); got != want {
		t.Error("after a kill its clients do not read what there was before the mistake")
	}

	reader := startPython(t, "zodb", "zeo_reader.py", "reader", newSite(t, true).blobs, zeoB)
	command(t, "apply-until", at, "--resume")
	last := writer.do(t, "commit 10")
	reader.do(t, "see "+last.String())
	if now := time.Now(); now.Before(last.Time().Add(applyDelay)) {
		t.Errorf("a client sees at %v what was committed at %v", now, last.Time())
	}
	reader.close(t)
	awaitFed(t, fed, last)

	hidden := writer.do(t, "commit 10")
	mustReach(t, secondary, hidden)
	mustTell(t, at, last, hidden)
	writer.kill(t)
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	command(t, "apply-until", at, last.String())
	out, err := exec.CommandContext(within(t), zrsd, "promote", at, "--dry-run").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "apply-until --resume first") {
		t.Errorf("while it is held it is promoted: %v\n%s", err, out)
	}
	command(t, "apply-until", at, "--resume")
	if text := command(t, "promote", at); !strings.Contains(text, "become seen") {
		t.Errorf("a promotion does not say what it shows:\n%s", text)
	}
	writer = startPython(t, "zodb", "zeo_client.py", newSite(t, true).blobs, zeoB)
	if tid := writer.do(t, "commit 1"); tid <= hidden {
		t.Errorf("a client commits %v after %v", tid, hidden)
	}
	writer.close(t)
	awaitFed(t, fed, hidden)
	if err := errors.Join(feed.Process.Signal(os.Interrupt), feed.Wait()); err != nil {
		t.Errorf("the feed: %v", err)
	}
}

// mustTell looks for transactions in the feed and in the undo log of a node: they have the first one, and not the
// second one, which only the undo log of everything that was received has.
func mustTell(t *testing.T, at string, shown, hidden zodb.Tid) {
	t.Helper()
	for text, want := range map[string]bool{
		command(t, "feed", at): false, command(t, "undo-log", at): false,
		command(t, "undo-log", at, "--received"): true,
	} {
		if !strings.Contains(text, shown.String()) || strings.Contains(text, hidden.String()) != want {
			t.Errorf("it has to have %v, and %v: %t:\n%s", shown, hidden, want, text)
		}
	}
	if text := command(t, "feed", at, "--after", "latest"); text != "" {
		t.Errorf("after the latest transaction the feed has\n%s", text)
	}
}

// mustShow waits until clients see everything up to a transaction, and nothing after it.
func mustShow(t *testing.T, p *daemon.Process, tid zodb.Tid) {
	t.Helper()
	if _, err := p.Await(within(t), "it shows "+tid.String(), func(st *admin.Status) bool {
		return st.ApplyDelay != nil && st.ApplyDelay.Shown != nil && *st.ApplyDelay.Shown == tid
	}); err != nil {
		t.Fatal(err)
	}
}

// readAsOf has a client read everything, as of the last transaction, and returns a digest of it.
func readAsOf(t *testing.T, zeo string, tid zodb.Tid) zodb.Tid {
	t.Helper()
	p := startPython(t, "zodb", "as_of.py", newSite(t, true).blobs, zeo, "")
	defer p.close(t)
	return p.do(t, "read "+tid.String())
}
