package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/feed"
	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/zodb"
)

// TestAFeedThatIsKilledMissesNothingAndRepeatsNothing kills a feed a hundred times, each a little later in its life,
// while transactions are committed. What is in its file in the end is each of them, once, in order.
func TestAFeedThatIsKilledMissesNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	st := s.open(t)
	defer st.Close()
	w := &pageWriter{st: st}
	out := filepath.Join(s.dir, "changes.jsonl")
	args := []string{"feed", "--data", s.data, "--output", out}
	w.commit(t, 500)
	for kill := range 100 {
		life, cancel := context.WithTimeout(t.Context(), time.Duration(20+2*kill)*time.Millisecond)
		cmd := exec.CommandContext(life, zrsd, append(args, "--follow")...) // its context kills it
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.commit(t, 20)
		_ = cmd.Wait() // it was killed
		cancel()
	}
	durable(t, st)
	if text, err := exec.CommandContext(within(t), zrsd, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	got := fedTids(t, out)
	if len(got) != len(w.tids) {
		t.Fatalf("the feed has %d transactions of %d", len(got), len(w.tids))
	}
	for i := range w.tids {
		if got[i] != w.tids[i] {
			t.Fatalf("transaction %d is %v, want %v", i, got[i], w.tids[i])
		}
	}
}

// A pageWriter commits transactions of one object each.
type pageWriter struct {
	st   *filestorage.Storage
	tids []zodb.Tid
}

// commit commits n of them, which need not be durable yet.
func (w *pageWriter) commit(t *testing.T, n int) {
	t.Helper()
	for range n {
		txn, err := w.st.Begin(t.Context(), &zodb.TxnMeta{Description: []byte("/a/page")})
		if err != nil {
			t.Fatal(err)
		}
		var serial zodb.Tid
		if len(w.tids) > 0 {
			serial = w.tids[len(w.tids)-1]
		}
		if err := txn.Store(7, serial, []byte("\x80\x03cm\nC\n.N.")); err != nil {
			t.Fatal(err)
		}
		if _, err := txn.Enqueue(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.tids = append(w.tids, txn.Tid())
	}
}

// durable waits until all that was committed is.
func durable(t *testing.T, st *filestorage.Storage) {
	t.Helper()
	release, err := st.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	release()
}

// fedTids returns the transactions in the file of a feed.
func fedTids(t *testing.T, path string) (tids []zodb.Tid) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var doc struct {
			Tid     zodb.Tid `json:"tid"`
			Objects []struct {
				Class string `json:"class"`
			} `json:"objects"`
		}
		if err := json.Unmarshal(lines.Bytes(), &doc); err != nil || len(doc.Objects) != 1 ||
			doc.Objects[0].Class != "m.C" {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		tids = append(tids, doc.Tid)
	}
	return tids
}

// TestAFeedOfASecondaryGoesOnWhereItWas follows a secondary by its admin address, over a restart of it.
func TestAFeedOfASecondaryGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, true), newSite(t, true)
	a.open(t).Close()
	to, zeo := freeAddress(t), freeAddress(t)
	start(t, "primary", a, "--replicate-to", to, "--zeo", zeo)
	secondary := start(t, "secondary", b, "--replicate-from", to)
	writer := startPython(t, "zodb", "zeo_client.py", newSite(t, true).blobs, zeo)
	writer.do(t, "create 6")
	out := filepath.Join(b.dir, "changes.jsonl")
	feed := exec.CommandContext(within(t), zrsd, "feed", filepath.Join(b.dir, "admin"), "--follow", "--output", out)
	if err := feed.Start(); err != nil {
		t.Fatal(err)
	}
	mustReach(t, secondary, writer.do(t, "commit 10"))
	stop(t, secondary)
	secondary = start(t, "secondary", b, "--replicate-from", to)
	last := writer.close(t)
	mustReach(t, secondary, last)
	awaitFed(t, out, last)
	if err := feed.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := feed.Wait(); err != nil {
		t.Errorf("the feed was told to end: %v", err)
	}
	var want []zodb.Tid
	stop(t, secondary)
	st := b.open(t)
	defer st.Close()
	for txn, err := range st.Transactions(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, txn.Meta().Tid)
	}
	text, err := os.ReadFile(out)
	if n := bytes.Count(text, []byte("\n")); err != nil || n != len(want) {
		t.Errorf("the feed has %d transactions of %d, %v", n, len(want), err)
	}
}

// awaitFed waits until a transaction is in the file of a feed.
func awaitFed(t *testing.T, path string, tid zodb.Tid) {
	t.Helper()
	ctx := within(t)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if text, err := os.ReadFile(path); err == nil && bytes.Contains(text, []byte(tid.String()+`","time"`)) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("transaction %v did not come to %s", tid, path)
		}
	}
}

// TestAFeedHasPaths compares the paths that a node gives with those from the file, and the last ones with those that
// zrsd find has, of a database that has folders, BTrees and a catalog.
func TestAFeedHasPaths(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../testdata/filestorage/plone-like/Data.fs")
	s := newSite(t, false)
	if err == nil {
		err = os.WriteFile(s.data, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, "primary", s, "--replicate-to", freeAddress(t))
	var texts []string
	for _, from := range [][]string{{filepath.Join(s.dir, "admin")}, {"--data", s.data}} {
		text, err := exec.CommandContext(within(t), zrsd, append([]string{"feed", "--paths"}, from...)...).Output()
		if err != nil {
			t.Fatalf("feed of %v: %v", from, err)
		}
		texts = append(texts, string(text))
	}
	stop(t, p)
	if texts[0] != texts[1] {
		t.Errorf("the node says\n%s\nand the file\n%s", texts[0], texts[1])
	}
	paths := make(map[zodb.Oid]string)
	for line := range strings.Lines(texts[1]) {
		var doc feed.Document
		if err := json.Unmarshal([]byte(line), &doc); err != nil {
			t.Fatal(err)
		}
		for _, o := range doc.Objects {
			paths[o.Oid] = o.Path
		}
	}
	known := 0
	for oid, path := range paths {
		var finds struct{ Objects []struct{ Path inside.Path } }
		if tell(t, &finds, "find", s.data, oid.String(), "--json"); len(finds.Objects) == 1 &&
			path == finds.Objects[0].Path.String() {
			known++
		}
	}
	if known < len(paths)/2 || known < 10 {
		t.Errorf("of %d objects %d have the path that zrsd find has", len(paths), known)
	}
}
