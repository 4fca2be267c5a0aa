package cluster_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// restored makes of the storage of a site what a restore makes of it: an older Data.fs, and the state file of then, one
// that was moved, or none.
func (s *site) restored(t *testing.T, data, saved []byte) {
	t.Helper()
	if data != nil {
		nodetest.Put(t, s.disk, "Data.fs", data)
		if err := s.disk.Remove("Data.fs.index"); err != nil {
			t.Fatal(err)
		}
	}
	if saved == nil {
		if err := s.disk.Remove("Data.fs" + state.Suffix); err != nil {
			t.Fatal(err)
		}
		return
	}
	nodetest.Put(t, s.disk, "Data.fs"+state.Suffix, saved)
	keep, err := state.Open(s.disk, "Data.fs")
	if err == nil {
		err = keep.Settle() // the simulated disk does not tell a copy from the original
	}
	if err != nil {
		t.Fatal(err)
	}
}

// writable expects that a node takes no transactions, or does.
func (s *clusterNode) writable(t *testing.T, want bool) {
	t.Helper()
	if got := s.IsPrimary() && s.Access() == zeo.Writable; got != want {
		t.Errorf("it takes transactions: %v, leads %v, access %v, %+v", got, s.IsPrimary(), s.Access(), s.Conflict())
	}
}

// disputes waits until a node says that it has a conflict of a kind, or none, and returns what it says.
func (s *clusterNode) disputes(t *testing.T, kind, says string) {
	t.Helper()
	s.Await(t, "it has the conflict "+kind, func(st *admin.Status) bool {
		switch {
		case kind == "":
			return st.Conflict == nil
		case st.Conflict == nil || st.Conflict.Kind != kind || st.Ready:
			return false
		}
		return strings.Contains(st.Conflict.Text, says) && strings.Contains(*st.NotReady, says)
	})
}

// A former primary comes back with an old state file, or an old file and its state: it is a copy of what it was, does
// not lead, and follows the new primary.
func TestARestoredFormerPrimaryDoesNotLead(t *testing.T) {
	for _, old := range []bool{false, true} {
		a, b, c := three(t)
		data, saved := nodetest.Content(t, a.disk, "Data.fs"), nodetest.Content(t, a.disk, "Data.fs"+state.Suffix)
		last := a.commits(t)
		b.has(t, last)
		handOver(t, a, b)
		a.follows(t, b)
		a.End(t)
		if !old {
			data = nil
		}
		a.restored(t, data, saved)
		again := a.start(t, state.RolePrimary, b.site, c.site)
		again.writable(t, false)
		if old { // otherwise it has of an epoch that its state file does not know, and is refused
			again.follows(t, b)
			again.has(t, b.commits(t))
			again.disputes(t, "", "")
		}
		b.has(t, b.commits(t))
		again.writable(t, false)
		b.writable(t, true)
	}
}

// Nobody else is there any more, or all were restored: a copy leads when an operator says so, in an epoch of its own,
// or when it is promoted.
func TestACopyLeadsWhenAnOperatorSaysSo(t *testing.T) {
	for _, promote := range []bool{false, true} {
		a, b, c := three(t)
		node, storage := a.keep.Node(), a.keep.State().StorageID
		saved := nodetest.Content(t, a.disk, "Data.fs"+state.Suffix)
		for _, s := range []*clusterNode{a, b, c} {
			s.End(t)
		}
		a.restored(t, nil, saved)
		copied := a.start(t, state.RolePrimary, b.site, c.site)
		copied.disputes(t, cluster.ConflictCopy, "--as-it-was")
		copied.writable(t, false)
		if promote {
			if _, err := copied.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
				t.Fatal(err)
			}
			copied.writable(t, true)
			continue
		}
		copied.End(t)
		a.asItWas = true
		again := a.start(t, state.RolePrimary, b.site, c.site)
		again.Await(t, "it leads", nodetest.Ready)
		again.writable(t, true)
		id := again.keep.State()
		if id.Node != node || id.StorageID != storage || id.Epoch().Number != 2 || !id.Own() {
			t.Errorf("it is %+v", id)
		}
		again.disputes(t, "", "")
	}
}

// --as-it-was is not for one node of a cluster that goes on.
func TestACopyIsNotAsItWasBesideAPrimary(t *testing.T) {
	a, b, c := three(t)
	saved := nodetest.Content(t, a.disk, "Data.fs"+state.Suffix)
	a.End(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	a.restored(t, nil, saved)
	a.asItWas = true
	again := a.start(t, state.RolePrimary, b.site, c.site)
	again.follows(t, b)
	again.writable(t, false)
	b.writable(t, true)
}

// Without a state file nobody knows who this was: no identity is made up while a member has one, or does not answer.
func TestNoIdentityIsMadeUpBesideAnotherOne(t *testing.T) {
	a, b, c := three(t)
	a.End(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	a.restored(t, nil, nil)
	again := a.start(t, state.RolePrimary, b.site, c.site)
	again.disputes(t, cluster.ConflictIdentity, "has the storage "+b.keep.State().StorageID)
	again.writable(t, false)
	if again.keep.State() != nil {
		t.Errorf("it gave itself the identity %+v", again.keep.State())
	}
	again.End(t)
	for _, s := range []*clusterNode{b, c} {
		s.End(t)
	}
	alone := a.start(t, state.RolePrimary, b.site, c.site)
	alone.disputes(t, cluster.ConflictIdentity, "does not answer")
	alone.writable(t, false)
	alone.End(t)

	a.newIdentity = true
	own := a.start(t, state.RolePrimary, b.site, c.site)
	own.Await(t, "it leads", nodetest.Ready)
	own.writable(t, true)
	if own.keep.State().StorageID == b.keep.State().StorageID {
		t.Error("it has the identity of the other database")
	}
	own.End(t)
	a.newIdentity = false
}

// A database is not made one of its own by an option that its neighbours contradict.
func TestANewIdentityIsRefusedBesideAnotherOne(t *testing.T) {
	a, b, c := three(t)
	a.End(t)
	a.restored(t, nil, nil)
	a.newIdentity = true
	err := a.serve(t.Context(), a.storage(state.RolePrimary, b.site, c.site))
	var start *cluster.StartError
	if !errors.As(err, &start) || !strings.Contains(start.Error(), "take that address out of --replicate-from") {
		t.Errorf("got %v", err)
	}
}

// Two new nodes that were both started as primary do not become two databases.
func TestTwoNewPrimariesWaitForAnOperator(t *testing.T) {
	sa, sb := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, nodetest.DiskWith(t, 2))
	a := sa.start(t, state.RolePrimary, sb)
	b := sb.start(t, state.RolePrimary, sa)
	for _, s := range []*clusterNode{a, b} {
		s.disputes(t, cluster.ConflictIdentity, "both were started as primary")
		s.writable(t, false)
	}
}

// A secondary that is started as primary by a mistake does not lead the epoch of its primary.
func TestASecondaryDoesNotLeadTheEpochOfAnotherNode(t *testing.T) {
	a, b, c := three(t)
	b.End(t)
	again := b.start(t, state.RolePrimary, a.site, c.site)
	again.follows(t, a)
	again.writable(t, false)
	a.End(t)
	c.End(t)
	again.disputes(t, cluster.ConflictRole, "zrsd promote")
}

// Where nobody else is known there is nobody to ask: a copy leads, in an epoch of its own.
func TestACopyThatIsAloneBeginsAnEpoch(t *testing.T) {
	s := newSite(t, nodetest.DiskWith(t, 3))
	a := s.start(t, state.RolePrimary)
	a.Await(t, "it leads", nodetest.Ready)
	data, saved := nodetest.Content(t, a.disk, "Data.fs"), nodetest.Content(t, a.disk, "Data.fs"+state.Suffix)
	a.commits(t)
	a.End(t)
	s.restored(t, data, saved)
	again := s.start(t, state.RolePrimary)
	again.Await(t, "it leads", nodetest.Ready)
	again.writable(t, true)
	if id := again.keep.State(); id.Epoch().Number != 2 || !id.Own() || id.Was != "" {
		t.Errorf("it is %+v", id)
	}
}

// A Data.fs that lacks what its state file knows of is another copy, also where the state file stayed in its place.
func TestAnOlderFileBesideItsStateIsACopy(t *testing.T) {
	a, b, c := three(t)
	data := nodetest.Content(t, a.disk, "Data.fs")
	for range 3 {
		b.has(t, a.commits(t))
	}
	a.Await(t, "its chain is up to date", func(st *admin.Status) bool {
		return st.Storage.Chain != nil && st.Storage.Chain.Tid != nil && *st.Storage.Chain.Tid == a.st.LastTid()
	})
	for _, s := range []*clusterNode{a, b, c} {
		s.End(t)
	}
	nodetest.Put(t, a.disk, "Data.fs", data)
	if err := a.disk.Remove("Data.fs.index"); err != nil {
		t.Fatal(err)
	}
	again := a.start(t, state.RolePrimary, b.site, c.site)
	again.disputes(t, cluster.ConflictCopy, "knows of transactions that")
	if !again.keep.State().Learner {
		t.Error("it is no learner, and lacks what it may have acknowledged")
	}
	again.writable(t, false)
}

// What a pack took away is no reason to take a file for another one.
func TestAPackedFileIsNoCopy(t *testing.T) {
	s := newSite(t, nodetest.DiskWith(t, 3))
	a := s.start(t, state.RolePrimary)
	a.Await(t, "it leads", nodetest.Ready)
	for range 5 {
		a.commits(t)
	}
	a.End(t)
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: s.disk})
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.Pack(context.Background(), zodb.Tid(1<<63), filestorage.PackOptions{})
	if err := errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	again := s.start(t, state.RolePrimary)
	again.Await(t, "it leads", nodetest.Ready)
	if again.epoch() != 1 || again.keep.Node() != a.keep.Node() {
		t.Errorf("it is %+v", again.keep.State())
	}
}

// Who has lost everything and is started as ever is told how to get it back.
func TestAWipedPrimaryIsToldToStartAsASecondary(t *testing.T) {
	s, other := newSite(t, simdisk.New()), newSite(t, simdisk.New())
	err := s.serve(t.Context(), s.storage(state.RolePrimary, other))
	var start *cluster.StartError
	if !errors.As(err, &start) || !strings.Contains(start.Error(), "start it with zrsd secondary") {
		t.Errorf("got %v", err)
	}

	a, b, c := three(t) // where what is missing is made, it is empty, and leads nothing
	last := a.commits(t)
	b.has(t, last)
	a.End(t)
	for _, path := range []string{"Data.fs", "Data.fs.index", "Data.fs" + state.Suffix} {
		if err := a.disk.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	wiped := a.storage(state.RolePrimary, b.site, c.site)
	wiped.Primary.Create = true
	again := nodetest.Run(t, a.control, func(ctx context.Context) error { return a.serve(ctx, wiped) })
	again.Await(t, "it says so", func(st *admin.Status) bool {
		return st.Conflict != nil && strings.Contains(st.Conflict.Text, "Start it with zrsd secondary")
	})
}
