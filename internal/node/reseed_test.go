package node

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// aCopyOf makes a copy of a primary, which has stopped then, and runs on.
func aCopyOf(t *testing.T, a *site, disk vfs.FS) (b *site, first *running) {
	t.Helper()
	b = newSite(t, disk)
	first = a.primary(t)
	last := *first.Await(t, "the primary is ready", nodetest.Ready).Storage.LastTid
	second := b.secondary(t, a)
	second.Await(t, "the copy has everything", func(st *admin.Status) bool {
		return st.Ready && st.Storage.LastTid != nil && *st.Storage.LastTid == last && !st.Learner
	})
	second.End(t)
	return b, first
}

// losses are ways to lose a data file; each returns what is left of it, nil where that is nothing.
func losses(t *testing.T) map[string]func(disk vfs.FS) []byte {
	t.Helper()
	return map[string]func(disk vfs.FS) []byte{
		state.ReseedMissing: func(disk vfs.FS) []byte {
			if err := errors.Join(disk.Remove("Data.fs"), disk.SyncDir(".")); err != nil {
				t.Fatal(err)
			}
			return nil
		},
		state.ReseedDamaged: func(disk vfs.FS) []byte {
			b := nodetest.Content(t, disk, "Data.fs")
			copy(b, "XXXX")
			nodetest.Put(t, disk, "Data.fs", b)
			return b
		},
	}
}

func (s *site) reseeding(mode string, from *site) SecondaryConfig {
	c := s.secondaryConfig(from)
	c.Reseed, c.Heal = mode, HealAsk // what is damaged would be healed before
	return c
}

func (s *site) copies(t *testing.T, mode string, from *site) *running {
	t.Helper()
	return s.run(t, func(ctx context.Context) error { return runSecondary(ctx, s.reseeding(mode, from)) })
}

func same(t *testing.T, a, b *site) {
	t.Helper()
	if !bytes.Equal(nodetest.Content(t, a.disk, "Data.fs"), nodetest.Content(t, b.disk, "Data.fs")) {
		t.Error("the files differ")
	}
}

func TestACopyThatHasLostItsFileSaysTheCommand(t *testing.T) {
	for why, lose := range losses(t) {
		a := newSite(t, nodetest.DiskWith(t, 5))
		b, _ := aCopyOf(t, a, simdisk.New())
		left := lose(b.disk)
		id, err := state.Load(b.disk, "Data.fs")
		if err != nil {
			t.Fatal(err)
		}
		err = runSecondary(t.Context(), b.reseeding("", a))
		needs := fails[*ReseedNeededError](t, fails[*StartError](t, err))
		if !strings.HasSuffix(needs.Error(), "run: zrsd reseed --data Data.fs --primary "+a.to.String()) {
			t.Errorf("%s: %v", why, needs)
		}
		after, err := state.Load(b.disk, "Data.fs")
		if err != nil || after.Node != id.Node || len(after.Reseeds) > 0 {
			t.Errorf("%s: %v, the state has changed: %+v", why, err, after)
		}
		if _, err := b.disk.Stat("Data.fs"); left == nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a file was made: %v", why, err)
		}
	}
}

func TestACopyThatHasLostItsFileIsTakenAnew(t *testing.T) {
	for why, lose := range losses(t) {
		a := newSite(t, nodetest.DiskWith(t, 5))
		b, first := aCopyOf(t, a, simdisk.New())
		left := lose(b.disk)
		was, err := state.Load(b.disk, "Data.fs")
		if err != nil {
			t.Fatal(err)
		}
		again := b.copies(t, ReseedAuto, a)
		st := again.Await(t, "it has everything again", func(st *admin.Status) bool { return st.Ready && !st.Learner })
		if len(st.Reseeds) != 1 || st.Reseeds[0].Why != why || !st.Reseeds[0].Auto || *st.NodeID == was.Node {
			t.Errorf("%s: %+v, node %s, it was %s", why, st.Reseeds, *st.NodeID, was.Node)
		}
		if left != nil && !bytes.Equal(nodetest.Content(t, b.disk, "Data.fs."+st.Reseeds[0].Name), left) {
			t.Errorf("%s: what there was of it is lost", why)
		}
		again.End(t)
		first.End(t)
		same(t, a, b)
	}
}

// Without the primary nobody knows whether what the copy has acknowledged is anywhere else: it waits, and gives no
// vote.
func TestNothingIsSetAsideBeforeThePrimaryAnswers(t *testing.T) {
	a := newSite(t, nodetest.DiskWith(t, 5))
	b, first := aCopyOf(t, a, simdisk.New())
	first.End(t)
	left := losses(t)[state.ReseedDamaged](b.disk)
	again := b.copies(t, ReseedAuto, a)
	again.Unready(t, "it is taken anew when a primary answers that has all of it")
	if !bytes.Equal(nodetest.Content(t, b.disk, "Data.fs"), left) {
		t.Error("it has changed something")
	}
	a.primary(t)
	again.Await(t, "it has everything again", func(st *admin.Status) bool { return st.Ready && len(st.Reseeds) == 1 })
}

// A primary that was restored from an old copy has less than the secondary had: that may be all there is.
func TestNothingIsSetAsideForAPrimaryThatHasLess(t *testing.T) {
	a := newSite(t, nodetest.DiskWith(t, 5))
	b, first := aCopyOf(t, a, simdisk.New())
	first.End(t)
	old := nodetest.DiskWith(t, 2)
	nodetest.Put(t, old, "Data.fs"+state.Suffix, nodetest.Content(t, a.disk, "Data.fs"+state.Suffix))
	keep, err := state.Open(old, "Data.fs")
	if err == nil {
		err = keep.Update(func(id *state.State) error { id.Chain = state.Chain{}; return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	a.disk = old
	restored := a.primary(t)
	restored.Await(t, "it is ready", nodetest.Ready)
	nodetest.Put(t, b.disk, "Data.fs"+state.Suffix, withLater(t, b.disk))
	losses(t)[state.ReseedDamaged](b.disk)
	again := b.copies(t, ReseedAuto, a)
	again.Unready(t, "nowhere else")
	again.End(t)
}

// withLater returns a state file that knows of a transaction after all that there are.
func withLater(t *testing.T, disk vfs.FS) []byte {
	t.Helper()
	keep, err := state.Open(disk, "Data.fs")
	if err == nil {
		err = keep.Update(func(id *state.State) error {
			last := id.Chain.Last()
			id.Chain.Checkpoints = []state.Checkpoint{{Tid: last.Tid + 1<<40, Count: last.Count + 1}}
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return nodetest.Content(t, disk, "Data.fs"+state.Suffix)
}

func TestAPrimaryNeverSetsItsFileAside(t *testing.T) {
	for why, lose := range losses(t) {
		a, b := newSite(t, nodetest.DiskWith(t, 5)), newSite(t, simdisk.New())
		first := a.primary(t)
		first.Await(t, "it is ready", nodetest.Ready)
		first.End(t)
		lose(a.disk)
		c := PrimaryConfig{Config: a.config(), ReplicateFrom: []endpoint.Endpoint{b.to}}
		c.Reseed = ReseedAuto
		err := runPrimary(t.Context(), c)
		var needs *ReseedNeededError
		if err == nil || errors.As(err, &needs) {
			t.Errorf("%s: %v", why, err)
		}
		if id, err := state.Load(a.disk, "Data.fs"); err != nil || len(id.Reseeds) > 0 {
			t.Errorf("%s: %v, %+v", why, err, id)
		}
	}
}

// A machine that damages each copy asks for a person the second time.
func TestACopyIsTakenAnewByItselfOnceADay(t *testing.T) {
	a := newSite(t, nodetest.DiskWith(t, 5))
	b, _ := aCopyOf(t, a, simdisk.New())
	damage := losses(t)[state.ReseedDamaged]
	damage(b.disk)
	again := b.copies(t, ReseedAuto, a)
	again.Await(t, "it has everything again", func(st *admin.Status) bool { return st.Ready && !st.Learner })
	again.End(t)
	damage(b.disk)
	needs := fails[*ReseedNeededError](t, runSecondary(t.Context(), b.reseeding(ReseedAuto, a)))
	if !strings.Contains(needs.Error(), "was seeded anew by itself at") {
		t.Error(needs)
	}
	keep, err := state.Open(b.disk, "Data.fs")
	if err == nil {
		err = keep.Update(func(id *state.State) error {
			id.Reseeds[0].At = time.Now().Add(-state.ReseedAgain).UTC().Format(time.RFC3339)
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	b.copies(t, ReseedAuto, a).Await(t, "it has everything again", func(st *admin.Status) bool {
		return st.Ready && len(st.Reseeds) == 2
	})
}

// Power of the copy is lost at each operation of its start, from the damage to the first transaction that it has again.
func TestACrashWhileACopyIsTakenAnew(t *testing.T) {
	a := newSite(t, nodetest.DiskWith(t, 3))
	first := a.primary(t)
	first.Await(t, "the primary is ready", nodetest.Ready)
	for e := 1; e <= 40; e++ {
		disk := simdisk.New()
		b := newSite(t, disk)
		second := b.secondary(t, a)
		second.Await(t, "the copy has everything", func(st *admin.Status) bool { return st.Ready && !st.Learner })
		second.End(t)
		left := losses(t)[state.ReseedDamaged](disk)
		disk.PowerOffAt(len(disk.Ops()) + e)
		// One that goes on without its disk is ended.
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_ = runSecondary(ctx, b.reseeding(ReseedAuto, a)) // with whatever a disk without power gives
		cancel()
		b.disk = disk.Crash(uint64(e))
		again := b.copies(t, ReseedAuto, a)
		st := again.Await(t, "it has everything again", func(st *admin.Status) bool { return st.Ready && !st.Learner })
		again.End(t)
		if len(st.Reseeds) != 1 || !bytes.Equal(nodetest.Content(t, b.disk, "Data.fs."+st.Reseeds[0].Name), left) {
			t.Errorf("operation %d: %+v", e, st.Reseeds)
		}
		same(t, a, b)
	}
}
