package integration

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/zodb"
)

// writerEnv makes the test binary play a writer on the site that it names, as "DATA\nBLOBS", instead of running tests.
const writerEnv = "ZRSD_TEST_WRITER"

func TestRandomKillsOfTheWriterLoseNoAcknowledgedTransaction(t *testing.T) {
	d := seededRand(t)
	for round := range rounds(10) {
		s := newSite(t, true)
		acknowledged := 2 + d.IntN(100)
		last := writeAndKill(t, s, acknowledged)

		storage := s.open(t)
		if storage.LastTid() < last {
			t.Fatalf("round %d: %v was acknowledged, the storage ends with %v", round, last, storage.LastTid())
		}
		if _, err := storage.Find(t.Context(), last); err != nil {
			t.Fatalf("round %d: %v was acknowledged: %v", round, last, err)
		}
		if err := storage.Close(); err != nil {
			t.Fatal(err)
		}
		mustBeSound(t, s)
	}
}

// writeAndKill runs a writer on s in a process of its own, kills it after it has acknowledged n transactions,
// wherever it is then, and returns the last tid that it acknowledged.
func writeAndKill(t *testing.T, s *site, n int) (last zodb.Tid) {
	t.Helper()
	cmd := exec.CommandContext(within(t), os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+s.data+"\n"+s.blobs)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for count := 0; lines.Scan(); count++ {
		if last, err = zodb.ParseTid(lines.Text()); err != nil {
			t.Fatal(err)
		}
		if count == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the writer ended by itself")
	}
	return last
}

// writeUntilKilled is what a writer process does: it commits, and prints each tid when the commit is acknowledged.
func writeUntilKilled() int {
	var data, blobs string
	if _, err := fmt.Sscanf(os.Getenv(writerEnv), "%s\n%s", &data, &blobs); err != nil {
		fmt.Fprintln(os.Stderr, "writer:", err)
		return 1
	}
	ctx := context.Background()
	storage, err := workload.Open(ctx, data, blobs)
	if err != nil {
		fmt.Fprintln(os.Stderr, "writer:", err)
		return 1
	}
	shape := workload.Shape{Objects: 10, Blobs: 3, RecordSize: 2000, BlobSize: 50_000}
	owner, err := workload.NewOwner(ctx, storage, shape, 1)
	for err == nil {
		var tid zodb.Tid
		if tid, err = owner.Commit(ctx); err == nil {
			_, err = fmt.Fprintln(os.Stdout, tid)
		}
	}
	fmt.Fprintln(os.Stderr, "writer:", err)
	return 1
}
