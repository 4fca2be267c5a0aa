package node

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// verify has the node verify its storage.
func (r *running) verify(t *testing.T, req admin.VerifyRequest) *verify.Pass {
	t.Helper()
	pass, err := admin.AskVerify(t.Context(), r.control.Dial, "", req,
		func([]byte, *admin.VerifyProgress) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	for i := range pass.Findings {
		t.Log(pass.Findings[i].String())
	}
	return pass
}

func TestNodesVerifyTheirStorageAndAskEachOther(t *testing.T) {
	sa, sb := newSite(t, nodetest.DiskWith(t, 5)), newSite(t, simdisk.New())
	a, b := sa.primary(t), sb.secondary(t, sa)
	last := a.Await(t, "it is ready", nodetest.Ready).Storage.LastTid
	b.Await(t, "it has everything", func(st *admin.Status) bool { return chained(st) && *st.Storage.LastTid == *last })
	a.Await(t, "it knows where the secondary can be asked", func(st *admin.Status) bool {
		return len(st.Secondaries) == 1 && st.Secondaries[0].State == "live" && st.Secondaries[0].ReplicationAddr != nil
	})
	for _, r := range []*running{a, b} {
		r.Await(t, "its chain is complete", func(st *admin.Status) bool {
			return chained(st) && *st.Storage.LastTid == *last
		})
		pass := r.verify(t, admin.VerifyRequest{})
		if pass.Attempted != 2 || pass.Success != 2 || pass.NoChange != 1 || pass.Damages > 0 ||
			len(pass.FailureNodes) > 0 || pass.PeerBytes == 0 || pass.PeerBytes > 64<<10 || pass.Transactions != 5 ||
			pass.ChainKnown == 0 {
			t.Errorf("got %s %v", pass.Text(), pass.FailureNodes)
		}
		st := r.Await(t, "the status has the result", func(st *admin.Status) bool { return st.Verify != nil })
		v := st.Verify
		if v.Last == nil || v.Last.NoChange != 1 || v.Next != nil || v.Totals.Passes != 1 {
			t.Errorf("got %+v", st.Verify)
		}
		if saved, err := verify.LoadStatus(r.disk, "Data.fs"); err != nil || saved.Last == nil {
			t.Errorf("the file has %+v, %v", saved, err)
		}
	}
}

// flip changes a bit of a file under a node.
func flip(t *testing.T, disk vfs.FS, path string, at int64) {
	t.Helper()
	f, err := disk.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// Damage on the disk of one node is found there, named with the help of the other one, and shown as a trouble until it
// is over; the node goes on.
func TestDamageOnOneDiskIsShownUntilItIsOver(t *testing.T) {
	sa, sb := newSite(t, nodetest.DiskWith(t, 5)), newSite(t, simdisk.New())
	a := sa.primary(t)
	b := sb.run(t, func(ctx context.Context) error {
		cfg := sb.secondaryConfig(sa)
		cfg.Heal = HealAsk
		return runSecondary(ctx, cfg)
	})
	last := a.Await(t, "it is ready", nodetest.Ready).Storage.LastTid
	for _, r := range []*running{a, b} {
		r.Await(t, "its chain is complete", func(st *admin.Status) bool {
			return chained(st) && *st.Storage.LastTid == *last
		})
	}
	at := a.Await(t, "it is ready", nodetest.Ready).Storage.Size/2 + 60
	flip(t, sb.disk, "Data.fs", at)
	pass := b.verify(t, admin.VerifyRequest{})
	for i := range pass.Findings {
		if f := &pass.Findings[i]; f.Severity == check.Damage && f.Where != verify.Here {
			t.Errorf("not here: %s", f.String())
		}
	}
	if pass.Damages == 0 || pass.Failure == 0 {
		t.Errorf("got %s", pass.Text())
	}
	b.Await(t, "it shows the damage, and is ready", func(st *admin.Status) bool {
		return len(st.Troubles) > 0 && st.Ready
	})
	if pass = a.verify(t, admin.VerifyRequest{}); pass.Damages > 0 {
		t.Errorf("the other node: %s", pass.Text())
	}
	flip(t, sb.disk, "Data.fs", at)
	if pass = b.verify(t, admin.VerifyRequest{}); pass.Damages > 0 {
		t.Errorf("after it was healed: %s", pass.Text())
	}
	b.Await(t, "it shows no damage", func(st *admin.Status) bool { return len(st.Troubles) == 0 })
}

// Passes are made by themselves, and a restart does not make one again.
func TestPassesAreMadeOnSchedule(t *testing.T) {
	s := newSite(t, nodetest.DiskWith(t, 5))
	run := func() *running {
		return s.run(t, func(ctx context.Context) error {
			cfg := s.config()
			cfg.Verify.Interval = time.Minute
			return runPrimary(ctx, PrimaryConfig{Config: cfg})
		})
	}
	r := run()
	first := r.Await(t, "a pass was made", func(st *admin.Status) bool {
		return st.Verify != nil && st.Verify.Last != nil
	})
	if first.Verify.Next == nil || first.Verify.Next.Before(first.Verify.Last.Ended.Add(45*time.Second)) {
		t.Errorf("the next one is due at %v", first.Verify.Next)
	}
	r.End(t)
	r = run()
	again := r.Await(t, "it is ready", nodetest.Ready)
	if again.Verify == nil || again.Verify.Last == nil || !again.Verify.Last.Ended.Equal(first.Verify.Last.Ended) ||
		!again.Verify.Next.Equal(*first.Verify.Next) {
		t.Errorf("got %+v, want %+v", again.Verify, first.Verify)
	}
}

// Of several storages the one whose last completed pass is oldest comes first.
func TestTheOldestCompletedPassComesFirst(t *testing.T) {
	now := time.Now()
	var members []*member
	for name, age := range map[string]time.Duration{"new": time.Hour, "never": 0, "old": 9 * time.Hour} {
		disk := simdisk.New()
		s := &verify.Status{Format: verify.StatusFormat, Path: name}
		if age > 0 {
			s.Last = &verify.Pass{Ended: now.Add(-age)}
		}
		next := now.Add(-time.Minute)
		s.Next = &next
		putStatus(t, disk, s)
		c := &Config{FS: disk, Data: name, Verify: VerifyConfig{Interval: 10 * time.Hour}}
		c.fill()
		c.verifier = c.newVerifier()
		members = append(members, &member{name: name, c: c})
	}
	list := due(members, now)
	if len(list) != 3 || list[0].name != "never" || list[1].name != "old" || list[2].name != "new" {
		t.Errorf("got %d, first %s", len(list), list[0].name)
	}
	if list = due(members, now.Add(-time.Hour)); len(list) != 0 {
		t.Errorf("%d are due before their time", len(list))
	}
}

func TestAPassEndsWithTheNode(t *testing.T) {
	s := newSite(t, nodetest.DiskWith(t, 500))
	r := s.primary(t)
	r.Await(t, "it is ready", nodetest.Ready)
	ended := make(chan error, 1)
	go func() {
		_, err := admin.AskVerify(t.Context(), r.control.Dial, "", admin.VerifyRequest{Rate: admin.Known[int64](1)},
			func([]byte, *admin.VerifyProgress) error { return nil })
		ended <- err
	}()
	r.Await(t, "a pass is under way", func(st *admin.Status) bool {
		return st.Verify != nil && st.Verify.Running != nil
	})
	_, err := admin.AskVerify(t.Context(), r.control.Dial, "", admin.VerifyRequest{},
		func([]byte, *admin.VerifyProgress) error { return nil })
	refused(t, err, admin.Busy, "already under way")
	r.End(t)
	if err := <-ended; err == nil {
		t.Error("it has a result")
	}
}

func TestSettingsOfVerificationsThatMakeNoSense(t *testing.T) {
	for _, v := range []VerifyConfig{
		{Interval: time.Second}, {Interval: -time.Hour}, {Rate: -1}, {Blobs: -1}, {ReclaimAge: time.Minute},
	} {
		fails[*ConfigError](t, v.check())
	}
	if err := (&VerifyConfig{}).check(); err != nil {
		t.Error(err)
	}
}

func putStatus(t *testing.T, disk vfs.FS, s *verify.Status) {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	nodetest.Put(t, disk, s.Path+".verify.zrsd", b)
}
