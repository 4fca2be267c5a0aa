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
	"github.com/zrsd/zrsd/internal/daemon"
)

// startRunzeo serves data with the real ZEO server until the test ends, and returns its address. Blobs are beside data.
func startRunzeo(t *testing.T, data string) string {
	t.Helper()
	addr, err := daemon.FreeAddress(t.Context())
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
	if later[0].Last <= writers[0].Last {
		t.Errorf("the storage ended at %v before the commits, and at %v after them", writers[0].Last, later[0].Last)
	}
	generateTheRest(t, later, data)
}

// generateTheRest goes through what else the generator does.
func generateTheRest(t *testing.T, conns []*zeoload.Conn, data string) {
	t.Helper()
	w := zeoload.NewWriter(conns[0], 2<<32, 1000)
	for range 2 {
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		if tid, err := conns[1].Invalidation(); err != nil || tid != w.Tid() {
			t.Errorf("invalidation of %v, want %v: %v", tid, w.Tid(), err)
		}
	}
	const size = 1_000_000
	tid, err := conns[0].StoreBlob(3<<32, size)
	if err != nil {
		t.Fatal(err)
	}
	var blob bytes.Buffer
	if err := conns[2].FetchBlob(3<<32, tid, &blob); err != nil || blob.Len() != size {
		t.Errorf("%d bytes of a blob of %d, %v", blob.Len(), size, err)
	}
	before, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := conns[1].Pack(time.Now()); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(data); err != nil || after.Size() >= before.Size() {
		t.Errorf("%v behind the pack, %d bytes before it, %v", after, before.Size(), err)
	}
}

// clients returns three connections, closed when the test ends.
func clients(ctx context.Context, t *testing.T, addr string, readOnly bool) []*zeoload.Conn {
	t.Helper()
	conns := make([]*zeoload.Conn, 3)
	for i := range conns {
		c, err := zeoload.Dial(ctx, addr, "1", readOnly)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		conns[i] = c
	}
	return conns
}
