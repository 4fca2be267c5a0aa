package node

import (
	"context"
	"errors"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// An attached file is replaced by an older one, its writer goes on from there, and packs: secondaries that have what is
// gone are known by the epoch that began then.
func TestAnAttachedFileThatWasReplacedBeginsAnEpoch(t *testing.T) {
	sa, sb := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New())
	attached := func() *running {
		return sa.run(t, func(ctx context.Context) error {
			return runPrimary(ctx, PrimaryConfig{Config: sa.config(), Attach: true})
		})
	}
	older := nodetest.Content(t, sa.disk, "Data.fs")
	nodetest.Commit(t, sa.disk, 2)
	a := attached()
	last := *a.Await(t, "it is ready", nodetest.Ready).Storage.LastTid
	b := sb.secondary(t, sa)
	b.Await(t, "it has all", func(st *admin.Status) bool {
		return st.Storage.LastTid != nil && *st.Storage.LastTid == last && st.Upstream.State == "live"
	})
	b.End(t)
	a.Await(t, "its chain is up to date", func(st *admin.Status) bool {
		return st.Storage.Chain.Tid != nil && *st.Storage.Chain.Tid == last
	})
	a.End(t)

	nodetest.Put(t, sa.disk, "Data.fs", older)
	if err := sa.disk.Remove("Data.fs.index"); err != nil {
		t.Fatal(err)
	}
	a = attached()
	a.Await(t, "it is ready", nodetest.Ready)
	a.End(t)
	nodetest.Commit(t, sa.disk, 3)
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: sa.disk})
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.Pack(t.Context(), st.LastTid(), filestorage.PackOptions{})
	if err := errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	a = attached()
	if now := *a.Await(t, "it is ready", nodetest.Ready).Storage.LastTid; now <= last {
		t.Fatalf("the writer has not gone past %v: %v", last, now)
	}
	sb.secondary(t, sa).Await(t, "it is refused", func(st *admin.Status) bool {
		return st.Upstream != nil && st.Upstream.State == "refused"
	})
}
