package node

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// contentOf returns what is in a file of a disk, and put writes one.
func contentOf(t *testing.T, disk vfs.FS, path string) []byte {
	t.Helper()
	f, err := disk.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t *testing.T, disk vfs.FS, path string, b []byte) {
	t.Helper()
	f, err := disk.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(b, 0)
	if err := errors.Join(err, f.Sync(), f.Close(), disk.SyncDir(".")); err != nil {
		t.Fatal(err)
	}
}

// replaced makes of the storage of a site what a restore makes of it: an older Data.fs, and the state file of then, one
// that was moved, or none.
func (s *site) restored(t *testing.T, data, saved []byte) {
	t.Helper()
	if data != nil {
		put(t, s.disk, "Data.fs", data)
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
	put(t, s.disk, "Data.fs"+state.Suffix, saved)
	keep, err := state.Open(s.disk, "Data.fs")
	if err == nil {
		err = keep.Settle() // the simulated disk does not tell a copy from the original
	}
	if err != nil {
		t.Fatal(err)
	}
}

// writable expects that a node takes no transactions, or does.
func (s *seat) writable(t *testing.T, want bool) {
	t.Helper()
	if got := s.isLeading() && s.access() == zeo.Writable; got != want {
		t.Errorf("it takes transactions: %v, leads %v, access %v, %+v", got, s.isLeading(), s.access(), s.conflict())
	}
}

// disputes waits until a node says that it has a conflict of a kind, or none, and returns what it says.
func (s *seat) disputes(t *testing.T, kind, says string) {
	t.Helper()
	s.await(t, "it has the conflict "+kind, func(st *admin.Status) bool {
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
		data, saved := contentOf(t, a.disk, "Data.fs"), contentOf(t, a.disk, "Data.fs"+state.Suffix)
		last := a.commits(t)
		b.has(t, last)
		handOver(t, a, b)
		a.follows(t, b)
		a.end(t)
		if !old {
			data = nil
		}
		a.restored(t, data, saved)
		again := a.seated(t, state.RolePrimary, b.site, c.site)
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
		saved := contentOf(t, a.disk, "Data.fs"+state.Suffix)
		for _, s := range []*seat{a, b, c} {
			s.end(t)
		}
		a.restored(t, nil, saved)
		copied := a.seated(t, state.RolePrimary, b.site, c.site)
		copied.disputes(t, conflictCopy, "--as-it-was")
		copied.writable(t, false)
		if promote {
			if _, err := copied.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
				t.Fatal(err)
			}
			copied.writable(t, true)
			continue
		}
		copied.end(t)
		a.asItWas = true
		again := a.seated(t, state.RolePrimary, b.site, c.site)
		again.await(t, "it leads", ready)
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
	saved := contentOf(t, a.disk, "Data.fs"+state.Suffix)
	a.end(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	a.restored(t, nil, saved)
	a.asItWas = true
	again := a.seated(t, state.RolePrimary, b.site, c.site)
	again.follows(t, b)
	again.writable(t, false)
	b.writable(t, true)
}

// Without a state file nobody knows who this was: no identity is made up while a member has one, or does not answer.
func TestNoIdentityIsMadeUpBesideAnotherOne(t *testing.T) {
	a, b, c := three(t)
	a.end(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	a.restored(t, nil, nil)
	again := a.seated(t, state.RolePrimary, b.site, c.site)
	again.disputes(t, conflictIdentity, "has the storage "+b.keep.State().StorageID)
	again.writable(t, false)
	if again.keep.State() != nil {
		t.Errorf("it gave itself the identity %+v", again.keep.State())
	}
	again.end(t)
	for _, s := range []*seat{b, c} {
		s.end(t)
	}
	alone := a.seated(t, state.RolePrimary, b.site, c.site)
	alone.disputes(t, conflictIdentity, "does not answer")
	alone.writable(t, false)
	alone.end(t)

	a.newIdentity = true
	own := a.seated(t, state.RolePrimary, b.site, c.site)
	own.await(t, "it leads", ready)
	own.writable(t, true)
	if own.keep.State().StorageID == b.keep.State().StorageID {
		t.Error("it has the identity of the other database")
	}
	own.end(t)
	a.newIdentity = false
}

// A database is not made one of its own by an option that its neighbours contradict.
func TestANewIdentityIsRefusedBesideAnotherOne(t *testing.T) {
	a, b, c := three(t)
	a.end(t)
	a.restored(t, nil, nil)
	a.newIdentity = true
	cfg := &PrimaryConfig{Config: a.config(), ReplicateFrom: []endpoint.Endpoint{b.to, c.to}}
	err := runPrimary(t.Context(), *cfg)
	start := fails[*StartError](t, err)
	if !strings.Contains(start.Error(), "take that address out of --replicate-from") {
		t.Errorf("got %v", start)
	}
}

// Two new nodes that were both started as primary do not become two databases.
func TestTwoNewPrimariesWaitForAWord(t *testing.T) {
	sa, sb := newSite(t, diskWith(t, 3)), newSite(t, diskWith(t, 2))
	a := sa.seated(t, state.RolePrimary, sb)
	b := sb.seated(t, state.RolePrimary, sa)
	for _, s := range []*seat{a, b} {
		s.disputes(t, conflictIdentity, "both were started as primary")
		s.writable(t, false)
	}
}

// A secondary that is started as primary by a mistake does not lead the epoch of its primary.
func TestASecondaryDoesNotLeadTheEpochOfAnotherNode(t *testing.T) {
	a, b, c := three(t)
	b.end(t)
	again := b.seated(t, state.RolePrimary, a.site, c.site)
	again.follows(t, a)
	again.writable(t, false)
	a.end(t)
	c.end(t)
	again.disputes(t, conflictRole, "zrsd promote")
}

// Where nobody else is known there is nobody to ask: a copy leads, in an epoch of its own.
func TestACopyThatIsAloneBeginsAnEpoch(t *testing.T) {
	s := newSite(t, diskWith(t, 3))
	a := s.seated(t, state.RolePrimary)
	a.await(t, "it leads", ready)
	data, saved := contentOf(t, a.disk, "Data.fs"), contentOf(t, a.disk, "Data.fs"+state.Suffix)
	a.commits(t)
	a.end(t)
	s.restored(t, data, saved)
	again := s.seated(t, state.RolePrimary)
	again.await(t, "it leads", ready)
	again.writable(t, true)
	if id := again.keep.State(); id.Epoch().Number != 2 || !id.Own() || id.Was != "" {
		t.Errorf("it is %+v", id)
	}
}

// A Data.fs that lacks what its state file knows of is another copy, also where the state file stayed in its place.
func TestAnOlderFileBesideItsStateIsACopy(t *testing.T) {
	a, b, c := three(t)
	data := contentOf(t, a.disk, "Data.fs")
	for range 3 {
		b.has(t, a.commits(t))
	}
	a.await(t, "its chain is up to date", func(st *admin.Status) bool {
		return st.Storage.Chain != nil && st.Storage.Chain.Tid != nil && *st.Storage.Chain.Tid == a.st.LastTid()
	})
	for _, s := range []*seat{a, b, c} {
		s.end(t)
	}
	put(t, a.disk, "Data.fs", data)
	if err := a.disk.Remove("Data.fs.index"); err != nil {
		t.Fatal(err)
	}
	again := a.seated(t, state.RolePrimary, b.site, c.site)
	again.disputes(t, conflictCopy, "knows of transactions that")
	again.writable(t, false)
}

// What a pack took away is no reason to take a file for another one.
func TestAPackedFileIsNoCopy(t *testing.T) {
	s := newSite(t, diskWith(t, 3))
	a := s.seated(t, state.RolePrimary)
	a.await(t, "it leads", ready)
	for range 5 {
		a.commits(t)
	}
	a.end(t)
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: s.disk})
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.Pack(context.Background(), zodb.Tid(1<<63), filestorage.PackOptions{})
	if err := errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	again := s.seated(t, state.RolePrimary)
	again.await(t, "it leads", ready)
	if again.epoch() != 1 || again.keep.Node() != a.keep.Node() {
		t.Errorf("it is %+v", again.keep.State())
	}
}

// An attached file is replaced by an older one, its writer goes on from there, and packs: secondaries that have what is
// gone are known by the epoch that began then.
func TestAnAttachedFileThatWasReplacedBeginsAnEpoch(t *testing.T) {
	sa, sb := newSite(t, diskWith(t, 3)), newSite(t, simdisk.New())
	attached := func() *running {
		return sa.run(t, func(ctx context.Context) error {
			return runPrimary(ctx, PrimaryConfig{Config: sa.config(), Attach: true})
		})
	}
	older := contentOf(t, sa.disk, "Data.fs")
	commit(t, sa.disk, 2)
	a := attached()
	last := *a.await(t, "it is ready", ready).Storage.LastTid
	b := sb.secondary(t, sa)
	b.await(t, "it has all", func(st *admin.Status) bool {
		return st.Storage.LastTid != nil && *st.Storage.LastTid == last && st.Upstream.State == "live"
	})
	b.end(t)
	a.await(t, "its chain is up to date", func(st *admin.Status) bool {
		return st.Storage.Chain.Tid != nil && *st.Storage.Chain.Tid == last
	})
	a.end(t)

	put(t, sa.disk, "Data.fs", older)
	if err := sa.disk.Remove("Data.fs.index"); err != nil {
		t.Fatal(err)
	}
	a = attached()
	a.await(t, "it is ready", ready)
	a.end(t)
	commit(t, sa.disk, 3)
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: sa.disk})
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.Pack(t.Context(), st.LastTid(), filestorage.PackOptions{})
	if err := errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	a = attached()
	if now := *a.await(t, "it is ready", ready).Storage.LastTid; now <= last {
		t.Fatalf("the writer has not gone past %v: %v", last, now)
	}
	sb.secondary(t, sa).await(t, "it is refused", func(st *admin.Status) bool {
		return st.Upstream != nil && st.Upstream.State == "refused"
	})
}

// Who has lost everything and is started as ever is told how to get it back.
func TestAWipedPrimaryIsToldToStartAsASecondary(t *testing.T) {
	s, other := newSite(t, simdisk.New()), newSite(t, simdisk.New())
	cfg := PrimaryConfig{Config: s.config(), ReplicateFrom: []endpoint.Endpoint{other.to}}
	start := fails[*StartError](t, runPrimary(t.Context(), cfg))
	if !strings.Contains(start.Error(), "start it with zrsd secondary") {
		t.Errorf("got %v", start)
	}

	a, b, c := three(t) // where what is missing is made, it is empty, and leads nothing
	last := a.commits(t)
	b.has(t, last)
	a.end(t)
	for _, path := range []string{"Data.fs", "Data.fs.index", "Data.fs" + state.Suffix} {
		if err := a.disk.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	p := Process{Shared: Config{Admin: a.control}, Storages: []Storage{{Name: "1", Primary: &PrimaryConfig{
		Config: a.config(), Create: true, ReplicateFrom: []endpoint.Endpoint{b.to, c.to},
	}}}}
	again := a.site.run(t, func(ctx context.Context) error { return Serve(ctx, p) })
	again.await(t, "it says so", func(st *admin.Status) bool {
		return st.Conflict != nil && strings.Contains(st.Conflict.Text, "Start it with zrsd secondary")
	})
}

// The same command line serves on all nodes of a cluster.
func TestAPrimaryCanBeToldHowToFollow(t *testing.T) {
	s := newSite(t, simdisk.New())
	for protocol, want := range map[secondary.Protocol]secondary.Protocol{
		"": secondary.ProtocolNative, secondary.ProtocolNative: secondary.ProtocolNative,
		secondary.ProtocolAuto: secondary.ProtocolAuto,
	} {
		cfg := PrimaryConfig{Config: s.config(), Protocol: protocol}
		if err := cfg.check(); err != nil || cfg.following().Protocol != want {
			t.Errorf("%q: %v, follows by %s", protocol, err, cfg.following().Protocol)
		}
	}
	cfg := PrimaryConfig{Config: s.config(), Protocol: secondary.ProtocolZrs2}
	if err := cfg.check(); err == nil || !strings.Contains(err.Error(), "--protocol zrs2") {
		t.Errorf("got %v", err)
	}
}
