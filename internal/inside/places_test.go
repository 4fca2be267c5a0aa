package inside

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// A tree is a database of mappings, each in one other, or in none.
type tree struct {
	st    *filestorage.Storage
	path  string
	in    map[zodb.Oid]map[string]zodb.Oid
	tids  map[zodb.Oid]zodb.Tid
	dirty map[zodb.Oid]bool
}

func newTree(t *testing.T) *tree {
	t.Helper()
	tr := &tree{
		path: filepath.Join(t.TempDir(), "Data.fs"), in: map[zodb.Oid]map[string]zodb.Oid{},
		tids: map[zodb.Oid]zodb.Tid{}, dirty: map[zodb.Oid]bool{},
	}
	var err error
	if tr.st, err = filestorage.Open(t.Context(), tr.path, filestorage.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.st.Close() })
	return tr
}

// put gives an object an entry; 0 removes it.
func (tr *tree) put(in zodb.Oid, name string, to zodb.Oid) {
	for _, oid := range []zodb.Oid{in, to} {
		if tr.in[oid] == nil {
			tr.in[oid] = map[string]zodb.Oid{}
			tr.dirty[oid] = true
		}
	}
	tr.dirty[in] = true
	if tr.in[in][name] = to; to == 0 {
		delete(tr.in[in], name)
	}
}

// commit writes what was changed.
func (tr *tree) commit(t *testing.T) zodb.Tid {
	t.Helper()
	txn, err := tr.st.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	for _, oid := range slices.Sorted(maps.Keys(tr.dirty)) {
		if err := txn.Store(oid, tr.tids[oid], tr.record(oid)); err != nil {
			t.Fatal(err)
		}
		tr.tids[oid] = txn.Tid()
	}
	clear(tr.dirty)
	if _, err := txn.Finish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return txn.Tid()
}

// record is the state {name: reference, …}.
func (tr *tree) record(oid zodb.Oid) []byte {
	data := []byte("\x80\x03cm\nC\n.\x80\x03}(")
	for _, name := range slices.Sorted(maps.Keys(tr.in[oid])) {
		data = append(append(data, 'U', byte(len(name))), name...)
		data = append(binary.BigEndian.AppendUint64(append(data, 'U', 8), uint64(tr.in[oid][name])), 'Q')
	}
	return append(data, "u."...)
}

func (tr *tree) places(t *testing.T, after zodb.Tid) *Places {
	t.Helper()
	p, err := NewPlaces(t.Context(), tr.path, after, Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// follow has places see the transactions up to a tid.
func (tr *tree) follow(t *testing.T, p *Places, from, to zodb.Tid) {
	t.Helper()
	for txn, err := range tr.st.Transactions(t.Context(), from) {
		if err != nil {
			t.Fatal(err)
		}
		if txn.Meta().Tid > to {
			return
		}
		if err := p.Begin(t.Context(), txn.Meta().Tid); err != nil {
			t.Fatal(err)
		}
		for rec, err := range zodb.Records(txn) {
			if err != nil {
				t.Fatal(err)
			}
			var data []byte
			if rec.Size != zodb.NoData {
				data = make([]byte, rec.Size)
				if _, err := io.ReadFull(rec.Data, data); err != nil {
					t.Fatal(err)
				}
			}
			p.Add(rec.Oid, data)
		}
		p.End()
	}
}

// where walks the objects as they are.
func (tr *tree) where(oid zodb.Oid, path string, all map[zodb.Oid][]string) {
	all[oid] = append(all[oid], "/"+strings.TrimPrefix(path, "/"))
	for name, to := range tr.in[oid] {
		tr.where(to, path+"/"+name, all)
	}
}

// TestPlacesFollowTransactions moves, renames, removes and makes objects at random, several at a time, and compares
// the paths of all of them with those of the objects in memory: of places that were there from the beginning, of such
// as were made in between, and of ones that make many surveys.
func TestPlacesFollowTransactions(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { movesAtRandom(t, rand.New(rand.NewPCG(seed, seed))) })
	}
}

func movesAtRandom(t *testing.T, rng *rand.Rand) {
	t.Helper()
	const steps = 200
	tr := newTree(t)
	tr.put(0, "site", 1)
	objects := []zodb.Oid{1}
	at := map[zodb.Oid]zodb.Oid{1: 0} // what an object is in
	last := tr.commit(t)
	all := []*Places{tr.places(t, 0), tr.places(t, last)}
	tr.follow(t, all[0], 0, last)
	for step := range steps {
		if step == steps/3 {
			all = append(all, tr.places(t, last))
			all[2].maxMoved = 3
		}
		for range 1 + rng.IntN(4) {
			oid := objects[rng.IntN(len(objects))]
			to := objects[rng.IntN(len(objects))]
			switch in, ok := at[oid]; {
			case rng.IntN(3) == 0 || oid == 1:
				made := zodb.Oid(len(objects) + 1)
				objects = append(objects, made)
				tr.put(oid, fmt.Sprint("n", made), made)
				at[made] = oid
			case within(at, to, oid): // not into itself
			default:
				if ok {
					for name, there := range tr.in[in] {
						if there == oid {
							tr.put(in, name, 0)
						}
					}
					delete(at, oid)
				}
				if rng.IntN(5) > 0 { // else it stays away
					tr.put(to, fmt.Sprint("m", rng.IntN(1e6)), oid)
					at[oid] = to
				}
			}
		}
		before := last
		last = tr.commit(t)
		want := map[zodb.Oid][]string{}
		tr.where(0, "", want)
		for i, p := range all {
			tr.follow(t, p, before, last)
			for _, oid := range objects {
				got, ok := p.Path(oid)
				if ok != (len(want[oid]) > 0) || ok && !slices.Contains(want[oid], got) {
					t.Fatalf("step %d, places %d: %v is at %q, want %q", step, i, oid, got, want[oid])
				}
			}
		}
	}
}

// within reports whether an object is in another one, or is it.
func within(at map[zodb.Oid]zodb.Oid, oid, in zodb.Oid) bool {
	for {
		if oid == in {
			return true
		}
		next, ok := at[oid]
		if !ok {
			return false
		}
		oid = next
	}
}

// TestPlacesOfASite compares the paths of a database of real Python classes and BTrees after each of its transactions
// with those of a survey of then: there is one where the survey has one, and it is the same but where several lead to
// an object.
func TestPlacesOfASite(t *testing.T) {
	for _, path := range []string{siteFile, "../../testdata/filestorage/plone-like/Data.fs"} {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) { placesOf(t, path) })
	}
}

func placesOf(t *testing.T, path string) {
	t.Helper()
	st := openSite(t, path)
	p, err := NewPlaces(t.Context(), path, 0, Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	site := &tree{st: st}
	var before zodb.Tid
	same, other := 0, 0
	for txn, err := range st.Transactions(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		tid := txn.Meta().Tid
		site.follow(t, p, before, tid)
		before = tid
		s, err := OpenSurvey(t.Context(), path, tid, Options{Workers: 1})
		if packed := (*filestorage.MomentPackedError)(nil); errors.As(err, &packed) {
			continue // the references of then are not all there
		}
		if err != nil {
			t.Fatal(err)
		}
		for oid := range s.st.Oids() {
			want := s.Path(oid)
			got, ok := p.Path(oid)
			switch {
			case ok != (len(want) > 0):
				t.Errorf("after %v: %v is at %q, want %v", tid, oid, got, want)
			case !ok:
			case got == want.String():
				same++
			default:
				other++
				t.Logf("after %v: %v is at %q, and at %v", tid, oid, got, want)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if same == 0 || other > same/10 {
		t.Errorf("%d paths are the same, %d are others", same, other)
	}
}
