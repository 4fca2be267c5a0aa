package cluster_test

import (
	"context"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/state"
)

// Power is lost early in the first start after a rewind that was written down, and perhaps finished: the next start
// finishes it and follows.
func TestACrashInTheFirstStartAfterARewind(t *testing.T) {
	for e := 1; e <= 61; e += 6 {
		a, b, disks := couple(t)
		b.StopFollowing()
		first := a.commits(t)
		a.commits(t)
		a.End(t)
		b.StartFollowing()
		if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
			t.Fatal(err)
		}
		last := b.commits(t)
		plan := planned(t, a.site, b)
		plan.Follow = []string{b.to.String()}
		site := &rewind.Storage{FS: disks[0], Data: "Data.fs", Logger: hclog.NewNullLogger()}
		if err := site.Begin(plan); err != nil {
			t.Fatal(err)
		}
		if e%4 == 1 {
			if _, err := site.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		disks[0].PowerOffAt(len(disks[0].Ops()) + e)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // it may come to nothing more on its disk
		_ = a.serve(ctx, a.storage(state.RoleSecondary, b.site))
		cancel()
		again := newSite(t, disks[0].Crash(uint64(e)))
		again.to = a.to
		seat := again.seated(t, state.RolePrimary, b.site)
		seat.has(t, last)
		m, err := rewind.ReadManifest(again.disk, rewind.FragmentOf("Data.fs", first).Manifest)
		if err != nil || len(m.Transactions) != 2 {
			t.Errorf("operation %d: set aside are %+v, %v", e, m, err)
		}
		seat.End(t)
		b.End(t)
	}
}
