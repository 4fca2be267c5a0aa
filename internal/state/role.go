package state

import (
	"slices"

	"github.com/zrsd/zrsd/protocol"
)

// The methods in this file are all that changes who leads, as this node knows it. They are for functions given to
// Keeper.Update: what they did is durable when that returns.

// BecomePrimary begins an epoch of this node, which leads it.
func (s *State) BecomePrimary(e protocol.Epoch) {
	s.BeginEpoch(e)
	s.Role = RolePrimary
}

// BecomeSecondary makes the node a secondary. It looks for its primary at the addresses that it has.
func (s *State) BecomeSecondary() { s.Role, s.Frozen = RoleSecondary, false }

// BecomeSecondaryOf makes the node a secondary that looks for its primary at these addresses. A handover is void.
func (s *State) BecomeSecondaryOf(addresses []string) {
	s.BecomeSecondary()
	s.Follow, s.Successor = addresses, ""
}

// HandOver makes the node, until now primary, step down for another one, which shall begin the epoch. After that this
// node begins no epoch by itself.
func (s *State) HandOver(epoch uint64, node string) {
	s.BecomeSecondary()
	s.MaxEpochSeen, s.Successor = epoch, node
}

// ObserveEpoch notes that another node knows of an epoch. A handover for a lower one is void.
func (s *State) ObserveEpoch(epoch uint64) {
	if epoch > s.MaxEpochSeen {
		s.MaxEpochSeen, s.VotedFor, s.Successor = epoch, "", ""
	}
}

// ObserveBegun notes that an epoch has begun elsewhere.
func (s *State) ObserveBegun(epoch uint64) {
	s.ObserveEpoch(epoch)
	s.MaxEpochBegun = max(s.MaxEpochBegun, epoch)
}

// Vote notes the vote of this node for an epoch of another one.
func (s *State) Vote(epoch uint64, node string) {
	s.ObserveEpoch(epoch)
	s.VotedFor = node
}

// MaxMembers is how many addresses of other nodes are kept.
const MaxMembers = 32

// FollowFirst puts addresses in front of those at which the node looks for its primary.
func (s *State) FollowFirst(addresses []string) {
	var kept []string
	for _, addr := range slices.Concat(addresses, s.Follow) {
		if addr != "" && !slices.Contains(kept, addr) && len(kept) < MaxMembers {
			kept = append(kept, addr)
		}
	}
	s.Follow = kept
}
