package protocol

import (
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// An Epoch is the time of one primary: a promotion begins the next one. Two epochs are the same only if number, begin
// and node are the same: two nodes that did not hear of each other may give the same number.
type Epoch struct {
	Number uint64   `msgpack:"n"     json:"number"`
	Begin  zodb.Tid `msgpack:"begin" json:"begin"` // tid of the last transaction before the epoch; 0 for the first
	// Node is the id of the node that began it. Empty where an older version of zrsd wrote it down.
	Node string `msgpack:"node" json:"node,omitempty"`
	// By is the name of the node that began it, At when, RFC 3339 in UTC by its clock. Both are for people; empty where
	// nobody noted them.
	By string `msgpack:"by" json:"by,omitempty"`
	At string `msgpack:"at" json:"at,omitempty"`
	// Voters are the ids of the nodes, the one that began the epoch among them, which had voted for it, had the epoch
	// before as their last one, and had nothing that the one that began it had not. Empty: it was not begun by a
	// promotion, or nobody noted them.
	Voters []string `msgpack:"voters" json:"voters,omitempty"`
}

// MaxVoters is how many voters of an epoch are noted.
const MaxVoters = 64

// Equal reports whether two nodes say the same of an epoch in every respect.
func (e Epoch) Equal(other Epoch) bool {
	return e.Number == other.Number && e.Begin == other.Begin && e.Node == other.Node && e.By == other.By &&
		e.At == other.At && slices.Equal(e.Voters, other.Voters)
}

// Same reports whether two epochs are one. Where one of them does not say its node, number and beginning decide.
func (e Epoch) Same(other Epoch) bool {
	return e.Number == other.Number && e.Begin == other.Begin &&
		(e.Node == other.Node || e.Node == "" || other.Node == "")
}

// Part compares the epochs that two nodes know. Where both go on after the epochs that are the same, or one of them
// does, parted is true, and at is the last transaction up to which their histories can be the same: the earliest
// beginning of an epoch that one of them does not know. What a node has after it, it has from an epoch that the
// other one does not know.
func Part(a, b []Epoch) (at zodb.Tid, parted bool) {
	same := 0
	for same < len(a) && same < len(b) && a[same].Same(b[same]) {
		same++
	}
	for _, list := range [][]Epoch{a, b} {
		if len(list) == same {
			continue
		}
		if begin := list[same].Begin; !parted || begin < at {
			at, parted = begin, true
		}
	}
	return at, parted
}

func lastEpoch(epochs []Epoch) uint64 {
	if len(epochs) == 0 {
		return 0
	}
	return epochs[len(epochs)-1].Number
}
