package secondary

import (
	"errors"
	"fmt"
	"slices"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A pendingIdentity is the identity that a primary of an older version claims. Nothing protects its welcome from damage
// in transit, and a wrong id, once saved, would make every later handshake fail. So a claim that is new to this
// secondary is kept in memory first; the next hello presents it, and it is saved when the primary accepts that and
// repeats the same. The welcome of a present one has a digest of it.
type pendingIdentity struct {
	storageID string
	epochs    []protocol.Epoch
}

func (c *pendingIdentity) equal(id string, epochs []protocol.Epoch) bool {
	return c != nil && c.storageID == id && slices.EqualFunc(c.epochs, epochs, protocol.Epoch.Equal)
}

// identify compares a welcome with the identity of this storage, which it takes or brings up to date. It returns
// errConfirm when the claim has to be confirmed first.
func (s *Secondary) identify(w *protocol.Welcome) error {
	id, epochs := s.Identity()
	switch {
	case id == w.StorageID && slices.EqualFunc(epochs, w.Epochs, protocol.Epoch.Equal):
		s.pendingID = nil
		return s.named()
	case id != "" && id != w.StorageID:
		return unfit("this secondary holds the storage %s, the primary welcomed it to %s; check the address", id,
			clean(w.StorageID))
	}
	confirmed := w.IdentityDigest != (zodb.Digest{}) || s.pendingID.equal(w.StorageID, w.Epochs)
	first := s.pendingID == nil
	s.pendingID = &pendingIdentity{w.StorageID, w.Epochs}
	switch {
	case confirmed:
		s.pendingID = nil
		return s.take(w)
	case first:
		return errConfirm
	}
	return errors.New("the primary sent two different identities")
}

// named forgets that the id was made here, once a primary has it, too.
func (s *Secondary) named() error {
	if !s.keep.State().GeneratedID {
		return nil
	}
	if err := s.keep.Update(func(id *state.State) error {
		id.GeneratedID, id.ExternalHistory = false, true
		return nil
	}); err != nil {
		return &localError{fmt.Errorf("saving that the primary has an identity: %w", err)}
	}
	return nil
}

// take writes the identity down.
func (s *Secondary) take(w *protocol.Welcome) error {
	if s.keep.State() == nil {
		adopt := s.keep.Adopt
		if !s.hasAll(w) {
			adopt = s.keep.AdoptAsLearner
		}
		if err := adopt(w.StorageID, w.Epochs, s.st.LastTid() != 0); err != nil {
			return &localError{fmt.Errorf("taking the primary's identity: %w", err)}
		}
		s.log.Info("took the storage id of the primary", "storage", w.StorageID)
		return nil
	}
	if err := s.keep.Update(func(id *state.State) error {
		if id.Epochs = w.Epochs; id.Epoch().Number >= id.MaxEpochSeen {
			id.Successor = "" // the handover is done, or overtaken
		}
		if id.Epoch().Number >= id.MaxEpochBegun {
			id.MaxEpochBegun = 0
		}
		return nil
	}); err != nil {
		return &localError{fmt.Errorf("taking the primary's epochs: %w", err)}
	}
	s.log.Info("took the primary's epochs", "epochs", len(w.Epochs))
	if s.opt.EpochsChanged != nil {
		s.opt.EpochsChanged()
	}
	return nil
}

// unconfirmed drops a claim that the primary itself denies.
func (s *Secondary) unconfirmed(r *protocol.Refusal) error {
	if s.pendingID == nil || r.Code != protocol.CodeWrongStorage {
		return r
	}
	if id, _ := s.Identity(); id != "" {
		return r
	}
	s.pendingID = nil
	return fmt.Errorf("the primary's identity arrived damaged: %s", clean(r.Text))
}

// noteExternalHistory notes that transactions come over the protocol of zc.zrs, before the first one is taken.
func (s *Secondary) noteExternalHistory() error {
	id := s.keep.State()
	if id == nil || id.ExternalHistory {
		return nil // a secondary without an identity is known to be foreign by its transactions when it adopts one
	}
	if err := s.keep.Update(func(id *state.State) error { id.ExternalHistory = true; return nil }); err != nil {
		return &localError{fmt.Errorf("saving that transactions come from a zc.zrs: %w", err)}
	}
	return nil
}

// needsIdentity makes an identity when others follow this secondary, who need one, and its own primary has none to
// give. It is marked, for it is not the primary's.
func (s *Secondary) needsIdentity() error {
	if !s.opt.NeedsIdentity || s.keep.State() != nil {
		return nil
	}
	if err := s.keep.CreateUnnamed(); err != nil {
		return &localError{fmt.Errorf("giving the storage an identity: %w", err)}
	}
	id := s.keep.State()
	s.log.Info("gave the storage an identity of its own: its primary has none", "storage", id.StorageID, "file",
		id.Path())
	return nil
}
