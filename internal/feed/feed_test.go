package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// numbers is a source of documents of the transactions after one, up to the last.
type numbers struct{ after, last zodb.Tid }

func (n *numbers) Pending() bool { return n.after < n.last && n.after%3 != 0 }

func (n *numbers) Next(context.Context) (Line, error) {
	if n.after == n.last {
		return Line{}, io.EOF
	}
	n.after++
	return Line{n.after, fmt.Appendf(nil, "{\"tid\":\"%v\"}\n", n.after)}, nil
}

// text is what a file has when all transactions up to n are in it once.
func text(n zodb.Tid) string {
	var all strings.Builder
	for tid := zodb.Tid(1); tid <= n; tid++ {
		fmt.Fprintf(&all, "{\"tid\":\"%v\"}\n", tid)
	}
	return all.String()
}

func content(t *testing.T, disk vfs.FS, path string) string {
	t.Helper()
	f, err := disk.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A power failure at any operation leaves a file that goes on where it was: each transaction is in it exactly once, and
// none is missing that a Put has returned for.
func TestAFileHasEachTransactionOnceThroughPowerFailures(t *testing.T) {
	const last = 20
	for stop := 1; ; stop++ {
		disk := simdisk.New()
		disk.PowerOffAt(stop)
		var durable zodb.Tid
		err := feedInto(t, disk, last, &durable)
		disk = disk.Crash(uint64(stop))
		before := content(t, disk, "out")
		if !strings.HasPrefix(before, text(durable)) {
			t.Fatalf("stopped at operation %d: %v was put, and the file has %q", stop, durable, before)
		}
		done := err == nil
		if err := feedInto(t, disk, last, &durable); err != nil {
			t.Fatalf("stopped at operation %d, then: %v", stop, err)
		}
		if got := content(t, disk, "out"); got != text(last) {
			t.Fatalf("stopped at operation %d: the file has %q", stop, got)
		}
		if done {
			return
		}
	}
}

func feedInto(t *testing.T, disk vfs.FS, last zodb.Tid, durable *zodb.Tid) error {
	t.Helper()
	f, err := OpenFile(disk, "out")
	if err != nil {
		return err
	}
	defer f.Close()
	cursor, _, _ := f.Cursor(t.Context())
	return Run(t.Context(), &numbers{cursor, last}, f, func(tid zodb.Tid) { *durable = tid })
}

// Whatever an interrupted append has left is cut off, at each byte of it.
func TestAFileIsCutOffAfterItsLastWholeLine(t *testing.T) {
	for size := range len(text(3)) + 1 {
		path := filepath.Join(t.TempDir(), "out")
		if err := os.WriteFile(path, []byte(text(3)[:size]), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := OpenFile(vfs.OS{}, path)
		if err != nil {
			t.Fatal(err)
		}
		cursor, some, _ := f.Cursor(t.Context())
		err = errors.Join(Run(t.Context(), &numbers{cursor, 5}, f, nil), f.Close())
		if got, _ := os.ReadFile(path); err != nil || string(got) != text(5) || some != (size >= len(text(1))) {
			t.Fatalf("cut at %d: %q, %v, a cursor: %v", size, got, err, some)
		}
	}
}

func TestAFileOfAnotherKindIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	for _, other := range []string{"text\n", "{}\n", "[1]\n"} {
		if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenFile(vfs.OS{}, path); err == nil {
			t.Errorf("%q was taken for a feed", other)
		}
		if got, _ := os.ReadFile(path); string(got) != other {
			t.Errorf("%q became %q", other, got)
		}
	}
}

// A server that fails, is busy, or loses its answer gets each event until it has taken it, in order and under one id.
// What it refuses for good ends the feed, before any later event.
func TestEventsArePostedUntilTheyAreTaken(t *testing.T) {
	var mu sync.Mutex // each request may come on a connection of its own
	var seen []string
	answers := []int{500, 429, 200, 0, 204, 200, 400}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var event cloudEvent
		if err := json.NewDecoder(r.Body).Decode(&event); err != nil ||
			r.Header.Get("Content-Type") != "application/cloudevents+json" || event.SpecVersion != "1.0" {
			t.Errorf("posted %+v, %v", event, err)
		}
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, event.ID[15:])
		code := answers[0]
		answers = answers[1:]
		if code == 0 {
			panic(http.ErrAbortHandler) // it was taken, and the answer is lost
		}
		w.WriteHeader(code)
	}))
	defer server.Close()
	disk := simdisk.New()
	troubles := 0
	sink := func() *HTTP {
		return &HTTP{URL: server.URL, Source: "zrsd/", Client: server.Client(), Disk: disk, File: "cursor",
			Trouble: func(error) { troubles++ }, pause: func(context.Context, time.Duration) bool { return true }}
	}
	if err := Run(t.Context(), &numbers{0, 3}, sink(), nil); err != nil {
		t.Fatal(err)
	}
	cursor, ok, err := sink().Cursor(t.Context())
	if err != nil || !ok || cursor != 3 {
		t.Errorf("the cursor is %v, %v, %v", cursor, ok, err)
	}
	if err := Run(t.Context(), &numbers{cursor, 5}, sink(), nil); err == nil {
		t.Error("an event was refused, and the feed went on")
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"1", "1", "1", "2", "2", "3", "4"}; !slices.Equal(seen, want) || troubles != 3 {
		t.Errorf("posted %v with %d troubles, want %v with 3", seen, troubles, want)
	}
}

// Each object has its class, size, blob and what became of it; states are decoded where they are asked for.
func TestADocumentSaysWhatATransactionWrote(t *testing.T) {
	blobs, err := blobstore.Open("../../testdata/filestorage/blobs-bushy/blobs", blobstore.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	st, err := filestorage.Open(t.Context(), "../../testdata/filestorage/blobs-bushy/Data.fs",
		filestorage.Options{ReadOnly: true, Blobs: blobs})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var out bytes.Buffer
	feedOf := func(opt Options) []Document {
		it, err := st.Iterate(0, false)
		if err != nil {
			t.Fatal(err)
		}
		defer it.Close()
		out.Reset()
		if err := Run(t.Context(), FromIterator(it, opt), Writer{&out}, nil); err != nil {
			t.Fatal(err)
		}
		var docs []Document
		for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
			var doc Document
			if err := json.Unmarshal([]byte(withoutStates(line)), &doc); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			docs = append(docs, doc)
		}
		return docs
	}
	n, _, err := st.Count(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if docs := feedOf(Options{}); int64(len(docs)) != n || docs[0].Tid == 0 || docs[0].Time.IsZero() {
		t.Errorf("%d documents of %d transactions: %+v", len(docs), n, docs)
	}
	found := 0
	for _, doc := range feedOf(Options{Classes: []string{"ZODB.blob.*"}}) {
		for _, o := range doc.Objects {
			if o.Class != "ZODB.blob.Blob" {
				t.Errorf("an object of class %s", o.Class)
			}
			if o.Blob != nil {
				found++
				if _, err := os.Stat("../../testdata/filestorage/blobs-bushy/blobs/" + o.Blob.Name); err != nil ||
					o.Blob.Size < 0 {
					t.Errorf("blob %+v: %v", o.Blob, err)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no blob was found")
	}
	feedOf(Options{States: true})
	if !strings.Contains(out.String(), `"state":null`) {
		t.Errorf("no state in %.500s", out.String())
	}
}

// withoutStates is a document whose states, which are only written, are not read again.
func withoutStates(line string) string { return strings.ReplaceAll(line, `"state":`, `"ignored":`) }

// BenchmarkFeed measures transactions a second, read, made to documents and written durably.
func BenchmarkFeed(b *testing.B) {
	path := filepath.Join(b.TempDir(), "Data.fs")
	st, err := filestorage.Open(b.Context(), path, filestorage.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	data := []byte("\x80\x03cpersistent.mapping\nPersistentMapping\nq\x00.\x80\x03}q\x01X\x04\x00\x00\x00dataq\x02}q\x03s.")
	for i := range b.N {
		txn, err := st.Begin(b.Context(), &zodb.TxnMeta{User: []byte(" admin"), Description: []byte("/a/page")})
		if err != nil {
			b.Fatal(err)
		}
		for j := range 3 {
			if err := txn.Store(zodb.Oid(3*i+j), 0, data); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := txn.Enqueue(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	release, err := st.Hold(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	release()
	it, err := st.Iterate(0, false)
	if err != nil {
		b.Fatal(err)
	}
	defer it.Close()
	f, err := OpenFile(vfs.OS{}, path+".feed")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.ResetTimer()
	if err := Run(b.Context(), FromIterator(it, Options{}), f, nil); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "txn/s")
}
