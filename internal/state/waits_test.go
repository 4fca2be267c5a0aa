package state

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

const (
	nodeB = "3c1f4b7e-0d52-4e6a-9b8f-71a2c6d05e43"
	nodeC = "0e9b1a52-4f0c-4c36-9d0f-0d9b5a1c77aa"
	nodeD = "5b0f6a3d-8f63-4a0d-a6c0-1f5d6f0b9c11"
)

// Clients were told of nothing that a primary lacks when enough of the nodes that commits waited for had voted for its
// epoch, directly after one of this node, and had nothing that it had not.
func TestWhatIsCertainlyUntold(t *testing.T) {
	own := protocol.Epoch{Number: 2, Begin: 10, Node: someNode}
	state := func(change func(*State)) *State {
		s := &State{
			Node: someNode, Epochs: []protocol.Epoch{{Number: 1}, own},
			Waits: &Waits{Epoch: 2, After: 10, Required: 1, Nodes: []string{nodeB, nodeC}},
		}
		change(s)
		return s
	}
	as := func(*State) {}
	next := func(voters ...string) []protocol.Epoch {
		return []protocol.Epoch{{Number: 1}, own, {Number: 3, Begin: 20, Node: nodeB, Voters: voters}}
	}
	for name, c := range map[string]struct {
		s      *State
		last   zodb.Tid
		theirs []protocol.Epoch
		want   bool
	}{
		"all have voted": {
			state(as), 20, next(nodeB, nodeC), true,
		},
		"one has not": {
			state(as), 20, next(nodeB), false,
		},
		"one has not, and two had it": {
			state(func(s *State) { s.Waits.Required = 2 }), 20, next(nodeB), true,
		},
		"another one has": {
			state(as), 20, next(nodeB, nodeD), false,
		},
		"nothing is known of the promotion": {
			state(as), 20, next(), false,
		},
		"nothing is known of the commits": {
			state(func(s *State) { s.Waits = nil }), 20, next(nodeB, nodeC), false,
		},
		"commits do not wait at present": {
			state(func(s *State) { s.Waits.Paused = true }), 20, next(nodeB, nodeC), false,
		},
		"from before commits waited": {
			state(func(s *State) { s.Waits.After = 21 }), 20, next(nodeB, nodeC), false,
		},
		"of the epoch before": {
			state(func(s *State) { s.Waits.After = 0 }), 9, next(nodeB, nodeC), false,
		},
		"the node is a copy": {
			state(func(s *State) { s.Was = nodeD }), 20, next(nodeB, nodeC), false,
		},
		"the epoch is another node's": {
			state(func(s *State) { s.Node = nodeD }), 20, next(nodeB, nodeC), false,
		},
		"an old file does not say whose it is": {
			state(func(s *State) { s.Epochs[1].Node = "" }), 20, next(nodeB, nodeC), false,
		},
		"the primary does not know the epoch": {
			state(as), 10, []protocol.Epoch{{Number: 1}, {Number: 3, Begin: 10, Voters: []string{nodeB, nodeC}}}, false,
		},
		"it does not, and nobody counted in it": {
			state(func(s *State) { s.Waits.Nodes = nil }), 10,
			[]protocol.Epoch{{Number: 1}, {Number: 3, Begin: 10}}, true,
		},
		"another node leads the same number": {
			state(as), 10,
			[]protocol.Epoch{{Number: 1}, {Number: 2, Begin: 10, Node: nodeB, Voters: []string{nodeB, nodeC}}},
			false,
		},
		"the primary knows no later epoch": {
			state(as), 20, next()[:2], false,
		},
		"another node led that number, and was followed by one that has all votes": {
			state(as), 20, []protocol.Epoch{
				{Number: 1}, {Number: 2, Begin: 10, Node: nodeC},
				{Number: 3, Begin: 20, Voters: []string{nodeB, nodeC}},
			}, false,
		},
		"the primary is in an epoch before": {state(as), 20, next()[:1], false},
		"the primary has another history": {
			state(as), 20,
			[]protocol.Epoch{{Number: 4, Node: nodeD}, {Number: 5, Voters: []string{nodeB, nodeC}}}, false,
		},
		"as many as had to have it counted": {
			state(func(s *State) { s.Waits.Required = 2 }), 20, next(), false,
		},
		"all has gone that was committed": {state(as), 10, next(nodeB, nodeC), true},
		"the epoch before is the last common transaction": {
			state(func(s *State) { s.Waits.After = 9 }), 9, next(nodeB, nodeC), false,
		},
		"a later promotion knew less": {
			state(as), 20, append(next(nodeB, nodeC), protocol.Epoch{Number: 4, Begin: 30}), true,
		},
		"the one after this node's epoch knew less": {
			state(as), 20, append(next(), protocol.Epoch{Number: 4, Begin: 30, Voters: []string{nodeB, nodeC}}), false,
		},
	} {
		if why := c.s.MayBeTold(c.last, c.theirs); (why == "") != c.want {
			t.Errorf("%s: %q", name, why)
		}
	}
}

// A state file says it in a format that a zrsd that does not know it does not take: that would keep it and wait for
// nobody.
func TestWhatCommitsWaitedForIsKept(t *testing.T) {
	disk := simdisk.New()
	k := keeper(t, disk, "Data.fs")
	content := func() string {
		b, _, err := read(disk, "Data.fs"+Suffix)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	waits := &Waits{Epoch: 1, After: 7, Required: 2, Nodes: []string{nodeB}, Paused: true}
	aside := SetAside{First: 8, Until: 9, Last: 7, File: "Data.fs.rewound-8.fs", At: "2026-11-29T04:05:06Z", Why: "x"}
	if err := k.Update(func(s *State) error { s.Waits = waits; s.Remember(aside); return nil }); err != nil {
		t.Fatal(err)
	}
	again := keeper(t, disk, "Data.fs").State()
	if !strings.Contains(content(), `"format": 4,`) || !cmp.Equal(again.Waits, waits) ||
		!slices.Equal(again.SetAside, []SetAside{aside}) {
		t.Errorf("kept %+v, %+v in %s", again.Waits, again.SetAside, content())
	}
}

// What the commit before this wrote says nothing of what commits waited for, and of who voted.
func TestAnOlderStateSaysNothingOfWhatClientsWereTold(t *testing.T) {
	s, err := decode("x.zrsd", sealed(`{"format":2,"storage":"`+someID+`","node":"`+someNode+`","epochs":[
		{"number":1,"begin":"0000000000000000","node":"`+someNode+`"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	theirs := append(slices.Clone(s.Epochs), protocol.Epoch{Number: 2, Begin: 5, Voters: []string{nodeB}})
	if s.Waits != nil || s.Epochs[0].Voters != nil || s.MayBeTold(5, theirs) == "" {
		t.Errorf("it says %+v", s)
	}
}

// A copy is another node: what clients of the original were told, it does not know.
func TestACopyForgetsWhatCommitsWaitedFor(t *testing.T) {
	k := keeper(t, simdisk.New(), "Data.fs")
	if err := k.Update(func(s *State) error { s.Waits = &Waits{Epoch: 1, Required: 1}; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := k.Settle(); err != nil {
		t.Fatal(err)
	}
	if w := k.State().Waits; w != nil {
		t.Errorf("it keeps %+v", w)
	}
}

// Voters are kept of the last epochs only, so that the list of epochs stays short.
func TestVotersOfLongAgoAreForgotten(t *testing.T) {
	k := keeper(t, simdisk.New(), "Data.fs")
	for n := range uint64(epochsWithVoters + 3) {
		if err := k.Update(func(s *State) error {
			s.BeginEpoch(protocol.Epoch{Number: n + 2, Begin: zodb.Tid(n), Voters: []string{nodeB}})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	list := k.State().Epochs
	for i, e := range list {
		if kept := i >= len(list)-epochsWithVoters; kept != (e.Voters != nil) {
			t.Errorf("epoch %d of %d has voters %q", e.Number, len(list), e.Voters)
		}
	}
}
