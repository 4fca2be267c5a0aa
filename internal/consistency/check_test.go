package consistency

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/zodb"
)

// counter is the object that counts in these stories; objects are the others.
const counter zodb.Oid = 9

var objects = []zodb.Oid{1, 2, 3, counter}

// A story is a history that is told by hand, of the primary a unless another node is named.
type story struct {
	Case
	txns, aside []Txn
	now         int64
	state       map[zodb.Oid]Seen
}

func newStory() *story {
	s := &story{state: map[zodb.Oid]Seen{}}
	s.PrimaryPeriods = []PrimaryPeriod{{Node: "a"}}
	s.commit("setup", 1, 2, 3, counter)
	return s
}

// op adds an Op that takes from now to one later.
func (s *story) op(op *Op) *Op {
	if op.Node == "" {
		op.Node = "a"
	}
	op.Conn = 1
	op.Begin, op.End = s.now, s.now+1
	s.now += 2
	s.Ops = append(s.Ops, *op)
	return &s.Ops[len(s.Ops)-1]
}

// write is a transaction that is based on the present state, and changes nothing yet.
func (s *story) write(kind Kind, client string, oids ...zodb.Oid) *Op {
	op := &Op{Kind: kind, Client: client, Tid: zodb.Tid(1000 + s.now), Read: map[zodb.Oid]Seen{},
		Wrote: map[zodb.Oid]string{}}
	for _, oid := range oids {
		op.Read[oid] = s.state[oid]
		op.Wrote[oid] = fmt.Sprintf("%s-%d", client, s.now)
		if oid == counter {
			op.Wrote[oid] = Count(Counted(s.state[oid].Value)+1, op.Wrote[oid])
			op.Adds = map[zodb.Oid]int64{oid: 1}
		}
	}
	return s.op(op)
}

// apply makes a transaction true.
func (s *story) apply(op *Op) {
	s.txns = append(s.txns, Txn{op.Tid, op.Wrote})
	for oid, value := range op.Wrote {
		s.state[oid] = Seen{value, op.Tid}
	}
}

func (s *story) commit(client string, oids ...zodb.Oid) *Op {
	op := s.write(Commit, client, oids...)
	s.apply(op)
	return op
}

// read reads an object, or several as of the last transaction.
func (s *story) read(kind Kind, node string, oids ...zodb.Oid) *Op {
	op := &Op{Kind: kind, Client: "reader of " + node, Node: node, Read: map[zodb.Oid]Seen{}}
	if kind == Snapshot {
		op.Tid = s.txns[len(s.txns)-1].Tid
	}
	for _, oid := range oids {
		op.Read[oid] = s.state[oid]
	}
	return s.op(op)
}

func (s *story) verdict(t interface{ Fatal(...any) }) *Verdict {
	var err error
	if s.Truth, err = NewTruth(s.txns); err != nil {
		t.Fatal(err)
	}
	aside, err := NewTruth(s.aside)
	if err != nil {
		t.Fatal(err)
	}
	s.Aside = []*Truth{aside}
	return Check(&s.Case)
}

// cutOff takes the last transaction out of the files and sets it aside.
func (s *story) cutOff() {
	last := s.txns[len(s.txns)-1]
	s.txns = s.txns[:len(s.txns)-1]
	s.aside = append(s.aside, last)
	s.state = map[zodb.Oid]Seen{}
	for _, txn := range s.txns {
		for oid, value := range txn.Writes {
			s.state[oid] = Seen{value, txn.Tid}
		}
	}
}

// plants are things that must not happen, and the rules by which they are found.
var plants = map[string]struct {
	plant func(s *story)
	rules []Rule
}{
	"an acknowledged commit is gone": {func(s *story) {
		s.commit("w", 1)
		s.cutOff()
		s.aside = nil
	}, []Rule{Acknowledged}},
	"an acknowledged commit is cut off behind secondaries": {func(s *story) {
		s.commit("w", 1)
		s.cutOff()
	}, []Rule{Acknowledged}},
	"a commit is there with another value": {func(s *story) {
		op := s.commit("w", 1, 2)
		s.txns[len(s.txns)-1].Writes = map[zodb.Oid]string{1: op.Wrote[1], 2: "other"}
	}, []Rule{Acknowledged, Invented}},
	"a commit of unknown outcome is there in part": {func(s *story) {
		op := s.write(Unknown, "w", 1, 2)
		s.apply(&Op{Tid: op.Tid, Wrote: map[zodb.Oid]string{1: op.Wrote[1]}})
	}, []Rule{Atomic, Invented}},
	"a refused commit is there": {func(s *story) { s.apply(s.write(Refused, "w", 1)) },
		[]Rule{NotRefused, Invented}},
	"a transaction comes from nowhere": {func(s *story) {
		s.apply(&Op{Tid: 5000, Wrote: map[zodb.Oid]string{1: "x"}})
	}, []Rule{Invented}},
	"a stale read of the primary": {func(s *story) {
		old := s.state[1]
		s.commit("w", 1)
		s.read(Read, "a", 1).Read[1] = old
	}, []Rule{Linearisable}},
	"a stale snapshot of the primary": {func(s *story) {
		old, tid := s.state[1], s.txns[len(s.txns)-1].Tid
		s.commit("w", 1)
		op := s.read(Snapshot, "a", 1)
		op.Read[1], op.Tid = old, tid
	}, []Rule{Linearisable}},
	"a read goes back": {func(s *story) {
		old := s.state[1]
		op := s.commit("w", 1)
		op.End += 100 // it is under way while both read
		s.read(Read, "a", 1)
		s.read(Read, "a", 1).Read[1] = old
	}, []Rule{Linearisable}},
	"a dirty read": {func(s *story) {
		op := s.write(Refused, "w", 1)
		s.read(Read, "a", 1).Read[1] = Seen{op.Wrote[1], op.Tid}
	}, []Rule{Committed}},
	"a read of the primary of what is cut off, behind secondaries": {func(s *story) {
		s.apply(s.write(Unknown, "w", 1))
		s.read(Read, "a", 1)
		s.cutOff()
	}, []Rule{Committed}},
	"two primaries acknowledge": {func(s *story) {
		before := maps.Clone(s.state)
		s.commit("w", 1)
		s.cutOff() // by the successor's history
		s.state = before
		s.commit("v", 1).Node = "b"
	}, []Rule{Acknowledged}},
	"two writers replace the same revision": {func(s *story) {
		old := s.state[1]
		s.commit("w", 1)
		s.commit("v", 1).Read[1] = old
	}, []Rule{LostUpdate, Linearisable}},
	"the counter misses one": {func(s *story) {
		op := s.write(Commit, "w", counter)
		op.Wrote[counter] = Count(7, "w")
		s.apply(op)
	}, []Rule{Counting}},
	"a snapshot mixes two times": {func(s *story) {
		old := s.state[1]
		s.commit("w", 1, 2)
		s.read(Snapshot, "b", 1, 2).Read[1] = old
	}, []Rule{PointInTime}},
	"a secondary goes back": {func(s *story) {
		old, tid := s.state[1], s.txns[len(s.txns)-1].Tid
		s.commit("w", 1)
		s.read(Snapshot, "b", 1)
		op := s.read(Snapshot, "b", 1)
		op.Read[1], op.Tid = old, tid
	}, []Rule{BackInTime}},
}

func TestEachPlantedViolationIsFound(t *testing.T) {
	for name, p := range plants {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			s.commit("w", 1, counter)
			p.plant(s)
			v := s.verdict(t)
			var rules []Rule
			for _, violation := range v.Violations {
				rules = append(rules, violation.Rule)
			}
			slices.Sort(rules)
			slices.Sort(p.rules)
			if rules = slices.Compact(rules); !slices.Equal(rules, p.rules) {
				t.Errorf("found %v, want %v: %v", rules, p.rules, v.Violations)
			}
		})
	}
}

func TestWhatIsAllowedIsNoViolation(t *testing.T) {
	for name, tell := range map[string]func(s *story){
		"a secondary is behind": func(s *story) {
			old, tid := s.state[1], s.txns[len(s.txns)-1].Tid
			s.commit("w", 1)
			op := s.read(Snapshot, "b", 1)
			op.Read[1], op.Tid = old, tid
		},
		"a former primary that is cut off is behind": func(s *story) {
			old := s.state[1]
			s.PrimaryPeriods = []PrimaryPeriod{{Node: "a", Until: s.now}, {Node: "b", Since: s.now + 1}}
			s.commit("w", 1).Node = "b"
			s.read(Read, "a", 1).Read[1] = old
		},
		"without waiting, a commit is set aside": func(s *story) {
			s.MayLose = true
			s.commit("w", 1)
			s.read(Read, "a", 1)
			s.cutOff()
			s.commit("v", 1).Node = "b"
		},
		"a commit of unknown outcome is not there": func(s *story) { s.write(Unknown, "w", 1) },
		"a commit of unknown outcome comes late": func(s *story) {
			op := s.write(Unknown, "w", 1)
			s.read(Read, "a", 1)
			s.apply(op)
			s.read(Read, "a", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			tell(s)
			if v := s.verdict(t); len(v.Violations) > 0 {
				t.Error(v.Violations)
			}
		})
	}
}

func TestEveryHistoryOfOneCopyIsRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStory()
		for range rapid.IntRange(1, 40).Draw(t, "operations") {
			oids := rapid.SliceOfDistinct(rapid.SampledFrom(objects), rapid.ID[zodb.Oid]).Draw(t, "oids")
			switch kind := rapid.SampledFrom([]Kind{Commit, Unknown, Refused, Read, Snapshot}).Draw(t, "kind"); {
			case len(oids) == 0:
			case kind == Commit:
				s.commit("w", oids...)
			case kind == Unknown && rapid.Bool().Draw(t, "there"):
				s.apply(s.write(Unknown, "w", oids...))
			case kind == Read:
				s.read(Read, "a", oids[0])
			case kind == Snapshot:
				s.read(Snapshot, "a", oids...)
			default:
				s.write(kind, "w", oids...)
			}
		}
		if v := s.verdict(t); len(v.Violations) > 0 {
			t.Fatal(v.Violations)
		}
	})
}

func TestCopiesThatDifferAreNoTruth(t *testing.T) {
	a, b := []Txn{{1, map[zodb.Oid]string{1: "a"}}}, []Txn{{1, map[zodb.Oid]string{1: "b"}}}
	if _, err := NewTruth(a, b); err == nil {
		t.Error("two files that differ make one truth")
	}
	if truth, err := NewTruth(a, a); err != nil || len(truth.Tids()) != 1 {
		t.Errorf("two files with the same: %v", err)
	}
}

func TestTwoFormerPrimariesMayHaveUsedTheSameTid(t *testing.T) {
	s := newStory()
	s.MayLose = true
	var asides [][]Txn
	for _, client := range []string{"v", "w"} {
		op := s.write(Commit, client, 1)
		s.Ops[len(s.Ops)-1].Tid = 9000
		asides = append(asides, []Txn{{9000, op.Wrote}})
	}
	s.verdict(t)
	s.Aside = nil
	for _, txns := range asides {
		aside, err := NewTruth(txns)
		if err != nil {
			t.Fatal(err)
		}
		s.Aside = append(s.Aside, aside)
	}
	if v := Check(&s.Case); len(v.Violations) > 0 || len(v.Lost) != 2 {
		t.Errorf("%+v", v)
	}
}

func TestWhatAPackHasLeftIsNothingElse(t *testing.T) {
	whole, err := NewTruth([]Txn{{1, map[zodb.Oid]string{1: "a", 2: "b"}}, {2, map[zodb.Oid]string{1: "c"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file []Txn
		cut  int
	}{
		{[]Txn{{1, map[zodb.Oid]string{2: "b"}}}, 0},
		{[]Txn{{1, map[zodb.Oid]string{2: "x"}}}, 1},
		{[]Txn{{3, map[zodb.Oid]string{1: "a"}}}, 1},
	} {
		file, err := NewTruth(c.file)
		if err != nil {
			t.Fatal(err)
		}
		if cut := file.Without(whole); len(cut) != c.cut {
			t.Errorf("of %v %v is cut off", c.file, cut)
		}
	}
}

func TestALogIsWrittenLineByLine(t *testing.T) {
	var out bytes.Buffer
	l := NewLog(&out)
	l.Add(&Op{Kind: Commit, Client: "w", Tid: 7, Wrote: map[zodb.Oid]string{1: "x"}})
	l.Add(&Op{Kind: Read, Client: "r", Read: map[zodb.Oid]Seen{1: {"x", 7}}})
	ops, err := l.Close()
	if err != nil || len(ops) != 2 || l.Count(Commit) != 1 {
		t.Fatalf("%v, %v", ops, err)
	}
	lines := json.NewDecoder(&out)
	for i := range ops {
		var op Op
		if err := lines.Decode(&op); err != nil || op.Kind != ops[i].Kind || !maps.Equal(op.Read, ops[i].Read) {
			t.Errorf("line %d: %+v, %v", i+1, op, err)
		}
	}
	full := NewLog(failing{})
	full.Add(&Op{})
	if _, err := full.Close(); err == nil {
		t.Error("a log that cannot be written is complete")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// A former primary may show a state as of a transaction that was cut off later, and that none of the drill's clients
// has written: an epoch begins with one that writes nothing.
func TestAStateAsOfWhatWasCutOffIsNotCompared(t *testing.T) {
	truth, err := NewTruth([]Txn{{10, map[zodb.Oid]string{1: "a"}}, {40, map[zodb.Oid]string{1: "b"}}})
	if err != nil {
		t.Fatal(err)
	}
	op := Op{Kind: Snapshot, Client: "r", Node: "c", Begin: 1, End: 2, Tid: 50, Read: map[zodb.Oid]Seen{1: {"a", 10}}}
	for cut, wrong := range map[zodb.Tid]int{0: 1, 51: 1, 50: 0, 45: 0} {
		c := Case{Ops: []Op{op}, Truth: truth, Cut: cut}
		found := 0
		for _, v := range Check(&c).Violations {
			if v.Rule == PointInTime {
				found++
			}
		}
		if found != wrong {
			t.Errorf("cut off from %v on: %d violations, want %d", cut, found, wrong)
		}
	}
}
