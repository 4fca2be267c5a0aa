package inside

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zodb"
)

// A fakeHistory has the revisions of objects, the oldest first; one without data is a deletion.
type fakeHistory map[zodb.Oid][]fakeRevision

type fakeRevision struct {
	tid  zodb.Tid
	data []byte
}

func (h fakeHistory) Load(ctx context.Context, oid zodb.Oid) ([]byte, zodb.Tid, error) {
	return h.LoadBefore(ctx, oid, 1<<63-1)
}

func (h fakeHistory) LoadBefore(_ context.Context, oid zodb.Oid, before zodb.Tid) ([]byte, zodb.Tid, error) {
	for _, rev := range slices.Backward(h[oid]) {
		if rev.tid < before && rev.data != nil {
			return rev.data, rev.tid, nil
		} else if rev.tid < before {
			break
		}
	}
	return nil, 0, &zodb.POSKeyError{Oid: oid}
}

// SameBlob says that the blobs of two revisions are the same where both are even, or both are odd.
func (h fakeHistory) SameBlob(_ context.Context, _ zodb.Oid, one, other zodb.Tid) (bool, error) {
	return (one-other)%2 == 0, nil
}

// recordWith is a record of a class whose state has a text and references.
func recordWith(t *testing.T, class, text string, oids ...zodb.Oid) []byte {
	t.Helper()
	module, name, _ := strings.Cut(class, " ")
	global := pickle.Global{Module: module, Name: name}
	list := &pickle.List{Items: []pickle.Value{text}}
	for _, oid := range oids {
		b := oid.Bytes()
		list.Items = append(list.Items, pickle.Persistent{ID: pickle.Tuple{pickle.Bytes(b[:]), global}})
	}
	return dumped(t, global, list)
}

func dumped(t *testing.T, class pickle.Global, state pickle.Value) []byte {
	t.Helper()
	record, err := pickle.DumpRecord(class, state, pickle.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// A revert says of each object of a subtree what becomes of it, and names those for which it may be wrong.
func TestARevertSaysWhatBecomesOfEachObjectOfASubtree(t *testing.T) {
	of := func(class, text string, oids ...zodb.Oid) []byte { return recordWith(t, class, text, oids...) }
	h := fakeHistory{
		1:  {{1, of("m Folder", "then", 2, 3, 4, 5, 6, 7, 8, 9)}, {5, of("m Folder", "now", 2, 3, 4, 6, 7, 8, 10)}},
		2:  {{1, of("m Doc", "a")}},                                               // as it was
		3:  {{1, of("m Doc", "a")}, {5, of("m Doc", "b")}},                        // changed
		4:  {{1, of("m Doc", "a")}, {5, nil}},                                     // deleted
		5:  {{1, of("m Doc", "a")}, {5, of("m Doc", "b")}},                        // changed, and taken out
		6:  {{1, of("m Doc", "a")}, {4, of("m Doc", "b")}, {5, of("m Doc", "a")}}, // the same again
		7:  {{4, of("m Doc", "a")}},                                               // packed away since
		8:  {{1, of("ZODB.blob Blob", "")}, {4, of("ZODB.blob Blob", "")}},
		9:  {{1, of("BTrees.OOBTree OOBucket", "a")}, {4, of("BTrees.OOBTree OOBucket", "b")}}, // emptied and dropped
		10: {{4, of("m Doc", "new", 2)}},
	}
	said := func(list []Reverted) (all []string) {
		for _, o := range list {
			all = append(all, fmt.Sprintf("%d %d>%d", o.Oid, o.Base, o.Then))
		}
		return all
	}
	p, err := (&Revert{To: 3, Oids: []zodb.Oid{1}, Subtree: true}).Plan(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		got  []Reverted
		want []string
	}{
		{"brought back", p.Objects, []string{"1 5>1", "3 5>1", "4 0>1", "5 5>1", "8 4>1", "9 4>1"}},
		{"the same", p.Same, []string{"2 1>1", "6 5>1"}},
		{"created", p.Created, []string{"10 4>0"}},
		{"in conflict", p.Conflicts, []string{"5 5>1", "7 4>0"}},
	} {
		if got := said(c.got); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	if path := p.Objects[1].Path; !slices.Equal(path, []zodb.Oid{1, 3}) || !p.Objects[4].Blob {
		t.Errorf("%+v", p.Objects)
	}
	alone, err := (&Revert{To: 3, Oids: []zodb.Oid{3}}).Plan(t.Context(), h)
	if err != nil || !slices.Equal(said(alone.Objects), []string{"3 5>1"}) || alone.Conflicts != nil {
		t.Errorf("an object alone: %+v, %v", alone, err)
	}
	none := (*NoObjectError)(nil)
	_, err = (&Revert{To: 3, Oids: []zodb.Oid{1, 99}}).Plan(t.Context(), h)
	if !errors.As(err, &none) || none.Oid != 99 {
		t.Errorf("an object that never was: %v", err)
	}
}

// What an object is in is not of its subtree, although it refers to that: else each subtree would be the whole site.
func TestTheSubtreeOfAnObjectHasNotWhatItIsIn(t *testing.T) {
	page := func(text string) []byte {
		refer := func(oid zodb.Oid) pickle.Value {
			b := oid.Bytes()
			return pickle.Persistent{ID: pickle.Tuple{pickle.Bytes(b[:]), pickle.Global{Module: "m", Name: "Doc"}}}
		}
		return dumped(t, pickle.Global{Module: "m", Name: "Page"}, &pickle.Dict{Items: []pickle.Pair{
			{Key: "title", Value: text}, {Key: "__parent__", Value: refer(1)}, {Key: "body", Value: refer(3)},
		}})
	}
	h := fakeHistory{
		1: {{1, recordWith(t, "m Site", "a", 2)}, {5, recordWith(t, "m Site", "b", 2)}},
		2: {{1, page("a")}, {5, page("b")}},
		3: {{1, recordWith(t, "m Doc", "a")}, {5, recordWith(t, "m Doc", "b")}},
	}
	p, err := (&Revert{To: 3, Oids: []zodb.Oid{2}, Subtree: true}).Plan(t.Context(), h)
	if err != nil || len(p.Objects) != 2 || p.Objects[0].Oid != 2 || p.Objects[1].Oid != 3 {
		t.Errorf("%+v, %v", p, err)
	}
}

// After a conflict a plan holds where objects were only written as they were; what was changed is named.
func TestAPlanHoldsUntilAnObjectIsChanged(t *testing.T) {
	doc := func(text string) []byte { return recordWith(t, "m Doc", text) }
	blob := recordWith(t, "ZODB.blob Blob", "")
	h := fakeHistory{
		1: {{1, recordWith(t, "m Folder", "then", 2, 3, 4, 5)}},
		2: {{1, doc("a")}, {5, doc("b")}}, 3: {{1, doc("a")}, {5, doc("b")}}, 4: {{1, doc("a")}},
		5: {{1, blob}, {4, blob}},
	}
	r := &Revert{To: 3, Oids: []zodb.Oid{1}, Subtree: true}
	plan := func() *RevertPlan {
		p, err := r.Plan(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	first := plan()
	for _, step := range []struct {
		oid  zodb.Oid
		rev  fakeRevision
		want []zodb.Oid
	}{
		{2, fakeRevision{6, doc("b")}, nil},
		{4, fakeRevision{7, doc("a")}, nil},
		{3, fakeRevision{7, doc("a")}, nil}, // somebody has brought it back
		{5, fakeRevision{8, blob}, nil},
		{5, fakeRevision{9, blob}, nil}, // by now it is as it was at first
		{4, fakeRevision{10, doc("c")}, []zodb.Oid{4}},
		{2, fakeRevision{11, doc("d")}, []zodb.Oid{2, 4}},
		{1, fakeRevision{12, nil}, []zodb.Oid{1, 2, 4}},
	} {
		h[step.oid] = append(h[step.oid], step.rev)
		changed, err := first.Changed(t.Context(), h, plan())
		if err != nil {
			t.Fatal(err)
		}
		var got []zodb.Oid
		for _, o := range changed {
			got = append(got, o.Oid)
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("after transaction %v changed are %v, want %v", step.rev.tid, got, step.want)
		}
	}
}
