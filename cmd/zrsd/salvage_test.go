package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/salvage"
	"github.com/zrsd/zrsd/zodb"
)

func TestAFragmentIsShownByClass(t *testing.T) {
	page := rewind.Transaction{Tid: 0x03f8658025555555, User: "ann", Description: "/Plone/news/edit"}
	for oid := range zodb.Oid(170) {
		page.Objects = append(page.Objects, rewind.Object{Oid: oid, Class: "BTrees.IOBTree.IOBucket", Base: 1, Size: 1})
	}
	page.Objects = append(page.Objects,
		rewind.Object{Oid: 0x200, Class: "plone.Document", Base: 1, Size: 1},
		rewind.Object{Oid: 0x201, Class: "plone.File", Size: 1, Blob: true},
		rewind.Object{Oid: 0x202, Size: -1, Base: 1})
	var out strings.Builder
	err := writeFragment(&out, []rewind.Transaction{page, {Tid: 0x03f8658025555556}}, []salvage.Verdict{
		{Tid: 0x03f8658025555555, State: salvage.Conflict, Why: "oid 1 was changed"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `03f8658025555555  2024-05-06 08:00:08 UTC  "ann"  "/Plone/news/edit"
    conflict: oid 1 was changed
        1  plone.Document: 0000000000000200
        1  plone.File (blob), new: 0000000000000201
        1  unknown class, deleted: 0000000000000202
      170  BTrees.IOBTree.IOBucket: 0000000000000000, 0000000000000001, 0000000000000002, …
03f8658025555556  2024-05-06 08:00:08 UTC  ""  ""
2 transactions: 1 in conflict
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

// Paths are looked for where they are shown: first those of the objects that each transaction's list names.
func TestPathsAreThoseOfWhatIsListed(t *testing.T) {
	many := make([]rewind.Object, 2*inside.MaxOids)
	for i := range many {
		many[i] = rewind.Object{Oid: zodb.Oid(i), Class: "BTrees.IOBTree.IOBucket", Base: 1}
	}
	page := []rewind.Object{many[1], {Oid: 0xffff, Class: "plone.Document", Base: 1}}
	got := pathOids([][]rewind.Object{many, page})
	want := []zodb.Oid{0, 1, 2, 0xffff, 3, 4}
	if len(got) != inside.MaxOids || !slices.Equal(got[:len(want)], want) {
		t.Errorf("%d oids, %v", len(got), got[:len(want)])
	}
}
