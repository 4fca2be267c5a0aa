package reseed

import (
	"fmt"

	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
)

// Vouches says why a node that has answered does not make it safe to give up the copy with the state id; nil: it is the
// primary, and has all that clients were told of because of this copy. That is so where it leads the last epoch that
// the copy has seen or voted for, or a later one, which grew out of all that the copy had.
func Vouches(id *state.State, p *protocol.NodeStatus) error {
	had := id.Chain.Last().Tid
	name := printable.Short(p.Name, 300)
	at, parted := protocol.Part(id.Epochs, p.Epochs)
	switch {
	case p.StorageID != id.StorageID:
		return fmt.Errorf("%s has another storage, %s, this node has %s: check the address", name,
			printable.Short(p.StorageID, 300), id.StorageID)
	case !p.IsPrimary || p.Node == id.Node:
		return fmt.Errorf("%s is not the primary", name)
	case p.Highest() < id.Highest():
		return fmt.Errorf("%s is primary of epoch %d, and this node has seen epoch %d: another node may be primary",
			name, p.Highest(), id.Highest())
	case parted && had > at:
		return fmt.Errorf("%s has another history from after %v on, and this copy had transactions up to %v: they may "+
			"have been acknowledged, and be nowhere else", name, at, had)
	case p.LastTid < had:
		return fmt.Errorf("%s has transactions up to %v, this copy had some up to %v: they may have been "+
			"acknowledged, and be nowhere else", name, p.LastTid, had)
	}
	return nil
}
