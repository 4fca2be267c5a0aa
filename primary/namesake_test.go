package primary

import (
	"testing"

	"github.com/zrsd/zrsd/protocol"
)

// A name for which commits wait is that of one living node. Others may share theirs, but not the primary's.
func TestANameThatIsWaitedForHasOneLivingNode(t *testing.T) {
	src := newSource(plain(1)...)
	as := func(name, node string) *protocol.Hello {
		h := hello(protocol.Position{Tid: tidAt(0), Status: ' ', Digest: digestOf(t, src, tidAt(0))})
		h.Name, h.Node = name, node
		return h
	}
	taken := func(t *testing.T, p *running, name, node string) {
		t.Helper()
		answer := connect(t, p.addr).ask(as(name, node))
		if r, ok := answer.(*protocol.Refusal); !ok || r.Code != protocol.CodeNameTaken {
			t.Errorf("%s of node %s: %#v", name, node, answer)
		}
	}
	t.Run("names", func(t *testing.T) {
		p := start(t, src, Options{Own: "a", Sync: protocol.SyncRule{Required: 1, Names: []string{"b", "c"}},
			History: remembered(t, src)})
		asks := connect(t, p.addr) // which takes no name
		if _, ok := asks.ask(&protocol.HistoryQuery{Version: 1, Name: "b"}).(*protocol.HistoryAnswer); !ok {
			t.Fatal("no answer")
		}
		follow(t, p.addr, as("x", "x1"))
		follow(t, p.addr, as("x", "x2"))
		first := follow(t, p.addr, as("b", "b1"))
		again := follow(t, p.addr, as("b", "b1")) // whose first connection is about to end
		follow(t, p.addr, as("c", "c1"))
		taken(t, p, "b", "b2")
		taken(t, p, "a", "a2")
		first.hangUp()
		again.hangUp()
		p.eventually(t, "the first b is gone", func(s Status) bool {
			for _, one := range s.Secondaries {
				if one.Node == "b1" && one.State != StateDisconnected {
					return false
				}
			}
			return true
		})
		follow(t, p.addr, as("b", "b2"))
	})
	t.Run("no name of its own", func(t *testing.T) {
		p := start(t, src, Options{Sync: protocol.SyncRule{Required: 1, Names: []string{"b"}}})
		follow(t, p.addr, as("", "n1"))
	})
	t.Run("ids", func(t *testing.T) {
		p := start(t, src, Options{Own: "a", Sync: protocol.SyncRule{Required: 1}})
		follow(t, p.addr, as("a", "n1"))
		follow(t, p.addr, as("a", "n2"))
	})
}

// That a node stands in the place of another one stays known when it connects again before the end of its connection
// has been noticed.
func TestWhomANodeHasReplacedStaysKnown(t *testing.T) {
	src := newSource(plain(1)...)
	p := start(t, src, Options{})
	as := func(node string, last protocol.Position) *client {
		h := hello(last)
		h.Name, h.Node = "b", node
		return follow(t, p.addr, h)
	}
	replaced := func(connections int) func(Status) bool {
		return func(s Status) bool {
			known := 0
			for i := range s.Secondaries {
				if r := s.Secondaries[i].Replaced; r != nil && r.Node == "b1" && r.DurableTid == tidAt(0) {
					known++
				}
			}
			return known == connections
		}
	}
	before := as("b1", protocol.Position{})
	before.next()
	before.ack(tidAt(0))
	p.eventually(t, "it has everything", func(s Status) bool {
		return len(s.Secondaries) == 1 && s.Secondaries[0].DurableTid == tidAt(0)
	})
	before.hangUp()
	p.eventually(t, "it is gone", func(s Status) bool { return s.Secondaries[0].State == StateDisconnected })
	as("b2", protocol.Position{})
	p.eventually(t, "the other one is in its place", replaced(1))
	as("b2", protocol.Position{})
	p.eventually(t, "on both connections", replaced(2))
}

// The end of a connection may be noticed only after another node has come in its place.
func TestWhomANodeHasReplacedIsKnownWhenItLeavesLater(t *testing.T) {
	src := newSource(plain(1)...)
	p := start(t, src, Options{})
	as := func(node string) *client {
		h := hello(protocol.Position{})
		h.Name, h.Node = "b", node
		return follow(t, p.addr, h)
	}
	before := as("b1")
	before.next()
	before.ack(tidAt(0))
	p.eventually(t, "it has everything", func(s Status) bool {
		return len(s.Secondaries) == 1 && s.Secondaries[0].DurableTid == tidAt(0)
	})
	as("b2")
	p.eventually(t, "both are connected", func(s Status) bool {
		return len(s.Secondaries) == 2 && s.Secondaries[1].SentTid != 0 && s.Secondaries[1].Replaced == nil
	})
	before.hangUp()
	p.eventually(t, "the other one is in its place", func(s Status) bool {
		return len(s.Secondaries) == 1 && s.Secondaries[0].Replaced != nil && s.Secondaries[0].Replaced.Node == "b1"
	})
}
