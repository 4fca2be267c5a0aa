package cluster

import (
	"errors"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zeo"
)

const nodeZ = "ffffffff-ffff-4fff-8fff-ffffffffffff"

// What keeps a node from leading, and what it says of that.
func TestWhatConflictANodeHas(t *testing.T) {
	met := &Conflict{Kind: ConflictStorage}
	rival := func(n *Node) { update(n, func(id *state.State) { id.Rival = nodeB }) }
	foreign := func(n *Node) { update(n, func(id *state.State) { id.Epochs[0].Node = nodeB }) }
	copied := func(n *Node) { update(n, func(id *state.State) { id.Was = nodeB }) }
	for name, c := range map[string]struct {
		starts  state.Role
		leads   bool
		prepare func(*Node)
		kind    string
	}{
		"a primary":            {state.RolePrimary, true, func(*Node) {}, ""},
		"a primary with rival": {state.RolePrimary, true, rival, ConflictEpoch},
		"one that was replaced": {state.RolePrimary, true, func(n *Node) {
			rival(n)
			n.noteUnwritten(4)
		}, ""},
		"a primary that has met another one": {state.RolePrimary, true, func(n *Node) {
			n.conflictFound.Store(met)
		}, ConflictStorage},
		"a secondary that had": {state.RolePrimary, false, func(n *Node) { n.conflictFound.Store(met) }, ""},
		"one that asks for its identity": {state.RolePrimary, false, func(n *Node) {
			n.conflictFound.Store(met)
			n.asksIdentity.Store(true)
		}, ConflictStorage},
		"one without a state":           {state.RolePrimary, false, func(n *Node) { n.keep = unwritten() }, ""},
		"one with the epoch of another": {state.RolePrimary, false, foreign, ConflictRole},
		"a copy":                        {state.RolePrimary, false, copied, ConflictCopy},
		"a secondary, of another":       {state.RoleSecondary, false, foreign, ""},
		"one that follows by now": {state.RolePrimary, false, func(n *Node) {
			foreign(n)
			n.sec.(*scriptedSecondary).set(secondary.Status{Connected: true})
		}, ""},
	} {
		n, _, _ := standing(t, func(opt *Options) { opt.Starts = c.starts })
		n.setPrimary(c.leads)
		c.prepare(n)
		kind := ""
		if got := n.Conflict(); got != nil {
			kind = got.Kind
		}
		if kind != c.kind {
			t.Errorf("%s: conflict %q, want %q", name, kind, c.kind)
		}
	}
}

// A primary with a conflict takes no transactions, unless the other one has to stop.
func TestWhichConflictsStopAPrimary(t *testing.T) {
	for name, c := range map[string]struct {
		met   *Conflict
		rival string
		stops bool
	}{
		"none":                        {},
		"one that stops":              {&Conflict{}, "", true},
		"one that stops the other":    {&Conflict{Harmless: true}, "", false},
		"a rival":                     {nil, nodeB, true},
		"a rival, and a harmless one": {&Conflict{Harmless: true}, nodeB, true},
	} {
		n, _, _ := standing(t, nil)
		n.setPrimary(true)
		n.conflictFound.Store(c.met)
		update(n, func(id *state.State) { id.Rival = c.rival })
		if n.stopped() != c.stops || (n.Access() == zeo.ReadOnly) != c.stops {
			t.Errorf("%s: it is stopped: %v", name, n.stopped())
		}
	}
	n, _, _ := standing(t, nil)
	if n.keep = unwritten(); !n.stopped() {
		t.Error("a node without a state takes transactions")
	}
}

// What a primary concludes of others that are primary: I1, I4.
func TestWhatAPrimaryConcludesOfOtherPrimaries(t *testing.T) {
	lower, higher := protocol.Epoch{Number: 1, Node: nodeA}, protocol.Epoch{Number: 1, Begin: 2, Node: nodeZ}
	primaryOf := func(node string, e protocol.Epoch) *protocol.NodeStatus {
		return &protocol.NodeStatus{Node: node, Name: "b", IsPrimary: true, Epochs: []protocol.Epoch{e}}
	}
	says := func(p *protocol.NodeStatus) answer { return answer{addr: "b:1", status: p} }
	another := func(leads bool) answer {
		return answer{addr: "b:1", otherStorage: &protocol.NodeStatus{IsPrimary: leads, Name: "b"}}
	}
	met := &Conflict{Kind: ConflictStorage, addr: "b:1"}
	const self = "self"
	for name, c := range map[string]struct {
		before   *Conflict
		rival    string // before
		answers  []answer
		kind     string
		harmless bool
		goesTo   string // rival afterwards
	}{
		"nobody answers": {answers: []answer{{addr: "b:1", err: errors.New("away")}}},
		"a secondary": {
			answers: []answer{says(&protocol.NodeStatus{Epochs: []protocol.Epoch{lower}})},
		},
		"of another epoch":                  {answers: []answer{says(primaryOf(nodeZ, protocol.Epoch{Number: 2}))}},
		"one of another storage, primary":   {answers: []answer{another(true)}, kind: ConflictStorage},
		"one of another storage, secondary": {answers: []answer{another(false)}},
		"itself in another process":         {answers: []answer{says(primaryOf(self, lower))}, kind: ConflictNode},
		"one that goes before it": {
			answers: []answer{says(primaryOf(nodeZ, higher))}, kind: ConflictEpoch, goesTo: nodeZ,
		},
		"one that it goes before": {
			answers: []answer{says(primaryOf(nodeA, lower))}, kind: ConflictEpoch, harmless: true,
		},
		"both": {
			answers: []answer{says(primaryOf(nodeA, lower)), says(primaryOf(nodeZ, higher)), another(true)},
			kind:    ConflictEpoch, goesTo: nodeZ,
		},
		"what was met is away": {
			before: met, answers: []answer{{addr: "b:1", err: errors.New("away")}}, kind: ConflictStorage,
		},
		"another answers": {
			before: met, answers: []answer{{addr: "c:1", status: primaryOf(nodeZ, protocol.Epoch{Number: 2})}},
			kind: ConflictStorage,
		},
		"what was met has gone": {
			before: met, answers: []answer{says(&protocol.NodeStatus{Epochs: []protocol.Epoch{lower}})},
		},
		"it is no primary any more": {before: met, answers: []answer{another(false)}},
		"it is another conflict now": {
			before: met, answers: []answer{says(primaryOf(nodeZ, higher))}, kind: ConflictEpoch, goesTo: nodeZ,
		},
		"its rival is away": {
			rival: nodeZ, answers: []answer{{addr: "b:1", err: errors.New("away")}}, goesTo: nodeZ,
		},
		"its rival follows another": {
			rival: nodeZ, answers: []answer{says(&protocol.NodeStatus{
				Node: nodeZ, Epochs: []protocol.Epoch{higher}, UpstreamAddr: "c:1",
			})},
		},
		"its rival stops": {
			rival: nodeZ, answers: []answer{says(&protocol.NodeStatus{Node: nodeZ, Epochs: []protocol.Epoch{higher}})},
			goesTo: nodeZ,
		},
		"its rival has said where it was, and is primary": {
			rival: nodeZ, answers: []answer{says(&protocol.NodeStatus{
				Node: nodeZ, Epochs: []protocol.Epoch{higher}, UpstreamAddr: "c:1", IsPrimary: true,
			})},
			kind: ConflictEpoch, goesTo: nodeZ,
		},
		"another than its rival follows": {
			rival: nodeZ, answers: []answer{says(&protocol.NodeStatus{
				Node: nodeA, Epochs: []protocol.Epoch{lower}, UpstreamAddr: "c:1",
			})},
			goesTo: nodeZ,
		},
	} {
		n, _, _ := standing(t, nil)
		update(n, func(id *state.State) { id.Rival, id.Epochs[0].Begin = c.rival, 1 })
		n.conflictFound.Store(c.before)
		for _, a := range c.answers {
			if a.status != nil && a.status.Node == self {
				a.status.Node = n.keep.Node()
			}
		}
		v := n.judgeOthers(n.keep.State(), c.answers)
		got := Conflict{}
		if v.conflict != nil {
			got = *v.conflict
		}
		if got.Kind != c.kind || got.Harmless != c.harmless || v.rival != c.goesTo {
			t.Errorf("%s: %+v, rival %q", name, got, v.rival)
		}
		if got.Kind == ConflictEpoch && !strings.Contains(got.Text, map[bool]string{
			true: "stays primary, and the other one stops", false: "This node takes no transactions",
		}[c.harmless]) {
			t.Errorf("%s: it says %q", name, got.Text)
		}
	}
}

// A conclusion is written down, logged once, and stops or frees the primary: clients and secondaries hear of that.
func TestWhatComesOfAConclusion(t *testing.T) {
	met := &Conflict{Kind: ConflictEpoch, Text: "b is also primary"}
	var access []zeo.Access
	n, _, server := standing(t, func(opt *Options) {
		opt.SetAccess = func(a zeo.Access) { access = append(access, a) }
	})
	n.setPrimary(true)
	for _, step := range []struct {
		name    string
		entered bool
		v       verdict
		access  zeo.Access
		told    bool // clients and secondaries
	}{
		{"before clients are there", false, verdict{nodeB, met}, zeo.ReadOnly, false},
		{"the same again", true, verdict{nodeB, met}, zeo.ReadOnly, false},
		{"it is resolved", true, verdict{"", nil}, zeo.Writable, true},
		{"a harmless one", true, verdict{"", &Conflict{Kind: ConflictEpoch, Harmless: true}}, zeo.Writable, false},
		{"one that stops it", true, verdict{"", met}, zeo.ReadOnly, true},
	} {
		n.entered.Store(step.entered)
		renewed := server.renewals()
		access = nil
		if err := n.conclude(step.v); err != nil {
			t.Fatal(err)
		}
		if n.keep.State().Rival != step.v.rival || n.conflictFound.Load() != step.v.conflict ||
			n.Access() != step.access ||
			(server.renewals() > renewed) != step.told || (len(access) > 0) != step.told {
			t.Errorf("%s: rival %q, access %v, clients were told %v", step.name, n.keep.State().Rival, n.Access(),
				access)
		}
	}
}

// A primary that is promoted out of a conflict takes no transactions until it is.
func TestAPrimaryThatIsPromotedOutOfAConflictStopsMeanwhile(t *testing.T) {
	harmless := &Conflict{Kind: ConflictEpoch, Harmless: true}
	for name, c := range map[string]struct {
		leads bool
		met   *Conflict
		stops bool
	}{
		"a copy that is promoted": {false, nil, false},
		"in a conflict": {
			true, harmless, true}, "without one": {true, nil, false}, "a secondary": {false, harmless, false},
	} {
		var access []zeo.Access
		n, _, _ := standing(t, func(opt *Options) {
			opt.SetAccess = func(a zeo.Access) { access = append(access, a) }
		})
		n.setPrimary(c.leads)
		n.conflictFound.Store(c.met)
		if name == "a copy that is promoted" {
			update(n, func(id *state.State) { id.Was = nodeB })
		}
		if err := n.stopTransactions(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n.stopped() != c.stops || (len(access) > 0) != c.stops {
			t.Errorf("%s: stopped %v, clients may %v", name, n.stopped(), access)
		}
		if err := n.writeEmpty(t.Context(), 0, nil); err != nil { // nothing is held any more
			t.Error(err)
		}
	}
}
