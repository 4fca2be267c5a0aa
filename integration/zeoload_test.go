package integration

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/integration/zeoload"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

// startRunzeo serves data with the real ZEO server until the test ends, and returns its address. Blobs are beside data.
func startRunzeo(t *testing.T, data string) string {
	t.Helper()
	addr, err := endpoint.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "zeo.conf")
	text := fmt.Sprintf("<zeo>\n address %s\n</zeo>\n<filestorage 1>\n path %s\n blob-dir %s\n</filestorage>\n",
		addr, data, filepath.Join(filepath.Dir(data), "blobs"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python(t), "-m", "ZEO.runzeo", "-C", conf)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed on purpose
	})
	limit := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer limit.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "listening on") {
			go func() {
				for lines.Scan() { // so that the server never waits to log
				}
			}()
			return addr
		}
	}
	t.Fatal("runzeo did not start")
	return ""
}

func TestTheLoadGeneratorIsServedByTheRealServer(t *testing.T) {
	ctx := within(t)
	data := filepath.Join(t.TempDir(), "Data.fs")
	storage, err := workload.Open(ctx, data, "")
	if err != nil {
		t.Fatal(err)
	}
	const objects = 100
	err = workload.FillTwice(ctx, storage, workload.Set{Transactions: 10, Records: objects / 10, RecordSize: 500}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := storage.Close(); err != nil {
		t.Fatal(err)
	}
	addr := startRunzeo(t, data)
	const brief = 200 * time.Millisecond
	loads, err := zeoload.Loads(ctx, clients(ctx, t, addr, true), objects, 4, brief)
	if err != nil || len(loads.Latencies) == 0 || loads.PerSecond() == 0 || loads.Quantile(0.99) < loads.Quantile(0.5) {
		t.Errorf("%d loads, %v", len(loads.Latencies), err)
	}
	writers := clients(ctx, t, addr, false)
	commits, err := zeoload.Commits(ctx, writers, 1<<32, 1000, brief)
	if err != nil || len(commits.Latencies) == 0 {
		t.Fatalf("%d commits, %v", len(commits.Latencies), err)
	}
	later := clients(ctx, t, addr, false)
	if later[0].Registered() <= writers[0].Registered() {
		t.Errorf("the storage ended at %v before the commits, and at %v after them", writers[0].Registered(),
			later[0].Registered())
	}
	generateTheRest(ctx, t, addr, data)
}

// generateTheRest goes through what else the generator does.
func generateTheRest(ctx context.Context, t *testing.T, addr, data string) {
	t.Helper()
	told := make(chan zodb.Tid, 2)
	watcher, err := zeoload.Dial(ctx, addr, true, func(tid zodb.Tid, _ []zodb.Oid) { told <- tid })
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	conn := clients(ctx, t, addr, false)[0]
	w, err := zeoload.NewWriter(conn, 2<<32, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		select {
		case tid := <-told:
			if tid != w.Tid() {
				t.Errorf("invalidation of %v, want %v", tid, w.Tid())
			}
		case <-watcher.Done():
			t.Fatal(watcher.Err())
		}
	}
	const size = 1_000_000
	tid, err := zeoload.StoreBlob(ctx, conn, 3<<32, size)
	if err != nil {
		t.Fatal(err)
	}
	var blob bytes.Buffer
	if err := conn.FetchBlob(ctx, 3<<32, tid, &blob); err != nil || blob.Len() != size {
		t.Errorf("%d bytes of a blob of %d, %v", blob.Len(), size, err)
	}
	before, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Pack(ctx, time.Now()); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(data); err != nil || after.Size() >= before.Size() {
		t.Errorf("%v after the pack, %d bytes before it, %v", after, before.Size(), err)
	}
}

// clients returns three connections, closed when the test ends.
func clients(ctx context.Context, t *testing.T, addr string, readOnly bool) []*client.Conn {
	t.Helper()
	conns := make([]*client.Conn, 3)
	for i := range conns {
		c, err := zeoload.Dial(ctx, addr, readOnly, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		conns[i] = c
	}
	return conns
}
