package cluster_test

import (
	"context"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// couple starts a primary on one disk and a secondary that has everything on the other.
func couple(t *testing.T) (a, b *clusterNode, disks [2]*simdisk.Disk) {
	t.Helper()
	disks = [2]*simdisk.Disk{nodetest.DiskWith(t, 3), simdisk.New()}
	sa, sb := newSite(t, disks[0]), newSite(t, disks[1])
	a = sa.start(t, state.RolePrimary, sb)
	b = sb.start(t, state.RoleSecondary, sa)
	b.has(t, a.st.LastTid())
	return a, b, disks
}

// crashed ends a node whose disk has lost power, and starts it again on what that has kept.
func (s *clusterNode) crashed(
	t *testing.T, disk *simdisk.Disk, seed uint64, starts state.Role, other *site,
) *clusterNode {
	t.Helper()
	s.Stop()
	<-s.Ended // with whatever error a disk without power gives
	s.Ended <- nil
	again := newSite(t, disk.Crash(seed))
	again.to = s.to
	return again.start(t, starts, other)
}

// settled expects that of two nodes one at most leads, makes one lead if none does, and that the other follows it and
// has what both had, and more.
func settled(t *testing.T, last zodb.Tid, a, b *clusterNode) {
	t.Helper()
	if a.IsPrimary() && !a.Fenced() && b.IsPrimary() && !b.Fenced() && a.epoch() == b.epoch() {
		t.Fatalf("both lead epoch %d", a.epoch())
	}
	leads, other := b, a
	if a.IsPrimary() && !a.Fenced() && a.epoch() >= b.epoch() {
		leads, other = a, b
	}
	if !leads.IsPrimary() {
		promoteUntil(t, leads)
	}
	if got := leads.st.LastTid(); got < last {
		t.Fatalf("the primary has %v, before there was %v", got, last)
	}
	if leads.epoch() > 1 {
		leads.opened(t)
	}
	next := leads.commits(t)
	other.follows(t, leads)
	other.has(t, next)
}

// promoteUntil promotes a node, as often as that is refused because something is still under way.
func promoteUntil(t *testing.T, s *clusterNode) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	for {
		_, err := s.Promote(ctx, admin.PromoteRequest{}, silent)
		if err == nil || s.IsPrimary() {
			return
		}
		if pause.For(ctx, 10*time.Millisecond); ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// Power of the secondary is lost at each operation of its promotion.
func TestACrashDuringAPromotion(t *testing.T) {
	for e := 1; e <= 22; e++ {
		a, b, disks := couple(t)
		last := a.commits(t)
		b.has(t, last)
		a.End(t)
		disks[1].PowerOffAt(len(disks[1].Ops()) + e)
		_, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent)
		again := b.crashed(t, disks[1], uint64(e), state.RoleSecondary, a.site)
		if err == nil && !again.IsPrimary() {
			t.Errorf("operation %d: it said that it was primary, and is not any more", e)
		}
		former := a.start(t, state.RolePrimary, again.site)
		settled(t, last, former, again)
	}
}

// Power of the primary, or of the secondary, is lost at each operation of a switchover.
func TestACrashDuringASwitchover(t *testing.T) {
	for which := range 2 {
		for e := 1; e <= 20; e++ {
			a, b, disks := couple(t)
			last := a.commits(t)
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // for a dead successor
			disks[which].PowerOffAt(len(disks[which].Ops()) + e)
			_, err := a.Switchover(ctx, admin.SwitchoverRequest{To: b.keep.State().Node}, silent)
			cancel()
			if which == 0 {
				a = a.crashed(t, disks[0], uint64(e), state.RolePrimary, b.site)
			} else {
				b = b.crashed(t, disks[1], uint64(e), state.RoleSecondary, a.site)
			}
			if err == nil && which == 0 && !b.IsPrimary() {
				t.Errorf("operation %d: it said that the secondary leads, and it does not", e)
			}
			settled(t, last, a, b)
		}
	}
}
