package archive

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

func isRefused(t *testing.T, err error, words string) {
	t.Helper()
	var refused *RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), words) {
		t.Fatalf("want a refusal with %q, got %v", words, err)
	}
}

// twin returns another node of the same epoch with the same files.
func (s *site) twin(n int) *site {
	s.t.Helper()
	t := s.promoted(n)
	t.node.Epochs, t.node.Primary, t.tid = s.node.Epochs, false, s.tid
	return t
}

func TestOfTwoWritersOneStopsAndGoesOnWhenTheOtherIsSilent(t *testing.T) {
	store := newStore(t, simdisk.New())
	one := newSite(t, 1)
	defer one.close()
	one.commit(5, 100, true)
	first := one.writer(store)
	one.archive(first)
	two := one.twin(2)
	defer two.close()
	second := two.writer(store)
	var other *OtherWriterError
	if err := second.Once(t.Context()); !errors.As(err, &other) || !strings.Contains(err.Error(), nodeID(1)) {
		t.Fatalf("the second writer: %v", err)
	}
	two.now = one.now.Add(time.Hour) // the first one is silent, and there is something to archive
	two.commit(1, 10, false)
	two.archive(second)
	one.commit(1, 10, false)
	if err := first.Once(t.Context()); !errors.As(err, &other) || !strings.Contains(err.Error(), nodeID(2)) {
		t.Fatalf("the first writer, which was silent: %v", err)
	}
	same(t, "the latest moment", mustRestore(t, open(t, store, Keys{}), Latest), two.look())
}

func TestANodeOfAnOldEpochIsRefused(t *testing.T) {
	store := newStore(t, simdisk.New())
	old := newSite(t, 1)
	defer old.close()
	old.commit(5, 100, false)
	w := old.writer(store)
	old.archive(w)
	next := old.promoted(2)
	defer next.close()
	next.commit(5, 100, false)
	next.archive(next.writer(store))
	want := next.look()
	old.commit(5, 100, false)
	if err := w.Once(t.Context()); err == nil {
		t.Fatal("a writer of an old epoch went on")
	}
	isRefused(t, old.writer(store).Once(t.Context()), "epoch 1")
	same(t, "the latest moment", mustRestore(t, open(t, store, Keys{}), Latest), want)
}

func TestAnotherEpochOfTheSameNumberIsRefused(t *testing.T) {
	store := newStore(t, simdisk.New())
	one := newSite(t, 1)
	defer one.close()
	one.commit(5, 100, false)
	two, three := one.promoted(2), one.promoted(3)
	defer two.close()
	defer three.close()
	two.archive(two.writer(store))
	isRefused(t, three.writer(store).Once(t.Context()), "different epochs")
}

// An image of a primary that was restored, or a copy of it that makes itself primary, lacks what was archived since.
func TestARestoredPrimaryThatArchivesOnIsRefused(t *testing.T) {
	store := newStore(t, simdisk.New())
	one := newSite(t, 1)
	defer one.close()
	one.commit(5, 100, false)
	image := one.twin(1)
	defer image.close()
	image.node = one.node
	w := one.writer(store)
	one.archive(w)
	one.commit(5, 100, false)
	one.archive(w)
	want := one.look()
	isRefused(t, image.writer(store).Once(t.Context()), "older copy")
	image.tid += 1 << 30
	image.commit(1, 10, false)
	isRefused(t, image.writer(store).Once(t.Context()), "older copy")
	// It begins an epoch of its own, for which nobody has voted.
	image.node.Epochs = append(
		one.node.Epochs[:1:1],
		protocol.Epoch{Number: 2, Begin: image.st.LastTid(), Node: nodeID(7)},
	)
	image.node.ID = nodeID(7)
	isRefused(t, image.writer(store).Once(t.Context()), "zrsd archive allow")
	a := open(t, store, Keys{})
	same(t, "the latest moment", mustRestore(t, a, Latest), want)
	if err := a.Allow(t.Context(), 1, 2, nodeID(7), "a test"); err != nil {
		t.Fatal(err)
	}
	image.archive(image.writer(store))
	same(t, "the latest moment, after an operator's word", mustRestore(t, a, Latest), image.look())
	if _, _, err := restored(t, a, one.st.LastTid(), true); err == nil {
		t.Error("what was left behind is on the path that is restored")
	}
	m, err := a.MomentOf(t.Context(), 1, Latest, false)
	if err != nil || m.Tid != one.st.LastTid() {
		t.Errorf("what was left behind is not in its generation: %v, %v", m, err)
	}
}

func TestASecondaryThatIsBehindWaits(t *testing.T) {
	store := newStore(t, simdisk.New())
	one := newSite(t, 1)
	defer one.close()
	one.commit(5, 100, false)
	two := one.twin(2)
	defer two.close()
	one.commit(5, 100, false)
	one.archive(one.writer(store))
	two.now = two.now.Add(time.Hour)
	var behind *BehindError
	if err := two.writer(store).Once(t.Context()); !errors.As(err, &behind) {
		t.Fatalf("a secondary that is behind: %v", err)
	}
}

func TestAnotherStorageIsRefused(t *testing.T) {
	store := newStore(t, simdisk.New())
	one, other := newSite(t, 1), newSite(t, 2)
	defer one.close()
	defer other.close()
	one.commit(1, 10, false)
	one.archive(one.writer(store))
	other.node.Storage = "00000000-0000-4000-8000-00000000abcd"
	other.commit(1, 10, false)
	isRefused(t, other.writer(store).Once(t.Context()), "archive of its own")
}

// After a pack the blobs that stay are not stored again.
func TestAPackKeepsBlobsByReference(t *testing.T) {
	store := newStore(t, simdisk.New())
	s := newSite(t, 1)
	defer s.close()
	for range 30 {
		s.commit(3, 1000, true)
	}
	w := s.writer(store)
	s.archive(w)
	stored := w.Status(s.now).Blobs
	if stored != 30 {
		t.Fatalf("%d blobs are stored, want 30", stored)
	}
	if !s.pack(s.st.LastTid() - 1) {
		t.Fatal("nothing was packed")
	}
	s.commit(1, 10, true)
	s.archive(w)
	if got := w.Status(s.now).Blobs - stored; got != 1 {
		t.Errorf("%d blobs were stored after a pack, want the new one", got)
	}
	if st := w.Status(s.now); st.Generation != 2 || !st.Complete || st.LagBytes != 0 {
		t.Errorf("after the pack: %+v", st)
	}
	same(t, "the latest moment", mustRestore(t, open(t, store, Keys{}), Latest), s.look())
}

// A writer that starts again on the same file reads none of it that was archived.
func TestWhatWasSavedIsNotComparedAgain(t *testing.T) {
	store := newStore(t, simdisk.New())
	s := newSiteOn(t, 1, vfs.OS{}, t.TempDir())
	defer s.close()
	s.commit(5, 1000, true)
	s.archive(s.writer(store))
	s.commit(1, 10, false)
	s.archive(s.writer(store)) // what is kept is from before the last segment
	s.commit(5, 1000, false)
	w := s.writer(store)
	src := &countedSource{Local: s.source()}
	w.src = src
	s.archive(w)
	if src.read > s.st.Size()/2+4096 {
		t.Errorf("%d bytes were read of a file of %d", src.read, s.st.Size())
	}
	same(t, "the latest moment", mustRestore(t, open(t, store, Keys{}), Latest), s.look())
}

func TestATransactionThatIsTooLargeForASegmentIsRestored(t *testing.T) {
	store := newStore(t, simdisk.New())
	s := newSite(t, 1)
	defer s.close()
	before := s.commit(1, 10, false)
	first := s.look()
	large := s.commit(40, 1<<20, true)
	after := s.look()
	last := s.commit(1, 10, true)
	s.archive(s.writer(store))
	a := open(t, store, Keys{})
	for tid, want := range map[zodb.Tid]look{before: first, large: after, last: s.look()} {
		same(t, tid.String(), mustRestore(t, a, tid), want)
	}
}

// Who stands by shows what the other one has archived since, and how far that is behind its own file.
func TestAWriterThatStandsByShowsWhatTheOtherArchived(t *testing.T) {
	store := newStore(t, simdisk.New())
	one := newSite(t, 1)
	defer one.close()
	one.commit(5, 100, false)
	first := one.writer(store)
	one.archive(first)
	one.commit(5, 100, false)
	last := one.commit(5, 100, false)
	two := one.twin(2)
	defer two.close()
	second := two.writer(store)
	stands := func() Status {
		t.Helper()
		var other *OtherWriterError
		if _, err := second.step(t.Context()); !errors.As(err, &other) {
			t.Fatalf("the second writer: %v", err)
		}
		return second.Status(two.now)
	}
	if st := stands(); st.Last == nil || *st.Last >= last || st.History.Count != 1 {
		t.Errorf("before: last %v, history %v", st.Last, st.History)
	}
	one.archive(first)
	stands() // it follows
	if st := stands(); *st.Last != last || st.LagBytes != 0 || st.History.Count != 3 {
		t.Errorf("after: last %v, want %v, %d bytes behind, history %v", *st.Last, last, st.LagBytes, st.History)
	}
}
