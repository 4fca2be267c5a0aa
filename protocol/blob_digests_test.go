package protocol

import (
	"slices"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

func TestBlobQueriesSayWhatWasAdded(t *testing.T) {
	var q BlobQuery
	var want []BlobDigest
	for i := range MaxBlobQuery {
		d := BlobDigest{Oid: zodb.Oid(i), Tid: zodb.Tid(i) << 40, Size: int64(i) << 20, Sum: [16]byte{byte(i), 15: 7}}
		want = append(want, d)
		q.Add(d)
	}
	var got []BlobDigest
	for i, d := range q.All() {
		if i != len(got) {
			t.Fatalf("number %d comes as number %d", len(got), i)
		}
		got = append(got, d)
	}
	if err := q.Check(); err != nil || !slices.Equal(got, want) {
		t.Errorf("%d blobs became %d, %v", len(want), len(got), err)
	}
	q.Add(want[0])
	if q.Check() == nil {
		t.Error("one blob too many is taken")
	}
	if q := (&BlobQuery{Digests: make([]byte, 41)}); q.Check() == nil {
		t.Error("a part of a blob is taken")
	}
}

// Numbers that another node sends lead to no blob that was not asked for.
func TestBlobAnswersMustFitTheQuestion(t *testing.T) {
	for name, c := range map[string]struct {
		answer BlobAnswer
		right  bool
	}{
		"nothing known":     {BlobAnswer{}, true},
		"all the same":      {BlobAnswer{Known: 3}, true},
		"all different":     {BlobAnswer{Known: 3, Other: []int{0, 1, 2}}, true},
		"a number too high": {BlobAnswer{Known: 3, Other: []int{3}}, false},
		"a negative number": {BlobAnswer{Known: 3, Other: []int{-1}}, false},
		"a number twice":    {BlobAnswer{Known: 3, Other: []int{1, 1}}, false},
		"too many known":    {BlobAnswer{Known: 4}, false},
		"with its digest":   {BlobAnswer{Known: 1, Other: []int{0}, Digests: make([]byte, blobDigestLen)}, true},
		"a digest too many": {BlobAnswer{Known: 1, Other: []int{0}, Digests: make([]byte, 2*blobDigestLen)}, false},
		"half a digest":     {BlobAnswer{Known: 1, Other: []int{0}, Digests: make([]byte, 20)}, false},
		"more than known":   {BlobAnswer{Known: 1, Other: []int{0, 1}}, false},
		"committed there":   {BlobAnswer{Known: 2, Other: []int{0, 2}, Committed: []int{2}}, true},
		"and not different": {BlobAnswer{Known: 2, Other: []int{0}, Committed: []int{1}}, false},
		"committed twice":   {BlobAnswer{Known: 2, Other: []int{0}, Committed: []int{0, 0}}, false},
	} {
		if err := c.answer.Check(3); (err == nil) != c.right {
			t.Errorf("%s: %v", name, err)
		}
	}
}
