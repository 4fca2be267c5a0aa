package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = time.Minute

// diskWith returns a disk with a storage of n transactions.
func diskWith(t *testing.T, n int) *simdisk.Disk {
	t.Helper()
	disk := simdisk.New()
	commit(t, disk, n)
	return disk
}

// commit adds n transactions to the storage on a disk that no node has open.
func commit(t *testing.T, disk vfs.FS, n int) {
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

func dataOf(t *testing.T, disk vfs.FS) string {
	t.Helper()
	f, err := disk.OpenFile("Data.fs", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A site is where one node lives: its disk and its sockets.
type site struct {
	disk        vfs.FS
	to, control endpoint.Endpoint
	coordinator *CoordinatorConfig // nil: none
	name        string
	sync        SyncConfig

	newIdentity, asItWas bool

	sharedBlobs string // the primary's blob directory; empty: none is shared
}

func newSite(t *testing.T, disk vfs.FS) *site {
	t.Helper()
	dir := t.TempDir()
	return &site{disk: disk, to: socket(t, filepath.Join(dir, "to")), control: socket(t, filepath.Join(dir, "admin"))}
}

func socket(t *testing.T, path string) endpoint.Endpoint {
	t.Helper()
	e, err := endpoint.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (s *site) config() Config {
	return Config{
		FS: s.disk, Data: "Data.fs", Name: s.name, Sync: s.sync, ReplicateTo: s.to, Admin: s.control,
		Coordinator: s.coordinator, NewIdentity: s.newIdentity, AsItWas: s.asItWas,
		Blobs: s.sharedBlobs, SharedBlobs: s.sharedBlobs != "",
		Heartbeat: 50 * time.Millisecond, MaxSecondaries: 4, DrainTimeout: patience,
	}
}

// A running is a node at work.
type running struct {
	*site
	stop  context.CancelFunc
	ended chan error
}

func (s *site) run(t *testing.T, node func(context.Context) error) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{s, cancel, make(chan error, 1)}
	go func() { r.ended <- node(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
	})
	return r
}

func (s *site) primary(t *testing.T) *running {
	t.Helper()
	return s.run(t, func(ctx context.Context) error { return runPrimary(ctx, PrimaryConfig{Config: s.config()}) })
}

func (s *site) secondaryConfig(from *site) SecondaryConfig {
	return SecondaryConfig{Config: s.config(), ReplicateFrom: []endpoint.Endpoint{from.to}, ReadyLag: time.Minute,
		MaxRecord: 1 << 20}
}

func (s *site) secondary(t *testing.T, from *site) *running {
	t.Helper()
	return s.run(t, func(ctx context.Context) error { return runSecondary(ctx, s.secondaryConfig(from)) })
}

// await asks for the status until ok holds for it.
func (r *running) await(t *testing.T, what string, ok func(*admin.Status) bool) *admin.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		raw, st, err := admin.Fetch(ctx, r.control.Dial, "")
		if err == nil && ok(st) {
			return st
		}
		select {
		case <-tick.C:
		case err := <-r.ended:
			r.ended <- nil
			t.Fatalf("ended while waiting until %s: %v", what, err)
		case <-ctx.Done():
			t.Fatalf("never %s; last answer: %s, %v", what, raw, err)
		}
	}
}

// end stops the node and expects that this is no error.
func (r *running) end(t *testing.T) {
	t.Helper()
	r.stop()
	err := <-r.ended
	r.ended <- nil
	if err != nil {
		t.Fatal(err)
	}
}

func ready(st *admin.Status) bool { return st.Ready }

// fails runs a node that must end by itself with an error of type E.
func fails[E error](t *testing.T, err error) (e E) {
	t.Helper()
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a %T", err, e)
	}
	return e
}

// runPrimary runs a primary until ctx ends, as a process of this storage alone.
func runPrimary(ctx context.Context, cfg PrimaryConfig) error {
	if err := cfg.check(); err != nil {
		return err
	}
	m := &member{c: &cfg.Config}
	cfg.addTo(m)
	return runAll(ctx, &cfg.Config, []*member{m}, nil)
}

// runSecondary is runPrimary for a secondary.
func runSecondary(ctx context.Context, cfg SecondaryConfig) error {
	if err := cfg.check(); err != nil {
		return err
	}
	m := &member{c: &cfg.Config}
	cfg.addTo(m)
	return runAll(ctx, &cfg.Config, []*member{m}, nil)
}
