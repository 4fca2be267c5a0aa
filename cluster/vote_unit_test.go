package cluster

import (
	"errors"
	"slices"
	"testing"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
)

func TestEachVoterIsOneAndEachNameHasOne(t *testing.T) {
	for _, c := range []struct {
		names  []string
		voters []voter
		want   int
	}{
		{[]string{"b", "c"}, []voter{{"1", "b"}, {"2", "c"}}, 2},
		{[]string{"b", "c"}, []voter{{"1", "b"}, {"2", "b"}}, 1},
		{[]string{"db", "db"}, []voter{{"1", "db"}}, 1},
		{[]string{"b", "1"}, []voter{{"1", "b"}}, 1},
		{[]string{"b", "c"}, []voter{{"1", "a"}}, 0},
	} {
		if got := votes(c.names, c.voters); got != c.want {
			t.Errorf("%v by %v: %d votes", c.names, c.voters, got)
		}
	}
}

// Voters are those of the same last epoch that are no further.
func TestWhoIsNotedAsAVoter(t *testing.T) {
	last := protocol.Epoch{Number: 4, Begin: 9, Node: "x"}
	id := &state.State{Node: "own", Epochs: []protocol.Epoch{{Number: 1}, last}}
	status := func(node string, change func(*protocol.NodeStatus)) answer {
		p := &protocol.NodeStatus{Node: node, Epochs: id.Epochs, LastTid: 20}
		change(p)
		return answer{status: p}
	}
	answers := []answer{
		{err: errors.New("away")},
		status("b", func(*protocol.NodeStatus) {}),
		status("b", func(*protocol.NodeStatus) {}),
		status("further", func(p *protocol.NodeStatus) { p.LastTid = 21 }),
		status("behind", func(p *protocol.NodeStatus) { p.Epochs = p.Epochs[:1] }),
		status("heard", func(p *protocol.NodeStatus) { p.MaxEpochBegun = 5 }),
		status("of another one", func(p *protocol.NodeStatus) {
			p.Epochs = []protocol.Epoch{{Number: 1}, {Number: 4, Begin: 9, Node: "y"}}
		}),
		status("c", func(p *protocol.NodeStatus) { p.LastTid = 3 }),
	}
	if list := voters(id, 20, answers); !slices.Equal(list, []string{"own", "b", "c"}) {
		t.Errorf("noted are %q", list)
	}
	id.MaxEpochBegun = 5
	if list := voters(id, 20, answers); list != nil {
		t.Errorf("by a node that has heard of a later epoch: %q", list)
	}
}
