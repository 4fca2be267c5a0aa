package consistency

import (
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

const (
	a zodb.Oid = iota + 1
	b
	count
	set
)

// logs are a short history, and what two clients without a common clock were told of it.
type logs struct {
	txns           []Txn
	writer, reader []Op
}

// faultless returns a history in which all is as it should be:
//
//	tid   a    b    count  set
//	10    a1   b1   0      ·    by the writer
//	20    a2   ·    1      ·    by the writer, which adds the key k1
//	30    ·    b3   2      ·    by the reader, which adds the key k2 and never learns of it
func faultless() *logs {
	one, two := 1, 2
	return &logs{
		txns: []Txn{
			{10, map[zodb.Oid]string{a: "a1", b: "b1", count: "0", set: ""}},
			{20, map[zodb.Oid]string{a: "a2", count: "1", set: ""}},
			{30, map[zodb.Oid]string{b: "b3", count: "2", set: ""}},
		},
		writer: []Op{
			{Kind: "connect"},
			{
				Kind: Commit, Tid: 10, Wrote: map[zodb.Oid]string{a: "a1", b: "b1", count: "", set: ""},
				Read: serials(map[zodb.Oid]zodb.Tid{a: 0, b: 0, count: 0, set: 0}),
			},
			{
				Kind: Commit, Tid: 20, Wrote: map[zodb.Oid]string{a: "a2", count: "", set: ""}, Key: "k1",
				Read: serials(map[zodb.Oid]zodb.Tid{a: 10, count: 10, set: 10}), Adds: map[zodb.Oid]int64{count: 1},
			},
			{Kind: Unknown, Wrote: map[zodb.Oid]string{b: "b4", count: ""}},
			{Kind: Snapshot, Tid: 20, Read: map[zodb.Oid]Seen{a: {"a2", 20}, b: {"b1", 10}}, Keys: &one},
		},
		reader: []Op{
			{Kind: "connect"},
			{Kind: Snapshot, Read: map[zodb.Oid]Seen{a: {"a1", 10}, b: {"b1", 10}, count: {"0", 10}}},
			{
				Kind: Unknown, Wrote: map[zodb.Oid]string{b: "b3", count: "", set: ""}, Key: "k2",
				Read: serials(map[zodb.Oid]zodb.Tid{b: 10, count: 10, set: 10}), Adds: map[zodb.Oid]int64{count: 1},
				Resolved: []zodb.Oid{count, set},
			},
			{Kind: Snapshot, Tid: 20, Read: map[zodb.Oid]Seen{a: {"a2", 20}, b: {"b1", 10}}},
			{Kind: Snapshot, Tid: 30, Read: map[zodb.Oid]Seen{a: {"a2", 20}, count: {"2", 30}}, Keys: &two},
		},
	}
}

// serials are the revisions that a commit is based on, without their values.
func serials(of map[zodb.Oid]zodb.Tid) map[zodb.Oid]Seen {
	seen := map[zodb.Oid]Seen{}
	for oid, serial := range of {
		seen[oid] = Seen{Serial: serial}
	}
	return seen
}

func (s *logs) check(t *testing.T) *Verdict {
	t.Helper()
	truth, err := NewTruth(s.txns)
	if err != nil {
		t.Fatal(err)
	}
	var ops []Op
	for client, log := range map[string][]Op{"writer": s.writer, "reader": s.reader} {
		for i := range log {
			log[i].Client, log[i].line = client, i+1
			ops = append(ops, log[i])
		}
	}
	return Check(&Case{Ops: ops, Truth: truth})
}

func TestAFaultlessHistoryHasNoViolations(t *testing.T) {
	got := faultless().check(t)
	for _, v := range got.Violations {
		t.Error(v)
	}
	if len(got.Keys) != 2 || !got.Keys["k1"] || !got.Keys["k2"] || got.Missing != 1 || got.Found != 1 {
		t.Errorf("keys %v, %d unknown commits are lost, %d found", got.Keys, got.Missing, got.Found)
	}
}

func TestEachViolationPlantedInLogsIsFound(t *testing.T) {
	three := 3
	for name, c := range map[string]struct {
		rule  Rule
		plant func(s *logs)
	}{
		"an acknowledged commit is not in the file": {Acknowledged, func(s *logs) {
			s.writer = append(s.writer, Op{Kind: Commit, Tid: 40, Wrote: map[zodb.Oid]string{a: "a4"}})
		}},
		"an acknowledged commit lacks an object": {Acknowledged, func(s *logs) { delete(s.txns[0].Writes, b) }},
		"an acknowledged commit has other values": {Acknowledged, func(s *logs) {
			s.txns[1].Writes[a] = "a9"
		}},
		"an acknowledged commit has more objects": {Acknowledged, func(s *logs) { s.txns[1].Writes[b] = "b9" }},
		"two clients are told the same tid": {Acknowledged, func(s *logs) {
			s.reader = append(s.reader, s.writer[2])
		}},
		"half an unknown commit is there": {Atomic, func(s *logs) { delete(s.txns[2].Writes, count) }},
		"an unknown commit is there twice": {Atomic, func(s *logs) {
			s.txns = append(s.txns, Txn{40, map[zodb.Oid]string{b: "b3", count: "3", set: ""}})
		}},
		"an unknown commit is an acknowledged one": {Atomic, func(s *logs) {
			s.reader = append(s.reader, Op{Kind: Unknown, Wrote: s.writer[2].Wrote})
		}},
		"an unknown commit without values": {Atomic, func(s *logs) {
			s.reader = append(s.reader, Op{Kind: Unknown, Wrote: map[zodb.Oid]string{count: ""}})
		}},
		"nobody has written a transaction": {Invented, func(s *logs) {
			s.txns = append(s.txns, Txn{40, map[zodb.Oid]string{a: "a4"}})
		}},
		"a write replaces what its writer did not see": {LostUpdate, func(s *logs) {
			s.reader[2].Resolved = []zodb.Oid{set}
		}},
		"an object is created twice": {LostUpdate, func(s *logs) { s.writer[2].Read[a] = Seen{} }},
		"an increment is swallowed":  {Counting, func(s *logs) { s.txns[2].Writes[count] = "1" }},
		"an increment counts twice":  {Counting, func(s *logs) { s.txns[1].Writes[count] = "2" }},
		"a value of no revision":     {Committed, func(s *logs) { s.read(a, Seen{"a2", 15}) }},
		"a value of another revision": {Committed, func(s *logs) {
			s.read(a, Seen{"a1", 20})
		}},
		"revisions of two times": {PointInTime, func(s *logs) {
			s.reader = append(s.reader, Op{
				Kind: Snapshot, Read: map[zodb.Oid]Seen{a: {"a1", 10}, count: {"1", 20}},
			})
		}},
		"a revision later than the time that the client sees": {PointInTime, func(s *logs) {
			s.writer[4].Tid = 19
		}},
		"a revision replaced before the time that the client sees": {PointInTime, func(s *logs) {
			s.read(a, Seen{"a1", 10})
		}},
		"an earlier time than before": {BackInTime, func(s *logs) {
			s.reader = append(s.reader, s.reader[3])
		}},
		"an earlier time than before, as the revisions tell": {BackInTime, func(s *logs) {
			s.reader = append(s.reader, s.reader[1])
		}},
		"a client does not see its own commit": {BackInTime, func(s *logs) {
			s.writer[4] = s.reader[1]
		}},
		"a new connection is behind the old one": {BackInTime, func(s *logs) {
			s.reader = append(s.reader, Op{Kind: "connect"}, s.reader[1])
		}},
		"a key too many":   {Keys, func(s *logs) { s.reader[4].Keys = &three }},
		"a key is missing": {Keys, func(s *logs) { *s.reader[4].Keys = 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			s := faultless()
			c.plant(s)
			found := s.check(t).Violations
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
func (s *logs) read(oid zodb.Oid, read Seen) { s.writer[4].Read[oid] = read }

func TestAViolationTellsWhereItIs(t *testing.T) {
	s := faultless()
	s.read(a, Seen{"a1", 20})
	found := s.check(t).Violations
	const want = `committed: client writer, line 5: the server showed oid 0000000000000001 as "a1" of transaction ` +
		`0000000000000014, which is not there`
	if len(found) != 1 || found[0].String() != want {
		t.Errorf("found %v, want %s", found, want)
	}
	s = faultless()
	s.txns = append(s.txns, Txn{40, map[zodb.Oid]string{a: "a4"}})
	found = s.check(t).Violations
	const nobody = "invented: no client has written transaction 0000000000000028: map[0000000000000001:a4]"
	if len(found) != 1 || found[0].String() != nobody {
		t.Errorf("found %v", found)
	}
}
