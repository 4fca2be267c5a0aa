package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

const nodeA = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"

// reseed is one that is recorded.
func reseed(nth int) Reseed {
	return Reseed{Why: ReseedMissing, Had: zodb.Tid(nth), Aside: fmt.Sprintf("aside-20261129T120000Z-missing-%d", nth)}
}

// A copy that is begun anew is another node, that leads nothing and has acknowledged nothing. What was voted for stays,
// and so does what storage it is.
func TestWhatAReseedForgets(t *testing.T) {
	before := State{
		StorageID: nodeC, Node: nodeA, Was: nodeB, Role: RolePrimary, Frozen: true, Epochs: twoEpochs, MaxEpochSeen: 9,
		MaxEpochBegun: 8, VotedFor: nodeB, Rival: nodeB, Successor: nodeB, ExternalHistory: true, Rewind: new(Rewind),
		Waits: new(Waits), Follow: []string{"b:1"}, Chain: Chain{Checkpoints: []Checkpoint{{Tid: 1}}},
	}
	for i := range maxSetAside {
		before.Reseeds = append(before.Reseeds, reseed(i))
	}
	s := before
	s.BeginReseed(reseed(maxSetAside))
	if s.Node == nodeA || isNoUUID(s.Node) || s.Was != "" || s.Role != RoleSecondary || s.Frozen || s.VotedFor != "" ||
		s.Rival != "" || s.Successor != "" || s.ExternalHistory || s.Rewind != nil || s.Waits != nil ||
		len(s.Chain.Checkpoints) > 0 || !s.Learner {
		t.Errorf("it is %+v", s)
	}
	if s.StorageID != nodeC || s.MaxEpochSeen != 9 || s.MaxEpochBegun != 8 || len(s.Epochs) != 2 ||
		s.Follow[0] != "b:1" {
		t.Errorf("it has forgotten who it follows, or what it voted for: %+v", s)
	}
	if len(s.Reseeds) != maxSetAside || s.Reseeds[0].Had != 1 || s.Reseeds[maxSetAside-1].Had != maxSetAside ||
		before.Reseeds[0].Had != 0 {
		t.Errorf("it remembers %+v", s.Reseeds)
	}
}

// A reseed is under way until all is set aside. What was noted of the file that went is forgotten then.
func TestWhenAReseedIsUnderWay(t *testing.T) {
	s := State{}
	if s.Reseeding() != nil {
		t.Error("one is under way that nobody has begun")
	}
	s.BeginReseed(reseed(1))
	if got := s.Reseeding(); got == nil || got.Had != 1 {
		t.Errorf("under way is %+v", got)
	}
	begun := s
	s.Learner, s.Chain.Checkpoints = false, []Checkpoint{{Tid: 1}}
	s.EndReseed()
	if s.Reseeding() != nil || !s.Learner || len(s.Chain.Checkpoints) > 0 || begun.Reseeding() == nil {
		t.Errorf("it is %+v, and was %+v", s, begun)
	}
	s.BeginReseed(reseed(2))
	if got := s.Reseeding(); got == nil || got.Had != 2 {
		t.Errorf("under way is %+v", got)
	}
}

// A node begins no reseed by itself before it has caught up after the last one, nor twice in a day.
func TestWhenANodeMayReseedItself(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration, auto bool) Reseed {
		return Reseed{At: now.Add(-d).Format(time.RFC3339), Auto: auto}
	}
	for name, c := range map[string]struct {
		reseeds []Reseed
		learner bool
		says    string
	}{
		"the first time":                {},
		"a new copy":                    {learner: true},
		"it has not caught up":          {[]Reseed{ago(48*time.Hour, false)}, true, "has not caught up"},
		"an operator had it done":       {[]Reseed{ago(time.Hour, false)}, false, ""},
		"it did so a day ago":           {[]Reseed{ago(ReseedAgain, true)}, false, ""},
		"it did so less than a day ago": {[]Reseed{ago(ReseedAgain-time.Second, true)}, false, "by itself at"},
		"it did, and an operator after": {
			[]Reseed{ago(2*time.Hour, true), ago(time.Hour, false)}, false, "by itself at",
		},
		"nobody knows when it did so":     {[]Reseed{{At: "yesterday", Auto: true}}, false, "by itself at"},
		"or when an operator had it done": {[]Reseed{{At: "yesterday"}}, false, ""},
	} {
		s := State{Reseeds: c.reseeds, Learner: c.learner}
		err := s.MayReseed(now)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// A storage that lacks transactions which it once had is another node, whose vote does not count. One that begins an
// epoch is what all others go by.
func TestWhoIsALearner(t *testing.T) {
	k := keeper(t, simdisk.New(), "Data.fs")
	node := k.Node()
	must(t, k.Update(func(s *State) error { s.Waits = &Waits{Epoch: 1, Required: 1}; return nil }), k.SettleBehind())
	if s := k.State(); !s.Learner || !s.Copied || s.Was != node || s.Node == node || s.Waits != nil {
		t.Errorf("it is %+v", s)
	}
	must(t, k.Update(func(s *State) error { s.BeginEpoch(protocol.Epoch{Number: 2}); return nil }))
	if k.State().Learner {
		t.Error("a primary is a learner")
	}
}

// As many reseeds as are kept can be read again, and only names that were made here.
func TestWhichReseedsAreRead(t *testing.T) {
	var list []Reseed
	for i := range maxSetAside + 1 {
		list = append(list, reseed(i))
	}
	strange := slices.Clone(list[:1])
	strange[0].Aside = "../Data.fs"
	for name, c := range map[string]struct {
		list []Reseed
		read bool
	}{
		"none": {nil, true}, "as many as are kept": {list[:maxSetAside], true}, "one more": {list, false},
		"a strange name": {strange, false},
	} {
		if err := (&State{Reseeds: c.list}).checkReseeds(); (err == nil) != c.read {
			t.Errorf("%s: %v", name, err)
		}
	}
}
