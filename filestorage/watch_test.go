package filestorage

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// commitOf stores the objects, in this order, in a transaction of which watchers are told, or not.
func commitOf(t *testing.T, s *Storage, tell bool, oids ...zodb.Oid) zodb.Tid {
	t.Helper()
	txn, err := s.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	if tell {
		txn.Tell()
	}
	for _, oid := range oids {
		serial := zodb.Tid(0)
		if _, tid, err := s.Load(oid); err == nil {
			serial = tid
		}
		if err := txn.Store(oid, serial, []byte("data")); err != nil {
			t.Fatal(err)
		}
	}
	c, err := txn.Enqueue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	return txn.Tid()
}

func TestWhoWatchesIsToldOfWhatBecomesVisible(t *testing.T) {
	s, err := Open(t.Context(), "Data.fs", Options{FS: simdisk.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	commitOf(t, s, true, 1) // before anybody watches
	var told [][]Invalidation
	stop := s.Watch(func(g []Invalidation, _ bool) {
		told = append(told, g)
		for _, inv := range g {
			if inv.Tid != s.LastTid() {
				t.Errorf("told of %v, and the last visible one is %v", inv.Tid, s.LastTid())
			}
		}
	})
	many := make([]zodb.Oid, 0, 2*fewObjects)
	for i := range cap(many) {
		many = append(many, zodb.Oid(100-i))
	}
	want := [][]Invalidation{{{Tid: commitOf(t, s, true, 3, 2, 1), Oids: []zodb.Oid{3, 2, 1}}}}
	commitOf(t, s, false, 4)
	want = append(want, nil, []Invalidation{{Tid: commitOf(t, s, true, many...), Oids: many}})
	stop()
	commitOf(t, s, true, 5)
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
}

// An object that is stored twice in a transaction has changed once.
func TestWhatATransactionChangesIsToldOnce(t *testing.T) {
	for _, n := range []zodb.Oid{3, 5 * fewObjects} {
		txn := &Txn{}
		var want []zodb.Oid
		for oid := n; oid > 0; oid-- {
			txn.entries = append(txn.entries, entry{oid, 0}, entry{n, 0})
			want = append(want, oid)
		}
		if diff := cmp.Diff(want, txn.changed()); diff != "" {
			t.Errorf("%d objects: %s", n, diff)
		}
	}
}

// Of a group in which there is one transaction of which nobody is to be told, the objects of the others are not told
// either: who is told reads it as a whole.
func TestAGroupIsToldOfAsAWhole(t *testing.T) {
	s := newStorage("Data.fs", Options{FS: simdisk.New()})
	if err := s.open(t.Context(), Options{}); err != nil {
		t.Fatal(err)
	}
	var told [][]Invalidation
	s.Watch(func(g []Invalidation, _ bool) { told = append(told, g) })
	for _, tell := range [][]bool{{true, true}, {true, false, true}, {false, true}} {
		var commits []*Commit
		for _, tell := range tell {
			txn, err := s.Begin(t.Context(), &zodb.TxnMeta{})
			if err != nil {
				t.Fatal(err)
			}
			if tell {
				txn.Tell()
			}
			c, err := txn.Enqueue(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			commits = append(commits, c)
		}
		g, _ := s.queue.takeNow()
		s.finalizeNext(g)
		for _, c := range commits {
			<-c.Done()
		}
	}
	if len(told) != 3 || len(told[0]) != 2 || told[1] != nil || told[2] != nil {
		t.Errorf("told %v", told)
	}
	go s.syncGroups()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
