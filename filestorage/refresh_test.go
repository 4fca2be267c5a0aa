package filestorage

import (
	"errors"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// A storage that is open for reading sees what its writer has finished when it looks again, also in a packed file, and
// never a transaction that is not finished.
func TestAReaderThatLooksAgainSeesWhatIsFinished(t *testing.T) {
	disk := simdisk.New()
	s, err := Open(t.Context(), "Data.fs", Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	commitOf(t, s, false, 0, 1)
	r, err := Open(t.Context(), "Data.fs", Options{FS: disk, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	same := func(when string) {
		t.Helper()
		if err := r.Refresh(t.Context()); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if r.LastTid() != s.LastTid() || r.Size() != s.Size() || r.Len() != s.Len() {
			t.Errorf("%s: it sees %v of %d bytes and %d objects, want %v of %d and %d", when, r.LastTid(), r.Size(),
				r.Len(), s.LastTid(), s.Size(), s.Len())
		}
		for oid, ok := s.NextOid(0); ok; oid, ok = s.NextOid(oid + 1) {
			want, _ := s.GetTid(oid)
			if got, err := r.GetTid(oid); got != want || err != nil {
				t.Errorf("%s: object %v is of %v (%v), want %v", when, oid, got, err, want)
			}
		}
	}
	packed := r.NextPack()
	commitOf(t, s, false, 1, 2)
	last := commitOf(t, s, false, 3)
	same("after two commits")
	txn, err := s.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	if err := txn.Store(9, 0, []byte("voted")); err != nil {
		t.Fatal(err)
	}
	if err := txn.Vote(t.Context()); err != nil {
		t.Fatal(err)
	}
	same("with a transaction that has voted")
	if err := txn.Abort(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pack(t.Context(), last, PackOptions{}); err != nil {
		t.Fatal(err)
	}
	same("after a pack")
	if err := packed(t.Context()); err != nil {
		t.Errorf("the pack was not noticed: %v", err)
	}
	commitOf(t, s, false, 0)
	same("after a commit into the packed file")
}

// A moment is found by any tid from its transaction to the one before the next, and not where a pack has been over it.
func TestAMomentIsTheLastTransactionUpToATid(t *testing.T) {
	s, err := Open(t.Context(), "Data.fs", Options{FS: simdisk.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var sizes []int64
	var tids []zodb.Tid
	for _, oids := range [][]zodb.Oid{{0, 1}, {1}, {1, 2}} {
		tids = append(tids, commitOf(t, s, false, oids...))
		sizes = append(sizes, s.Size())
	}
	for _, one := range []struct {
		at   zodb.Tid
		want Moment
	}{
		{0, Moment{0, 4, 0}},
		{tids[0] - 1, Moment{0, 4, 0}},
		{tids[0], Moment{tids[0], sizes[0], 2}},
		{tids[2] - 1, Moment{tids[1], sizes[1], 2}},
		{tids[2], Moment{tids[2], sizes[2], 3}},
		{1<<63 - 1, Moment{tids[2], sizes[2], 3}},
	} {
		if got, err := s.MomentAt(t.Context(), one.at); err != nil || got != one.want {
			t.Errorf("at %v: %+v, %v, want %+v", one.at, got, err, one.want)
		}
	}
	if _, err := s.Pack(t.Context(), tids[1], PackOptions{}); err != nil {
		t.Fatal(err)
	}
	var packed *MomentPackedError
	if _, err := s.MomentAt(t.Context(), tids[0]); !errors.As(err, &packed) {
		t.Errorf("before the pack: %v", err)
	}
	for _, tid := range tids[1:] {
		if m, err := s.MomentAt(t.Context(), tid); err != nil || m.Tid != tid {
			t.Errorf("after the pack, at %v: %+v, %v", tid, m, err)
		}
	}
}

// A cursor finds what is found without it, from wherever it is, also in the file of a pack.
func TestAMomentCursorFindsEachMomentFromAnyOther(t *testing.T) {
	s, err := Open(t.Context(), "Data.fs", Options{FS: simdisk.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var tids []zodb.Tid
	for _, oids := range [][]zodb.Oid{{0, 1}, {1}, {1, 2}, {3}} {
		tids = append(tids, commitOf(t, s, false, oids...))
	}
	c := s.Moments()
	check := func(at zodb.Tid, next zodb.Tid) {
		t.Helper()
		want, err := s.MomentAt(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		if got, after, err := c.To(t.Context(), at); err != nil || got != want || after != next {
			t.Errorf("at %v: %+v, then %v, %v; want %+v, then %v", at, got, after, err, want, next)
		}
	}
	check(0, tids[0])
	check(tids[1], tids[2])
	check(tids[1], tids[2])
	check(tids[3]+9, 0)
	check(tids[0], tids[1])
	tids = append(tids, commitOf(t, s, false, 4, 0))
	check(tids[4], 0)
	if _, err := s.Pack(t.Context(), tids[2], PackOptions{}); err != nil {
		t.Fatal(err)
	}
	check(tids[4], 0)
	check(tids[3], tids[4])
	var packed *MomentPackedError
	if _, _, err := c.To(t.Context(), tids[0]); !errors.As(err, &packed) {
		t.Errorf("before the pack: %v", err)
	}
	check(tids[2], tids[3])
}
