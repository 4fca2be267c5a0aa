package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/heal"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// heal has the node heal its storage.
func (r *running) heal(t *testing.T, req admin.HealRequest) *heal.Report {
	t.Helper()
	report, err := admin.AskHeal(t.Context(), r.control.Dial, "", req,
		func([]byte, *admin.VerifyProgress) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	for i := range report.Items {
		t.Log(report.Items[i].String())
	}
	return report
}

// dataOf is the data file on a disk.
func dataOf(t *testing.T, disk vfs.FS) []byte {
	t.Helper()
	f, err := disk.OpenFile("Data.fs", os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, info.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// couple runs a primary and a secondary that have the same, with complete chains. The secondary can be asked.
func couple(t *testing.T) (a, b *running) {
	t.Helper()
	sa, sb := newSite(t, nodetest.DiskWith(t, 20)), newSite(t, simdisk.New())
	a, b = sa.primary(t), sb.secondary(t, sa)
	sameHistory(t, a, b)
	return a, b
}

// sameHistory waits until a secondary has what its primary has, both with complete chains, and can be asked.
func sameHistory(t *testing.T, a, b *running) {
	t.Helper()
	last := a.Await(t, "it is ready", nodetest.Ready).Storage.LastTid
	for _, r := range []*running{a, b} {
		r.Await(t, "its chain is complete", func(st *admin.Status) bool {
			return chained(st) && *st.Storage.LastTid == *last && st.Storage.Chain.Tid != nil &&
				*st.Storage.Chain.Tid == *last
		})
	}
	a.Await(t, "it knows where the secondary can be asked", func(st *admin.Status) bool {
		return len(st.Secondaries) == 1 && st.Secondaries[0].State == "live" && st.Secondaries[0].ReplicationAddr != nil
	})
}

// A secondary heals by itself what a verification has found, and verifies again until nothing is wrong.
func TestASecondaryHealsByItself(t *testing.T) {
	a, b := couple(t)
	right := dataOf(t, a.disk)
	for _, at := range []int{len(right)/2 + 5, len(right) / 3, len(right) - 4} {
		flip(t, b.disk, "Data.fs", int64(at))
	}
	if pass := b.verify(t, admin.VerifyRequest{}); pass.Damages == 0 {
		t.Fatal("nothing was found")
	}
	st := b.Await(t, "it is healed and verified again", func(st *admin.Status) bool {
		return len(st.Troubles) == 0 && st.Heal.Healed > 0 && st.Heal.Pending == 0
	})
	if !bytes.Equal(dataOf(t, b.disk), right) {
		t.Error("the file is not what it was")
	}
	if st.Heal.Mode != HealAuto || st.Heal.Quarantined != st.Heal.Healed || st.Verify.Totals.Healed != st.Heal.Healed {
		t.Errorf("got %+v, and %+v", st.Heal, st.Verify.Totals)
	}
}

// A primary says what is damaged, and heals when an operator asks for it, from a secondary.
func TestAPrimaryHealsWhenItIsAsked(t *testing.T) {
	a, b := couple(t)
	right := dataOf(t, b.disk)
	flip(t, a.disk, "Data.fs", int64(len(right)/2+5))
	damaged := dataOf(t, a.disk)
	a.verify(t, admin.VerifyRequest{})
	st := a.Await(t, "it says what is to be done", func(st *admin.Status) bool {
		return st.Heal.Pending > 0 && len(st.Troubles) > 0
	})
	if st.Heal.Mode != HealAsk || st.Heal.Next != nil {
		t.Errorf("got %+v", st.Heal)
	}
	if report := a.heal(t, admin.HealRequest{DryRun: true}); !report.Dry || report.Healed == 0 || report.Failed > 0 {
		t.Errorf("a dry run: %+v", report)
	}
	if !bytes.Equal(dataOf(t, a.disk), damaged) {
		t.Fatal("it was changed before it was asked")
	}
	report := a.heal(t, admin.HealRequest{})
	if report.Healed == 0 || report.Failed > 0 || report.Damages > 0 || !bytes.Equal(dataOf(t, a.disk), right) {
		t.Errorf("got %+v", report)
	}
	a.Await(t, "no trouble is left", func(st *admin.Status) bool {
		return len(st.Troubles) == 0 && st.Heal.Pending == 0
	})
}

// What cannot be healed is shown with the reason, and keeps nobody from anything.
func TestWhatCannotBeHealedIsShown(t *testing.T) {
	a, b := couple(t)
	at := int64(len(dataOf(t, a.disk))/2 + 5)
	flip(t, a.disk, "Data.fs", at)
	flip(t, b.disk, "Data.fs", at)
	b.verify(t, admin.VerifyRequest{})
	st := b.Await(t, "it has tried", func(st *admin.Status) bool { return st.Heal.Failed > 0 })
	if st.Heal.Error == nil || st.Heal.Pending == 0 || len(st.Troubles) == 0 || !st.Ready {
		t.Errorf("got %+v, troubles %v, ready %v", st.Heal, st.Troubles, st.Ready)
	}
	if report := a.heal(t, admin.HealRequest{}); report.Healed > 0 || report.Failed == 0 || report.Damages == 0 {
		t.Errorf("got %+v", report)
	}
}

// A secondary whose file cannot be opened heals it before it opens it; a primary does not, and ends.
func TestAFileThatCannotBeOpenedIsHealed(t *testing.T) {
	a, b := couple(t)
	right := dataOf(t, a.disk)
	b.End(t)
	for _, name := range []string{"Data.fs.index"} {
		if err := b.disk.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	second := endOfFirst(t, b.disk)
	flip(t, b.disk, "Data.fs", second+14) // a length
	flip(t, b.disk, "Data.fs", second-2)  // a second length
	b = b.secondary(t, a.site)
	b.Await(t, "it is ready again", nodetest.Ready)
	if !bytes.Equal(dataOf(t, b.disk), right) {
		t.Error("the file is not what it was")
	}
	b.End(t)
	if err := b.disk.Remove("Data.fs.index"); err != nil {
		t.Fatal(err)
	}
	flip(t, b.disk, "Data.fs", second+14)
	err := runPrimary(t.Context(), PrimaryConfig{Config: b.config(), ReplicateFrom: []endpoint.Endpoint{a.to}})
	if start := fails[*StartError](t, err); errors.Is(start, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// endOfFirst returns where the second transaction begins.
func endOfFirst(t *testing.T, disk vfs.FS) int64 {
	t.Helper()
	in, err := filestorage.Inspect(disk, "Data.fs")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	txn, err := in.Next()
	if err != nil {
		t.Fatal(err)
	}
	return txn.End()
}

// A mode that there is not is refused at the start.
func TestAnUnknownModeOfHealingIsRefused(t *testing.T) {
	s := newSite(t, simdisk.New())
	cfg := s.config()
	cfg.Heal = "sometimes"
	fails[*ConfigError](t, runPrimary(t.Context(), PrimaryConfig{Config: cfg}))
}

// A verification ends what it has looked at and did not find again, whoever had met it, and nothing else.
func TestWhatAVerificationHasNotLookedAtStaysDamaged(t *testing.T) {
	oid, tid := zodb.Oid(1), zodb.Tid(2)
	req := &admin.VerifyRequest{}
	for name, c := range map[string]struct {
		pass verify.Pass
		all  bool
		left int
	}{
		"all of the file":        {verify.Pass{Bytes: 200, Blobs: 1}, false, 1},
		"up to damage before it": {verify.Pass{Bytes: 50}, false, 2},
		"with all blobs":         {verify.Pass{Bytes: 200, Blobs: 1}, true, 0},
		"blobs not reached":      {verify.Pass{Bytes: 200}, true, 1},
		"not to its end":         {verify.Pass{Bytes: 200, Error: admin.Known("interrupted")}, true, 2},
	} {
		cfg := Config{Data: "Data.fs"}
		cfg.fill()
		h := newHealer(&cfg)
		h.meets(&zodb.CorruptError{File: "Data.fs", Pos: 100})
		h.add(byVerify, verify.Suspect{Blob: true, Oid: &oid, Tid: &tid})
		req.AllBlobs = c.all
		h.verified(&c.pass, req)
		if len(h.parts) != c.left {
			t.Errorf("%s: %d parts are left, want %d", name, len(h.parts), c.left)
		}
	}
}
