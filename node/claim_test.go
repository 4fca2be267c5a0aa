package node

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/admin"
	"github.com/zrsd/zrsd/endpoint"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/identity"
	"github.com/zrsd/zrsd/vfs"
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
func (s *site) restored(t *testing.T, data, state []byte) {
	t.Helper()
	if data != nil {
		put(t, s.disk, "Data.fs", data)
		if err := s.disk.Remove("Data.fs.index"); err != nil {
			t.Fatal(err)
		}
	}
	if state == nil {
		if err := s.disk.Remove("Data.fs" + identity.Suffix); err != nil {
			t.Fatal(err)
		}
		return
	}
	put(t, s.disk, "Data.fs"+identity.Suffix, state)
	keep, err := identity.Open(s.disk, "Data.fs")
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
		data, state := contentOf(t, a.disk, "Data.fs"), contentOf(t, a.disk, "Data.fs"+identity.Suffix)
		last := a.commits(t)
		b.has(t, last)
		handOver(t, a, b)
		a.follows(t, b)
		a.end(t)
		if !old {
			data = nil
		}
		a.restored(t, data, state)
		again := a.seated(t, identity.RolePrimary, b.site, c.site)
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

// Nobody else is there any more, or all were restored: a copy leads when an operator says so, in an epoch of its own, or
// when it is promoted.
func TestACopyLeadsWhenAnOperatorSaysSo(t *testing.T) {
	for _, promote := range []bool{false, true} {
		a, b, c := three(t)
		node, storage := a.keep.Node(), a.keep.State().StorageID
		state := contentOf(t, a.disk, "Data.fs"+identity.Suffix)
		for _, s := range []*seat{a, b, c} {
			s.end(t)
		}
		a.restored(t, nil, state)
		copied := a.seated(t, identity.RolePrimary, b.site, c.site)
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
		again := a.seated(t, identity.RolePrimary, b.site, c.site)
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
	state := contentOf(t, a.disk, "Data.fs"+identity.Suffix)
	a.end(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	a.restored(t, nil, state)
	a.asItWas = true
	again := a.seated(t, identity.RolePrimary, b.site, c.site)
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
	again := a.seated(t, identity.RolePrimary, b.site, c.site)
	again.disputes(t, conflictIdentity, "has the storage "+b.keep.State().StorageID)
	again.writable(t, false)
	if again.keep.State() != nil {
		t.Errorf("it gave itself the identity %+v", again.keep.State())
	}
	again.end(t)
	for _, s := range []*seat{b, c} {
		s.end(t)
	}
	alone := a.seated(t, identity.RolePrimary, b.site, c.site)
	alone.disputes(t, conflictIdentity, "does not answer")
	alone.writable(t, false)
	alone.end(t)

	a.newIdentity = true
	own := a.seated(t, identity.RolePrimary, b.site, c.site)
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
	err := RunPrimary(t.Context(), *cfg)
	start := fails[*StartError](t, err)
	if !strings.Contains(start.Error(), "take that address out of --replicate-from") {
		t.Errorf("got %v", start)
	}
}

// Two new nodes that were both started as primary do not become two databases.
func TestTwoNewPrimariesWaitForAWord(t *testing.T) {
	sa, sb := newSite(t, diskWith(t, 3)), newSite(t, diskWith(t, 2))
	a := sa.seated(t, identity.RolePrimary, sb)
	b := sb.seated(t, identity.RolePrimary, sa)
	for _, s := range []*seat{a, b} {
		s.disputes(t, conflictIdentity, "both were started as primary")
		s.writable(t, false)
	}
}

// A secondary that is started as primary by a mistake does not lead the epoch of its primary.
func TestASecondaryDoesNotLeadTheEpochOfAnotherNode(t *testing.T) {
	a, b, c := three(t)
	b.end(t)
	again := b.seated(t, identity.RolePrimary, a.site, c.site)
	again.follows(t, a)
	again.writable(t, false)
	a.end(t)
	c.end(t)
	again.disputes(t, conflictReign, "zrsd promote")
}

// Where nobody else is known there is nobody to ask: a copy leads, in an epoch of its own.
func TestACopyThatIsAloneBeginsAnEpoch(t *testing.T) {
	s := newSite(t, diskWith(t, 3))
	a := s.seated(t, identity.RolePrimary)
	a.await(t, "it leads", ready)
	data, state := contentOf(t, a.disk, "Data.fs"), contentOf(t, a.disk, "Data.fs"+identity.Suffix)
	a.commits(t)
	a.end(t)
	s.restored(t, data, state)
	again := s.seated(t, identity.RolePrimary)
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
	again := a.seated(t, identity.RolePrimary, b.site, c.site)
	again.disputes(t, conflictCopy, "knows of transactions that")
	again.writable(t, false)
}

// What a pack took away is no reason to take a file for another one.
func TestAPackedFileIsNoCopy(t *testing.T) {
	s := newSite(t, diskWith(t, 3))
	a := s.seated(t, identity.RolePrimary)
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
	again := s.seated(t, identity.RolePrimary)
	again.await(t, "it leads", ready)
	if again.epoch() != 1 || again.keep.Node() != a.keep.Node() {
		t.Errorf("it is %+v", again.keep.State())
	}
}
