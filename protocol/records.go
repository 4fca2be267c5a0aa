package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/zrsd/zrsd/zodb"
)

// MaxRecordQuery is how many revisions one RecordQuery may name.
const MaxRecordQuery = 512

// A RecordQuery asks a node whether its data file has a record of some revisions of objects. It may follow a
// HistoryAnswer that has Records. On the wire a revision is
//
//	oid(8) tid(8)    big-endian
type RecordQuery struct {
	Revisions []byte `msgpack:"revisions"` // one after the other
}

// A RecordAnswer answers a RecordQuery.
type RecordAnswer struct {
	There   []int  `msgpack:"there"`   // which of them, by number from 0, in ascending order, have a record
	Unknown string `msgpack:"unknown"` // why the node cannot tell; empty: it can
}

const revisionLen = 16

// Add appends a revision to the question.
func (q *RecordQuery) Add(oid zodb.Oid, tid zodb.Tid) {
	q.Revisions = binary.BigEndian.AppendUint64(q.Revisions, uint64(oid))
	q.Revisions = binary.BigEndian.AppendUint64(q.Revisions, uint64(tid))
}

// Len returns how many revisions the question is about.
func (q *RecordQuery) Len() int { return len(q.Revisions) / revisionLen }

// Check reports a question that is none.
func (q *RecordQuery) Check() error {
	switch {
	case len(q.Revisions)%revisionLen != 0:
		return errors.New("the last revision of the question is not whole")
	case q.Len() > MaxRecordQuery:
		return fmt.Errorf("%d revisions in one question; the limit is %d", q.Len(), MaxRecordQuery)
	}
	return nil
}

// All yields the revisions of a question that Check takes.
func (q *RecordQuery) All() iter.Seq2[zodb.Oid, zodb.Tid] {
	return func(yield func(zodb.Oid, zodb.Tid) bool) {
		for b := q.Revisions; len(b) >= revisionLen; b = b[revisionLen:] {
			if !yield(zodb.Oid(binary.BigEndian.Uint64(b)), zodb.Tid(binary.BigEndian.Uint64(b[8:]))) {
				return
			}
		}
	}
}

// Check reports an answer that cannot be one to a question about so many revisions.
func (a *RecordAnswer) Check(asked int) error {
	last := -1
	for _, i := range a.There {
		if i <= last || i >= asked {
			return fmt.Errorf("it was asked about %d revisions, and answers about number %d", asked, i)
		}
		last = i
	}
	return nil
}
