package node

import (
	"context"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/mount"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// blobCopy runs a copy with a blob directory.
func (s *site) blobCopy(t *testing.T, from *site) *running {
	t.Helper()
	c := s.secondaryConfig(from)
	c.Name, c.Blobs, c.SeedThreshold = "db2", "blobs", 1
	return s.run(t, func(ctx context.Context) error { return runSecondary(ctx, c) })
}

func inState(list []admin.Secondary, trouble string) bool {
	return len(list) == 1 && list[0].Trouble != nil && *list[0].Trouble == trouble && list[0].LastError != nil
}

// A node marks its disks; when one is not mounted it does not start, writes nothing, and the primary shows why.
func TestADiskThatIsNotMountedIsRefused(t *testing.T) {
	disk := simdisk.New()
	a, b := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, disk)
	first := a.primary(t)
	first.Await(t, "the primary is ready", nodetest.Ready)
	second := b.blobCopy(t, a)
	second.Await(t, "the disks are marked", func(st *admin.Status) bool {
		_, err := disk.Stat("Data.fs.mount.zrsd")
		return st.Ready && err == nil
	})
	second.End(t)
	if err := disk.Remove("blobs/.zrsd-mount"); err != nil { // what is below it was there before the mount
		t.Fatal(err)
	}
	before := len(disk.Ops())
	c := b.secondaryConfig(a)
	c.Name, c.Blobs = "db2", "blobs"
	st := first.Await(t, "the primary shows why it is away", func(st *admin.Status) bool {
		if inState(st.Disconnected, "not_mounted") {
			return true
		}
		away := fails[*mount.Error](t, fails[*StartError](t, runSecondary(t.Context(), c))) // it says so at each start
		if away.Dir != "blobs" || len(disk.Ops()) != before {
			t.Errorf("%v; it has written %v", away, disk.Ops()[before:])
		}
		return false
	})
	if gone := st.Disconnected[0]; gone.Name != "db2" || gone.Durable == nil || gone.State != "disconnected" {
		t.Errorf("%+v", gone)
	}
	if err := disk.Remove("Data.fs.mount.zrsd"); err != nil { // as the message says
		t.Fatal(err)
	}
	b.blobCopy(t, a)
	first.Await(t, "it is back", func(st *admin.Status) bool {
		return len(st.Disconnected) == 0 && len(st.Secondaries) == 1 && st.Secondaries[0].Trouble == nil
	})
}

// A disk without room for the primary's file is not begun to be filled.
func TestADiskWithoutRoomIsRefusedForASeed(t *testing.T) {
	disk := simdisk.New()
	disk.SetCapacity(50 << 20) // less than what stays free
	a, b := newSite(t, nodetest.DiskWith(t, 50)), newSite(t, disk)
	first := a.primary(t)
	first.Await(t, "the primary is ready", nodetest.Ready)
	second := b.blobCopy(t, a)
	first.Await(t, "the primary shows it", func(st *admin.Status) bool {
		return inState(append(st.Secondaries, st.Disconnected...), "no_space")
	})
	st := second.Await(t, "it says so itself", func(st *admin.Status) bool { return st.Upstream.State == "failed" })
	if st.Storage.LastTid != nil {
		t.Errorf("it has taken %v", *st.Storage.LastTid)
	}
	disk.SetCapacity(0)
	second.Await(t, "it goes on when there is room", nodetest.Ready)
	first.Await(t, "the primary shows no trouble", func(st *admin.Status) bool {
		return len(st.Secondaries) == 1 && st.Secondaries[0].Trouble == nil && len(st.Disconnected) == 0
	})
}

// The state file is gone with the disk, so the node cannot know that it had something. The primary can.
func TestThePrimaryShowsANodeThatHasBegunWithNothing(t *testing.T) {
	a, b := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New())
	first := a.primary(t)
	first.Await(t, "the primary is ready", nodetest.Ready)
	second := b.blobCopy(t, a)
	st := second.Await(t, "it has everything", func(st *admin.Status) bool { return st.Ready && !st.Learner })
	had, node := *st.Storage.LastTid, *st.NodeID
	first.Await(t, "the primary knows that", func(st *admin.Status) bool {
		return len(st.Secondaries) == 1 && st.Secondaries[0].Durable != nil && *st.Secondaries[0].Durable == had
	})
	second.End(t)
	b.disk = simdisk.New()
	b.blobCopy(t, a)
	st = first.Await(t, "the primary shows it", func(st *admin.Status) bool {
		return len(st.Secondaries) == 1 && st.Secondaries[0].Replaced != nil
	})
	if was := st.Secondaries[0].Replaced; was.NodeID != node || was.Durable == nil || *was.Durable != had {
		t.Errorf("%+v, it was %s with %v", was, node, had)
	}
}

// With --expect-data an empty folder is not filled.
func TestAnEmptyFolderIsNotFilledWhereDataAreExpected(t *testing.T) {
	a, b := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New())
	a.primary(t).Await(t, "the primary is ready", nodetest.Ready)
	c := b.secondaryConfig(a)
	c.ExpectData = true
	fails[*mount.Error](t, runSecondary(t.Context(), c))
	if entries, err := b.disk.ReadDir("."); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}
