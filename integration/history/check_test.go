package history

import (
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

const (
	a zodb.Oid = iota + 1
	b
	counter
	set
)

// A story is a short history, and what two clients were told of it.
type story struct {
	txns           []Txn
	writer, reader *Log
}

// faultless returns a story in which all is as it should be:
//
//	tid   a    b    counter  set
//	10    a1   b1   0        ·    by the writer
//	20    a2   ·    1        ·    by the writer, which adds the key k1
//	30    ·    b3   2        ·    by the reader, which adds the key k2 and never learns of it
func faultless() *story {
	one, two := 1, 2
	return &story{
		txns: []Txn{
			{10, map[zodb.Oid]string{a: "a1", b: "b1", counter: "0", set: ""}},
			{20, map[zodb.Oid]string{a: "a2", counter: "1", set: ""}},
			{30, map[zodb.Oid]string{b: "b3", counter: "2", set: ""}},
		},
		writer: &Log{Client: "writer", Lines: []Line{
			{Kind: Connect},
			{
				Kind: Commit, Tid: 10, Writes: map[zodb.Oid]string{a: "a1", b: "b1", counter: "", set: ""},
				Reads: map[zodb.Oid]zodb.Tid{a: 0, b: 0, counter: 0, set: 0},
			},
			{
				Kind: Commit, Tid: 20, Writes: map[zodb.Oid]string{a: "a2", counter: "", set: ""}, Key: "k1",
				Reads: map[zodb.Oid]zodb.Tid{a: 10, counter: 10, set: 10}, Adds: map[zodb.Oid]int64{counter: 1},
			},
			{Kind: Unknown, Writes: map[zodb.Oid]string{b: "b4", counter: ""}},
			{Kind: Snapshot, At: 20, Values: map[zodb.Oid]Read{a: {"a2", 20}, b: {"b1", 10}}, Keys: &one},
		}},
		reader: &Log{Client: "reader", Lines: []Line{
			{Kind: Connect},
			{Kind: Snapshot, Values: map[zodb.Oid]Read{a: {"a1", 10}, b: {"b1", 10}, counter: {"0", 10}}},
			{
				Kind: Unknown, Writes: map[zodb.Oid]string{b: "b3", counter: "", set: ""}, Key: "k2",
				Reads: map[zodb.Oid]zodb.Tid{b: 10, counter: 10, set: 10}, Adds: map[zodb.Oid]int64{counter: 1},
				Resolved: []zodb.Oid{counter, set},
			},
			{Kind: Snapshot, At: 20, Values: map[zodb.Oid]Read{a: {"a2", 20}, b: {"b1", 10}}},
			{Kind: Snapshot, At: 30, Values: map[zodb.Oid]Read{a: {"a2", 20}, counter: {"2", 30}}, Keys: &two},
		}},
	}
}

func (s *story) check() *Verdict { return Check(NewTruth(s.txns), []*Log{s.writer, s.reader}) }

func TestAFaultlessHistoryHasNoViolations(t *testing.T) {
	got := faultless().check()
	for _, v := range got.Violations {
		t.Error(v)
	}
	if len(got.Keys) != 2 || !got.Keys["k1"] || !got.Keys["k2"] || got.Lost != 1 || got.Found != 1 {
		t.Errorf("keys %v, %d unknown commits are lost, %d found", got.Keys, got.Lost, got.Found)
	}
}

func TestEveryPlantedViolationIsFound(t *testing.T) {
	three := 3
	for name, c := range map[string]struct {
		rule  Rule
		plant func(s *story)
	}{
		"an acknowledged commit is not in the file": {Acknowledged, func(s *story) {
			s.writer.Lines = append(s.writer.Lines, Line{Kind: Commit, Tid: 40, Writes: map[zodb.Oid]string{a: "a4"}})
		}},
		"an acknowledged commit lacks an object": {Acknowledged, func(s *story) { delete(s.txns[0].Writes, b) }},
		"an acknowledged commit has other values": {Acknowledged, func(s *story) {
			s.txns[1].Writes[a] = "a9"
		}},
		"an acknowledged commit has more objects": {Acknowledged, func(s *story) { s.txns[1].Writes[b] = "b9" }},
		"two clients are told the same tid": {Acknowledged, func(s *story) {
			s.reader.Lines = append(s.reader.Lines, s.writer.Lines[2])
		}},
		"half an unknown commit is there": {Atomic, func(s *story) { delete(s.txns[2].Writes, counter) }},
		"an unknown commit is there twice": {Atomic, func(s *story) {
			s.txns = append(s.txns, Txn{40, map[zodb.Oid]string{b: "b3", counter: "3", set: ""}})
		}},
		"an unknown commit is an acknowledged one": {Atomic, func(s *story) {
			s.reader.Lines = append(s.reader.Lines, Line{Kind: Unknown, Writes: s.writer.Lines[2].Writes})
		}},
		"an unknown commit without values": {Atomic, func(s *story) {
			s.reader.Lines = append(s.reader.Lines, Line{Kind: Unknown, Writes: map[zodb.Oid]string{counter: ""}})
		}},
		"nobody has written a transaction": {Invented, func(s *story) {
			s.txns = append(s.txns, Txn{40, map[zodb.Oid]string{a: "a4"}})
		}},
		"a write replaces what its writer did not see": {LostUpdate, func(s *story) {
			s.reader.Lines[2].Resolved = []zodb.Oid{set}
		}},
		"an object is created twice": {LostUpdate, func(s *story) { s.writer.Lines[2].Reads[a] = 0 }},
		"an increment is swallowed":  {Counter, func(s *story) { s.txns[2].Writes[counter] = "1" }},
		"an increment counts twice":  {Counter, func(s *story) { s.txns[1].Writes[counter] = "2" }},
		"a value of no revision":     {Committed, func(s *story) { s.read(a, Read{"a2", 15}) }},
		"a value of another revision": {Committed, func(s *story) {
			s.read(a, Read{"a1", 20})
		}},
		"revisions of two times": {PointInTime, func(s *story) {
			s.reader.Lines = append(s.reader.Lines, Line{
				Kind: Snapshot, Values: map[zodb.Oid]Read{a: {"a1", 10}, counter: {"1", 20}},
			})
		}},
		"a revision later than the time that the client sees": {PointInTime, func(s *story) {
			s.writer.Lines[4].At = 19
		}},
		"a revision replaced before the time that the client sees": {PointInTime, func(s *story) {
			s.read(a, Read{"a1", 10})
		}},
		"an earlier time than before": {BackInTime, func(s *story) {
			s.reader.Lines = append(s.reader.Lines, s.reader.Lines[3])
		}},
		"an earlier time than before, as the revisions tell": {BackInTime, func(s *story) {
			s.reader.Lines = append(s.reader.Lines, s.reader.Lines[1])
		}},
		"a client does not see its own commit": {BackInTime, func(s *story) {
			s.writer.Lines[4] = s.reader.Lines[1]
		}},
		"a new connection is behind the old one": {BackInTime, func(s *story) {
			s.reader.Lines = append(s.reader.Lines, Line{Kind: Connect}, s.reader.Lines[1])
		}},
		"a key too many":   {Keys, func(s *story) { s.reader.Lines[4].Keys = &three }},
		"a key is missing": {Keys, func(s *story) { *s.reader.Lines[4].Keys = 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			s := faultless()
			c.plant(s)
			found := s.check().Violations
			for _, v := range found {
				if v.Rule == c.rule {
					return
				}
			}
			t.Errorf("%q is not among what was found: %v", c.rule, found)
		})
	}
}

// read makes the writer, who sees the transaction 20, read something else.
func (s *story) read(oid zodb.Oid, read Read) { s.writer.Lines[4].Values[oid] = read }

func TestAViolationTellsWhereItIs(t *testing.T) {
	s := faultless()
	s.read(a, Read{"a1", 20})
	found := s.check().Violations
	const want = `committed: writer, line 5: oid 0000000000000001 at 0000000000000014 is "a2", the client read "a1"`
	if len(found) != 1 || found[0].String() != want {
		t.Errorf("found %v, want %s", found, want)
	}
	s = faultless()
	s.txns = append(s.txns, Txn{40, map[zodb.Oid]string{a: "a4"}})
	found = s.check().Violations
	if len(found) != 1 || found[0].String() != "invented: no client has written transaction 0000000000000028" {
		t.Errorf("found %v", found)
	}
}
