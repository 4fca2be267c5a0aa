// Package nodetest runs nodes in tests: on disks that are simulated, with an admin server on a Unix socket.
package nodetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// Patience is how long a test waits for what must happen.
const Patience = 5 * time.Minute

// DiskWith returns a disk with a storage of n transactions.
func DiskWith(t *testing.T, n int) *simdisk.Disk {
	t.Helper()
	disk := simdisk.New()
	Commit(t, disk, n)
	return disk
}

// Commit adds n transactions to the storage on a disk that no node has open.
func Commit(t *testing.T, disk vfs.FS, n int) {
	t.Helper()
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		txn, err := st.Begin(t.Context(), &zodb.TxnMeta{Description: fmt.Appendf(nil, "transaction %d", i)})
		if err != nil {
			t.Fatal(err)
		}
		serial, _ := st.GetTid(1)
		if err := txn.Store(1, serial, fmt.Appendf(nil, "state %d", i)); err != nil {
			t.Fatal(err)
		}
		if _, err := txn.Finish(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

// Content returns what is in a file of a disk.
func Content(t *testing.T, disk vfs.FS, path string) []byte {
	t.Helper()
	f, err := disk.OpenFile(path, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was read only
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// Put writes a file of a disk.
func Put(t *testing.T, disk vfs.FS, path string, b []byte) {
	t.Helper()
	f, err := disk.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(b, 0)
	if err := errors.Join(err, f.Sync(), f.Close(), disk.SyncDir(".")); err != nil {
		t.Fatal(err)
	}
}

// Socket is an address in the file system.
func Socket(t *testing.T, path string) endpoint.Endpoint {
	t.Helper()
	e, err := endpoint.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Sockets returns the addresses where a node serves secondaries, and its admin server, in a folder of their own.
func Sockets(t *testing.T) (replication, control endpoint.Endpoint) {
	t.Helper()
	dir := t.TempDir()
	return Socket(t, filepath.Join(dir, "to")), Socket(t, filepath.Join(dir, "admin"))
}

// A Running is a node at work.
type Running struct {
	control endpoint.Endpoint // of its admin server
	Stop    context.CancelFunc
	Ended   chan error // one slot; who takes the error puts nil in its place
}

// Run runs a node until the test ends, or Stop is called. That it ends with an error fails the test.
func Run(t *testing.T, control endpoint.Endpoint, node func(context.Context) error) *Running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &Running{control, cancel, make(chan error, 1)}
	go func() { r.Ended <- node(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-r.Ended; err != nil {
			t.Error(err)
		}
	})
	return r
}

// Await asks for the status until ok holds for it.
func (r *Running) Await(t *testing.T, what string, ok func(*admin.Status) bool) *admin.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var last []byte
	var failed error
	for {
		asked := time.Now()
		raw, st, err := admin.Fetch(ctx, r.control.Dial, "")
		if err == nil && ok(st) {
			return st
		}
		if err == nil {
			last, failed = raw, nil
		}
		if ctx.Err() != nil {
			if waited := time.Since(asked); waited > Patience/4 {
				t.Logf("the last question has waited for %v; the goroutines are:\n%s", waited, stacks())
			}
			t.Fatalf("never %s; last answer: %s, and then %v", what, last, errors.Join(failed, err))
		}
		if err != nil {
			failed = err
		}
		select {
		case <-tick.C:
		case err := <-r.Ended:
			r.Ended <- nil
			t.Fatalf("ended while waiting until %s: %v", what, err)
		case <-ctx.Done():
		}
	}
}

// stacks returns what all goroutines do.
func stacks() []byte {
	b := make([]byte, 4<<20)
	return b[:runtime.Stack(b, true)]
}

// End stops the node and expects that this is no error.
func (r *Running) End(t *testing.T) {
	t.Helper()
	r.Stop()
	err := <-r.Ended
	r.Ended <- nil
	if err != nil {
		t.Fatal(err)
	}
}

// Unready waits until the node says that it is not ready, and why.
func (r *Running) Unready(t *testing.T, why string) {
	t.Helper()
	r.Await(t, "it says why it is not ready: "+why, func(st *admin.Status) bool {
		return !st.Ready && st.NotReady != nil && strings.Contains(*st.NotReady, why)
	})
}

// Ready is a condition for Await.
func Ready(st *admin.Status) bool { return st.Ready }
