package state

import (
	"fmt"
	"slices"
	"testing"

	"github.com/zrsd/zrsd/protocol"
)

// leading is a primary of epoch 2 that may be frozen.
func leading() *State {
	return &State{
		Node: "self", Role: RolePrimary, Frozen: true, Follow: []string{"b:1"}, MaxEpochSeen: 2, VotedFor: "self",
		Epochs: []protocol.Epoch{{Number: 1}, {Number: 2, Begin: 5, Node: "self"}},
	}
}

func TestAChangeOfRoleLeavesNothingOfTheRoleBefore(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*State)
		want   string // role, frozen, follow, max epoch seen, voted for, successor, max epoch begun
	}{
		"a secondary": {(*State).BecomeSecondary, "secondary false [b:1] 2 self  0"},
		"of somebody": {
			func(s *State) { s.BecomeSecondaryOf([]string{"c:1"}) }, "secondary false [c:1] 2 self  0",
		},
		"hands over": {
			func(s *State) { s.HandOver(3, "next") }, "secondary false [b:1] 3 self next 0",
		},
		"hears of an epoch":                {func(s *State) { s.ObserveEpoch(3) }, "primary true [b:1] 3   0"},
		"of the one that it has voted for": {func(s *State) { s.ObserveEpoch(2) }, "primary true [b:1] 2 self  0"},
		"of the one that it hands over": {
			func(s *State) { s.HandOver(3, "next"); s.ObserveEpoch(3) }, "secondary false [b:1] 3 self next 0",
		},
		"of two that began": {
			func(s *State) { s.ObserveBegun(4); s.ObserveBegun(3) }, "primary true [b:1] 4   4",
		},
		"of a lower one":    {func(s *State) { s.ObserveEpoch(1) }, "primary true [b:1] 2 self  0"},
		"of one that began": {func(s *State) { s.ObserveBegun(3) }, "primary true [b:1] 3   3"},
		"votes":             {func(s *State) { s.Vote(4, "next") }, "primary true [b:1] 4 next  0"},
		"leads again": {func(s *State) { s.HandOver(3, "next"); s.BecomePrimary(protocol.Epoch{Number: 4, Begin: 6}) },
			"primary false [b:1] 4 self  0"},
		"a handover is void": {func(s *State) { s.HandOver(3, "next"); s.ObserveEpoch(4) },
			"secondary false [b:1] 4   0"},
	} {
		t.Run(name, func(t *testing.T) {
			s := leading()
			c.change(s)
			got := fmt.Sprint(
				s.Role,
				" ",
				s.Frozen,
				" ",
				s.Follow,
				" ",
				s.MaxEpochSeen,
				" ",
				s.VotedFor,
				" ",
				s.Successor,
				" ",
				s.MaxEpochBegun,
			)
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestTheNewestAddressesAreFollowedFirst(t *testing.T) {
	s := leading()
	s.FollowFirst([]string{"c:1", "", "b:1", "c:1"})
	if want := []string{"c:1", "b:1"}; !slices.Equal(s.Follow, want) {
		t.Errorf("it follows %v, want %v", s.Follow, want)
	}
	for i := range 2 * MaxMembers {
		s.FollowFirst([]string{fmt.Sprintf("x:%d", i)})
	}
	if len(s.Follow) != MaxMembers || s.Follow[0] != fmt.Sprintf("x:%d", 2*MaxMembers-1) {
		t.Errorf("%d are kept, the first is %s", len(s.Follow), s.Follow[0])
	}
}
