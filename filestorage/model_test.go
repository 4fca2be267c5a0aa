package filestorage

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// A model of a storage: the revisions of each object, oldest first.
type model struct {
	revisions map[zodb.Oid][]modelRevision
	last      zodb.Tid
	packed    zodb.Tid // up to here
	disk      *simdisk.Disk
	s         *Storage
}

type modelRevision struct {
	tid  zodb.Tid
	data string         // "" for a deletion
	from int            // number of the revision that an undo took the data from, -1 for none
	lost *modelRevision // the same, when a pack has left it only for that
}

// none reports whether the object is gone by this revision, which does not even point back to another one.
func (r *modelRevision) none() bool { return r.data == "" && r.from < 0 && r.lost == nil }

// serial returns the tid of the newest revision.
func (m *model) serial(oid zodb.Oid) zodb.Tid {
	if r := m.revisions[oid]; len(r) > 0 {
		return r[len(r)-1].tid
	}
	return 0
}

// Whatever is stored, deleted, undone, packed, aborted, enqueued and reopened, a storage answers as a list of revisions
// would.
func TestStorageIsAListOfRevisions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{revisions: map[zodb.Oid][]modelRevision{}, disk: simdisk.New()}
		m.open(t)
		defer func() { m.s.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"transaction": m.transaction,
			"undo":        m.undo,
			"pack":        m.pack,
			"conflict":    m.conflict,
			"reopen":      func(t *rapid.T) { m.close(t); m.open(t) },
			"rescan":      func(t *rapid.T) { m.close(t); m.disk.Remove("Data.fs.index"); m.open(t) },
			"":            m.check,
		})
	})
}

func (m *model) open(t *rapid.T) {
	s, err := Open(t.Context(), "Data.fs", Options{FS: m.disk})
	if err != nil {
		t.Fatal(err)
	}
	m.s = s
}

func (m *model) close(t *rapid.T) {
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// transaction does a few changes in one transaction and ends it in one of the ways there are.
func (m *model) transaction(t *rapid.T) {
	txn, err := m.s.Begin(t.Context(), &zodb.TxnMeta{User: []byte(rapid.StringN(0, 5, 20).Draw(t, "user"))})
	if err != nil {
		t.Fatal(err)
	}
	defer txn.Abort()
	changes := map[zodb.Oid]modelRevision{}
	for range rapid.IntRange(0, 4).Draw(t, "changes") {
		oid := zodb.Oid(rapid.IntRange(0, 6).Draw(t, "oid"))
		r := modelRevision{tid: txn.Tid(), from: -1}
		if m.serial(oid) != 0 && rapid.Bool().Draw(t, "delete") {
			err = txn.Delete(oid, m.serial(oid))
		} else {
			r.data = rapid.StringN(1, 30, 100).Draw(t, "data")
			err = txn.Store(oid, m.serial(oid), []byte(r.data))
		}
		if err != nil {
			t.Fatal(err)
		}
		changes[oid] = r
	}
	if m.end(t, txn) {
		m.last = txn.Tid()
		for oid, r := range changes {
			m.revisions[oid] = append(m.revisions[oid], r)
		}
	}
}

// undo undoes some transaction if the objects that it changed have its data, and is refused if not.
func (m *model) undo(t *rapid.T) {
	if m.last == 0 {
		return
	}
	of := rapid.SampledFrom(m.tids()).Draw(t, "undone")
	txn, err := m.s.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	defer txn.Abort()
	changes, possible := map[zodb.Oid]modelRevision{}, of > m.packed
	for oid, revisions := range m.revisions {
		i := slices.IndexFunc(revisions, func(r modelRevision) bool { return r.tid == of })
		if i < 0 {
			continue
		}
		undone, now := revisions[i], revisions[len(revisions)-1]
		possible = possible && (i == len(revisions)-1 || now.from == i || undone.data == now.data && now.data != "")
		changes[oid] = modelRevision{tid: txn.Tid(), from: i - 1}
		if i > 0 {
			changes[oid] = modelRevision{tid: txn.Tid(), from: i - 1, data: revisions[i-1].data}
		}
	}
	oids, err := txn.Undo(t.Context(), of)
	if (err == nil) != possible || err == nil && len(oids) != len(changes) {
		t.Fatalf("undo of %v changes %v, %v; want %v, possible %v", of, oids, err, changes, possible)
	}
	if err == nil && m.end(t, txn) {
		m.last = txn.Tid()
		for oid, r := range changes {
			m.revisions[oid] = append(m.revisions[oid], r)
		}
	}
}

// pack packs to some transaction, without garbage collection.
func (m *model) pack(t *rapid.T) {
	if m.last == 0 {
		return
	}
	to := rapid.SampledFrom(m.tids()).Draw(t, "to")
	r, err := m.s.Pack(t.Context(), to, PackOptions{KeepOld: rapid.Bool().Draw(t, "keep old")})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Packed {
		return
	}
	m.packed = max(m.packed, to)
	for oid, revisions := range m.revisions {
		if m.revisions[oid] = packRevisions(revisions, to); len(m.revisions[oid]) == 0 {
			delete(m.revisions, oid)
		}
	}
}

// packRevisions returns the revisions that a pack leaves: all later ones, before them the one that was current at the
// time, or where the object did not exist then the newest one that a later one has its data from.
func packRevisions(revisions []modelRevision, to zodb.Tid) (left []modelRevision) {
	later := slices.IndexFunc(revisions, func(r modelRevision) bool { return r.tid > to })
	if later < 0 {
		later = len(revisions)
	}
	after := slices.Clone(revisions[later:])
	for i := range after {
		if from := after[i].from; from >= 0 && from < later {
			after[i].from, after[i].lost = -1, &revisions[from]
		}
	}
	var oldest *modelRevision
	if later > 0 && !revisions[later-1].none() {
		oldest = &revisions[later-1]
	} else if later > 0 {
		for _, r := range after {
			if r.lost != nil && (oldest == nil || oldest.tid < r.lost.tid) {
				oldest = r.lost
			}
		}
	}
	if oldest != nil {
		left = append(left, modelRevision{tid: oldest.tid, data: oldest.data, from: -1})
	}
	shift := later - len(left)
	for _, r := range after {
		if r.from >= 0 {
			r.from -= shift
		}
		if r.lost != nil && oldest != nil && r.lost.tid == oldest.tid {
			r.from, r.lost = 0, nil
		}
		left = append(left, r)
	}
	return left
}

// tids returns the tids of all transactions that changed something.
func (m *model) tids() []zodb.Tid {
	tids := []zodb.Tid{m.last}
	for _, revisions := range m.revisions {
		for _, r := range revisions {
			tids = append(tids, r.tid)
		}
	}
	slices.Sort(tids)
	return slices.Compact(tids)
}

func (m *model) end(t *rapid.T, txn *Txn) (committed bool) {
	var err error
	switch rapid.SampledFrom([]string{"abort", "vote and abort", "finish", "enqueue"}).Draw(t, "end") {
	case "abort":
		return false
	case "vote and abort":
		if err := txn.Vote(t.Context()); err != nil {
			t.Fatal(err)
		}
		return false
	case "finish":
		_, err = txn.Finish(t.Context(), nil)
	case "enqueue":
		var c *Commit
		if c, err = txn.Enqueue(t.Context()); err == nil {
			<-c.Done()
			err = c.Err()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

// conflict tries to change an object based on an old revision.
func (m *model) conflict(t *rapid.T) {
	oid := zodb.Oid(rapid.IntRange(0, 6).Draw(t, "oid"))
	if m.serial(oid) == 0 {
		return
	}
	txn, err := m.s.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	defer txn.Abort()
	var conflict *zodb.ConflictError
	err = txn.Store(oid, m.serial(oid)-1, []byte("x"))
	if !errors.As(err, &conflict) || conflict.Current != m.serial(oid) {
		t.Fatalf("conflict on oid %v: %v", oid, err)
	}
}

func (m *model) check(t *rapid.T) {
	if m.s.LastTid() != m.last || m.s.Len() != len(m.revisions) {
		t.Fatalf("last tid %v, %d objects; want %v, %d", m.s.LastTid(), m.s.Len(), m.last, len(m.revisions))
	}
	for oid, revisions := range m.revisions {
		var want []string
		for i, r := range slices.Backward(revisions) {
			next := zodb.Tid(0)
			if i+1 < len(revisions) {
				next = revisions[i+1].tid
			}
			want = append(want, fmt.Sprintf("%v %q until %v", r.tid, r.data, next))
		}
		if diff := cmp.Diff(want, m.backwards(t, oid, len(revisions))); diff != "" {
			t.Fatalf("oid %v (-want +got):\n%s", oid, diff)
		}
		data, tid, err := m.s.Load(oid)
		last := revisions[len(revisions)-1]
		var key *zodb.POSKeyError
		switch {
		case last.data == "" && errors.As(err, &key):
		case last.data == "", err != nil, string(data) != last.data, tid != last.tid:
			t.Fatalf("load of oid %v: %q, %v, %v; want %+v", oid, data, tid, err, last)
		}
	}
}

// backwards reads all revisions of oid with LoadBefore, from the newest on.
func (m *model) backwards(t *rapid.T, oid zodb.Oid, n int) (list []string) {
	entries, err := m.s.History(oid, n+1)
	if err != nil {
		t.Fatal(err)
	}
	next := zodb.Tid(0)
	for _, e := range entries {
		rev, err := m.s.LoadBefore(oid, e.Tid+1)
		var key *zodb.POSKeyError
		switch {
		case errors.As(err, &key):
			rev = &Revision{Tid: e.Tid, Next: next}
		case err != nil || rev == nil:
			t.Fatalf("LoadBefore(%v, %v): %v, %v", oid, e.Tid+1, rev, err)
		}
		list = append(list, fmt.Sprintf("%v %q until %v", rev.Tid, rev.Data, rev.Next))
		next = e.Tid
	}
	return list
}
