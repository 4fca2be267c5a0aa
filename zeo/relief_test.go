package zeo

import (
	"testing"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// gatedSite is a server on a disk whose syncs can be held up.
func gatedSite(t *testing.T) (*site, *gate) {
	t.Helper()
	disk := &gate{FS: simdisk.New()}
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	s := offer(t, st, Options{}, StorageOptions{})
	t.Cleanup(func() {
		s.stop()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, disk
}

// A client commits in one of its threads and goes on loading in others. The disk may take long for the commit: before
// the client finishes the transaction, when it has, or both.
func TestAClientIsServedWhileTheDiskHoldsItsCommitUp(t *testing.T) {
	for name, before := range map[string]bool{"after the vote": true, "after tpc_finish": false} {
		t.Run(name, func(t *testing.T) {
			s, disk := gatedSite(t)
			p, _ := s.register(t)
			first := p.commit(1, 0, "old")
			for range 3 { // one relief is as good as another
				held := make(chan error)
				p.stored(1, first, "new")
				if before {
					disk.shut.Store(&held)
				}
				p.call("vote", handle)
				p.call("ping")
				disk.shut.Store(&held)
				id := p.send(0, "tpc_finish", handle)
				p.call("ping")
				if data, tid := p.current(1); tid != first {
					t.Errorf("%q of %v is visible before it is durable", data, tid)
				}
				disk.shut.Store(nil)
				close(held)
				first = tidIn(t, p.answer(id).Args)
				if data, tid := p.current(1); data != "new" || tid != first {
					t.Errorf("there is %q of %v, want %v", data, tid, first)
				}
			}
		})
	}
}

func TestAClientMayGoWhileTheDiskHoldsItsCommitUp(t *testing.T) {
	for name, before := range map[string]bool{"after the vote": true, "after tpc_finish": false} {
		t.Run(name, func(t *testing.T) {
			s, disk := gatedSite(t)
			p, _ := s.register(t)
			first := p.commit(1, 0, "old")
			held := make(chan error)
			p.stored(1, first, "new")
			disk.shut.Store(&held)
			p.call("vote", handle)
			if !before {
				p.send(0, "tpc_finish", handle)
			}
			p.call("ping")
			if err := p.conn.Close(); err != nil {
				t.Fatal(err)
			}
			disk.shut.Store(nil)
			close(held)
			q, _ := s.register(t)
			last := q.commit(2, 0, "the commit lock is free")
			want := map[bool]string{true: "old", false: "new"}[before]
			if data, tid := q.current(1); data != want || tid >= last {
				t.Errorf("there is %q, want %q", data, want)
			}
		})
	}
}

// A client waits for the disk itself where nobody else commits. Where others do, one sync serves many.
func TestAClientIsAloneUnlessAnotherHasJustFinished(t *testing.T) {
	s := &storage{}
	c, other := &client{storage: s}, &client{storage: s}
	if !c.alone() {
		t.Error("nobody has ever finished a transaction")
	}
	s.last.Store(&last{other, time.Now()})
	if c.alone() || !other.alone() {
		t.Error("another client has just finished a transaction")
	}
	s.last.Store(&last{other, time.Now().Add(-2 * crowdTime)})
	if !c.alone() {
		t.Error("another client has finished a transaction long ago")
	}
}
