package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

func TestAChainOfNodesEndsUpWithTheSameBytes(t *testing.T) {
	a, b, c := newSite(t, nodetest.DiskWith(t, 20)), newSite(t, simdisk.New()), newSite(t, simdisk.New())
	first := a.primary(t)
	last := *first.Await(t, "the primary is ready", nodetest.Ready).Storage.LastTid
	second := b.secondary(t, a)
	third := c.secondary(t, b)
	third.Await(t, "the last one has everything", func(st *admin.Status) bool {
		return st.Ready && st.Storage.LastTid != nil && *st.Storage.LastTid == last
	})
	st := second.Await(t, "the middle one knows that", func(st *admin.Status) bool {
		return len(st.Secondaries) == 1 && st.Secondaries[0].Durable != nil && *st.Secondaries[0].Durable == last
	})
	if st.Totals.Applied.Transactions != 20 || st.Totals.Sent.Transactions != 20 || st.Totals.Sent.Bytes == 0 {
		t.Errorf("the middle one counted %+v", st.Totals)
	}
	if st.Storage.ID == nil || st.Upstream == nil || st.Upstream.State != "live" || *st.Storage.Objects != 1 {
		t.Errorf("the middle one says %+v, %+v", st.Storage, st.Upstream)
	}
	third.End(t)
	st = second.Await(t, "the last one is gone", func(st *admin.Status) bool { return len(st.Disconnected) == 1 })
	if st.Disconnected[0].State != "disconnected" || len(st.Secondaries) != 0 {
		t.Errorf("got %+v", st)
	}
	second.End(t)
	first.End(t)
	want := nodetest.Content(t, a.disk, "Data.fs")
	if !bytes.Equal(nodetest.Content(t, b.disk, "Data.fs"), want) ||
		!bytes.Equal(nodetest.Content(t, c.disk, "Data.fs"), want) {
		t.Error("the files differ")
	}
}

func TestANodeThatIsStoppedLetsItsSecondariesCatchUpFirst(t *testing.T) {
	a, b := newSite(t, nodetest.DiskWith(t, 200)), newSite(t, simdisk.New())
	first := a.primary(t)
	first.Await(t, "the primary is ready", nodetest.Ready)
	second := b.secondary(t, a)
	first.Await(t, "the secondary gets transactions", func(st *admin.Status) bool {
		return len(st.Secondaries) == 1 && st.Secondaries[0].State != "handshake"
	})
	first.End(t)
	second.End(t)
	if string(nodetest.Content(t, a.disk, "Data.fs")) != string(nodetest.Content(t, b.disk, "Data.fs")) {
		t.Error("the primary was gone before its secondary had everything")
	}
}

func TestARefusalIsShownAndCountedOnBothSides(t *testing.T) {
	a, b := newSite(t, nodetest.DiskWith(t, 1)), newSite(t, nodetest.DiskWith(t, 2))
	other := b.primary(t) // gives the second storage an identity of its own
	other.Await(t, "it is ready", nodetest.Ready)
	other.End(t)
	first, second := a.primary(t), b.secondary(t, a)
	st := second.Await(t, "the secondary is refused",
		func(st *admin.Status) bool { return st.Upstream.State == "refused" })
	if st.Ready || !strings.Contains(*st.NotReady, "check the address") || st.Totals.Refusals["wrong_storage"] == 0 {
		t.Errorf("the secondary says %+v", st)
	}
	first.Await(t, "the primary has counted",
		func(st *admin.Status) bool { return st.Totals.Refusals["wrong_storage"] > 0 })
}

func TestASecondaryWhoseDiskFailedOpensItsStorageAgain(t *testing.T) {
	a := newSite(t, nodetest.DiskWith(t, 10))
	first := a.primary(t)
	last := *first.Await(t, "the primary is ready", nodetest.Ready).Storage.LastTid
	disk := simdisk.New()
	broken := errors.New("cable pulled")
	began, failures := false, 0
	disk.FailWhen(func(op simdisk.Op) error {
		if op.Path != "Data.fs" {
			return nil
		}
		began = began || op.Kind == simdisk.Write && op.Off > 4
		if op.Kind == simdisk.Sync && began && failures == 0 {
			failures++
			return broken
		}
		return nil
	})
	b := newSite(t, disk)
	cfg := b.secondaryConfig(a)
	if err := cfg.check(); err != nil {
		t.Fatal(err)
	}
	m := &member{c: &cfg.Config}
	n := cfg.addTo(m)
	n.pause = func(context.Context, time.Duration) bool { return true }
	second := b.run(t, func(ctx context.Context) error { return runAll(ctx, m.c, []*member{m}, nil) })
	second.Await(t, "it has everything nevertheless", func(st *admin.Status) bool {
		return st.Storage.LastTid != nil && *st.Storage.LastTid == last
	})
	second.End(t)
	if failures != 1 {
		t.Error("the disk did not fail")
	}
}

// A slowDisk does not open the data file before it is told to.
type slowDisk struct {
	vfs.FS
	gate chan struct{}
}

func (d *slowDisk) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	if path == "Data.fs" {
		<-d.gate
	}
	return d.FS.OpenFile(path, flag, perm)
}

func TestANodeIsAliveButNotReadyWhileItsStorageOpens(t *testing.T) {
	disk := &slowDisk{nodetest.DiskWith(t, 1), make(chan struct{})}
	r := newSite(t, disk).primary(t)
	r.Await(t, "it says what it waits for", func(st *admin.Status) bool {
		return !st.Ready && st.NotReady != nil && *st.NotReady == "opening the storage" && st.Storage.LastTid == nil
	})
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusServiceUnavailable} {
		if got := r.get(t, path); got != want {
			t.Errorf("%s answers %d, want %d", path, got, want)
		}
	}
	close(disk.gate)
	r.Await(t, "it is ready", nodetest.Ready)
	if got := r.get(t, "/readyz"); got != http.StatusOK {
		t.Errorf("/readyz answers %d", got)
	}
}

func (r *running) get(t *testing.T, path string) int {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn,
		error) {
		return r.control.Dial(ctx)
	}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("http://node" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

func TestWhatCannotBeOpenedEndsTheNode(t *testing.T) {
	busy := newSite(t, nodetest.DiskWith(t, 1))
	busy.primary(t).Await(t, "it is ready", nodetest.Ready)
	for name, change := range map[string]func(*Config){
		"no data file":         func(c *Config) { c.FS = simdisk.New() },
		"data file is locked":  func(c *Config) { c.FS = busy.disk },
		"address is in use":    func(c *Config) { c.ReplicateTo = busy.to },
		"admin address in use": func(c *Config) { c.Admin = busy.control },
		"blobs need a parent":  func(c *Config) { c.Blobs = "Data.fs/blobs" },
	} {
		t.Run(name, func(t *testing.T) {
			c := newSite(t, nodetest.DiskWith(t, 1)).config()
			change(&c)
			fails[*StartError](t, runPrimary(t.Context(), PrimaryConfig{Config: c}))
		})
	}
}

func TestASecondaryDoesNotTryAgainWhatCouldNotBeOpenedAtFirst(t *testing.T) {
	busy := newSite(t, nodetest.DiskWith(t, 1))
	busy.primary(t).Await(t, "it is ready", nodetest.Ready)
	c := newSite(t, simdisk.New()).secondaryConfig(newSite(t, simdisk.New()))
	c.ReplicateTo = busy.to
	if e := fails[*StartError](t, runSecondary(t.Context(), c)); !errors.Is(e, endpoint.ErrInUse) {
		t.Errorf("got %v", e)
	}
}

func TestDamageIsNotServed(t *testing.T) {
	disk := nodetest.DiskWith(t, 3)
	f, err := disk.OpenFile("Data.fs", 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff}, 13); err != nil { // the length of the first transaction
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), disk.Remove("Data.fs.index")); err != nil {
		t.Fatal(err)
	}
	before := string(nodetest.Content(t, disk, "Data.fs"))
	s := newSite(t, disk)
	fails[*zodb.CorruptError](t, runPrimary(t.Context(), PrimaryConfig{Config: s.config()}))
	fails[*zodb.CorruptError](t, runSecondary(t.Context(), s.secondaryConfig(newSite(t, simdisk.New()))))
	if string(nodetest.Content(t, disk, "Data.fs")) != before {
		t.Error("the damaged file was changed")
	}
}

// A server that does not replicate tells its clients of everything.
func TestWhoServesAloneForgetsWhatCommitsWaitedFor(t *testing.T) {
	disk := nodetest.DiskWith(t, 3)
	keep, err := state.Open(disk, "Data.fs")
	if err == nil {
		err = errors.Join(keep.Create(), keep.Update(func(id *state.State) error {
			id.Waits = &state.Waits{Epoch: 1, Required: 1}
			return nil
		}))
	}
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, disk)
	cfg := &StandaloneConfig{Config: s.config()}
	if err := cfg.check(); err != nil {
		t.Fatal(err)
	}
	f := newNodeStatus(roleStandalone, &cfg.Config)
	st, err := cfg.open(t.Context(), f, blobDir{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if now, err := state.Load(disk, "Data.fs"); err != nil || now.Waits != nil {
		t.Errorf("it keeps %+v, %v", now.Waits, err)
	}
}
