package protocol

import (
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

func TestRecordQueriesSayWhatWasAdded(t *testing.T) {
	var q RecordQuery
	for i := range MaxRecordQuery {
		q.Add(zodb.Oid(i), zodb.Tid(i)<<40)
	}
	n := 0
	for oid, tid := range q.All() {
		if oid != zodb.Oid(n) || tid != zodb.Tid(n)<<40 {
			t.Fatalf("number %d is oid %v tid %v", n, oid, tid)
		}
		n++
	}
	if err := q.Check(); err != nil || n != MaxRecordQuery || q.Len() != n {
		t.Errorf("%d revisions became %d, %v", MaxRecordQuery, n, err)
	}
	q.Add(1, 1)
	if q.Check() == nil {
		t.Error("one revision too many is taken")
	}
	if q := (&RecordQuery{Revisions: make([]byte, 17)}); q.Check() == nil {
		t.Error("a part of a revision is taken")
	}
}

// Numbers that another node sends lead to no revision that was not asked for.
func TestRecordAnswersMustFitTheQuestion(t *testing.T) {
	for name, there := range map[string][]int{
		"too high": {3}, "negative": {-1}, "twice": {1, 1}, "going down": {2, 0},
	} {
		if (&RecordAnswer{There: there}).Check(3) == nil {
			t.Errorf("a number that is %s is taken", name)
		}
	}
	if err := (&RecordAnswer{There: []int{0, 2}}).Check(3); err != nil {
		t.Error(err)
	}
}
