package node

import (
	"context"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/archive"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
)

// alone runs the storage of a site without replication, archived to a folder.
func (s *site) alone(t *testing.T, folder string) *running {
	t.Helper()
	return s.run(t, func(ctx context.Context) error {
		c := Config{FS: s.disk, Data: "Data.fs", Archive: ArchiveConfig{URL: folder, Interval: time.Second}}
		return Serve(ctx, Process{Shared: Config{Admin: s.control},
			Storages: []Storage{{Name: "1", Standalone: &StandaloneConfig{Config: c}}}})
	})
}

func archivedAll(st *admin.Status) bool {
	a := st.Archive
	return a != nil && a.State == archive.StateArchiving && a.Complete && a.LagTransactions != nil &&
		*a.LagTransactions == 0 && st.Storage.LastTid != nil && *a.LastTid == *st.Storage.LastTid
}

// A storage that is served without replication is archived, and goes on with its archive after a restart.
func TestAStandaloneStorageIsArchived(t *testing.T) {
	s, folder := newSite(t, nodetest.DiskWith(t, 3)), t.TempDir()
	node := s.alone(t, folder)
	node.Await(t, "everything is archived", archivedAll)
	node.End(t)
	nodetest.Commit(t, s.disk, 2)
	node = s.alone(t, folder)
	st := node.Await(t, "everything is archived again", archivedAll)
	node.End(t)
	if n := st.Archive.Generation; n == nil || *n != 1 {
		t.Errorf("the archive is in generation %v, want 1", n)
	}
}

// The files of a node that follows others are not archived by serving them alone: what is written to them is not what
// the cluster has.
func TestFilesOfAClusterAreNotArchivedAlone(t *testing.T) {
	s := newSite(t, nodetest.DiskWith(t, 3))
	primary := s.primary(t)
	primary.Await(t, "it is ready", nodetest.Ready)
	primary.End(t)
	keep, err := state.Open(s.disk, "Data.fs")
	if err == nil {
		err = keep.Update(func(id *state.State) error {
			id.Epochs[len(id.Epochs)-1].Node = "00000000-0000-4000-8000-000000000009"
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	c := Config{FS: s.disk, Data: "Data.fs", Archive: ArchiveConfig{URL: t.TempDir()}}
	fails[*StartError](t, Serve(t.Context(), Process{
		Storages: []Storage{{Name: "1", Standalone: &StandaloneConfig{Config: c}}}}))
	c.Archive.URL = t.TempDir()
	fails[*ConfigError](t, Serve(t.Context(), Process{
		Storages: []Storage{{Name: "1", Standalone: &StandaloneConfig{Config: c, ReadOnly: true}}}}))
}
