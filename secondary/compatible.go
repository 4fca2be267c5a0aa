package secondary

import (
	"fmt"

	"github.com/zrsd/zrsd/protocol"
)

// checkCompatible checks that this storage can hold what the primary has.
func (s *Secondary) checkCompatible(w *protocol.Welcome) error {
	switch {
	case w.Version != protocol.MessageVersion:
		return unfit("the primary sends messages of version %d, this secondary knows only %d; run the same version of "+
			"zrsd on both sides", w.Version, protocol.MessageVersion)
	case w.Blobs && !s.st.HasBlobs():
		return unfit("the primary has blobs and this secondary has no blob directory; start it with --blobs DIR")
	case !w.Magic.Known():
		return unfit("the primary's file begins with %q, as no file of ZODB does; run zrsd check on it", w.Magic[:])
	case s.st.LastTid() != 0 && w.Magic != s.st.Magic():
		return unfit("the file of this secondary begins with %q, that of the primary with %q: they are of different "+
			"Python generations; give the secondary an empty Data.fs", s.st.Magic(), w.Magic)
	}
	return nil
}

// kin checks that what this storage has is not from an epoch that the primary does not know, or from after the
// beginning of one that this node knows nothing of: then it is another history, whatever a pack has taken away.
func (s *Secondary) kin(w *protocol.Welcome) error {
	id, last := s.keep.State(), s.st.LastTid()
	if id == nil || id.StorageID != w.StorageID {
		return nil
	}
	if at, parted := protocol.Part(id.Epochs, w.Epochs); parted && last > at {
		return &unfitError{
			rewind: true,
			text: fmt.Sprintf("diverged after transaction %v: the last one here is %v, and %s has another history "+
				"from there on; stop this node and use zrsd rewind, which sets aside what the primary never had, "+
				"or give it an empty Data.fs", at, last, clean(w.Name)),
		}
	}
	return nil
}

// takeMagic gives an empty storage the primary's magic.
func (s *Secondary) takeMagic(w *protocol.Welcome) error {
	if s.st.Magic() == w.Magic {
		return nil
	}
	if err := s.st.SetMagic(w.Magic); err != nil {
		return &localError{fmt.Errorf("taking the primary's magic: %w", err)}
	}
	return nil
}
