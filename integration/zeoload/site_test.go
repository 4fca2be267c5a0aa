package zeoload

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/internal/zeotest"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience ends every wait; a healthy run never comes near it.
const patience = 2 * time.Minute

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, fmt.Errorf("patience of %v is over", patience))
	t.Cleanup(cancel)
	return ctx
}

// A site is a server of our own with the storage "1"; the tests in integration use the real one.
type site struct {
	storage *filestorage.Storage
	addr    string
}

func start(t *testing.T) *site {
	t.Helper()
	return startWith(t, zeo.Options{})
}

// inBoth runs a test with a server of each encoding.
func inBoth(t *testing.T, test func(t *testing.T, s *site)) {
	t.Helper()
	for name, msgpack := range map[string]bool{"Z5": false, "M5": true} {
		t.Run(name, func(t *testing.T) { test(t, startWith(t, zeo.Options{Msgpack: msgpack})) })
	}
}

func startWith(t *testing.T, opt zeo.Options) *site {
	t.Helper()
	dir := t.TempDir()
	storage, err := workload.Open(t.Context(), filepath.Join(dir, "Data.fs"), filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	opt.Buffers = dir
	addr, _ := zeotest.Serve(t, storage, opt, zeo.StorageOptions{})
	return &site{storage, addr}
}

// clients returns n connections, whose waits end with ctx.
func (s *site) clients(ctx context.Context, t *testing.T, n int) []*client.Conn {
	t.Helper()
	conns := make([]*client.Conn, n)
	for i := range conns {
		c, err := Dial(ctx, s.addr, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		conns[i] = c
	}
	return conns
}

// first is the first of the objects that the tests commit.
const first = zodb.Oid(1 << 32)
