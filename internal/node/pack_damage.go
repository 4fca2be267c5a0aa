package node

import (
	"fmt"
	"slices"
	"time"

	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/verify"
)

// A DamagedError says that a storage is not packed because damage in its data file is known. A pack would copy it into
// a file of which nothing was noted: no checksum and no checkpoint of the hash chain would tell what is right there.
type DamagedError struct {
	Places int64
	Found  string // what is wrong at one of them
	Pos    int64  // in the data file; -1: not known
}

func (e *DamagedError) Error() string {
	at := ""
	if e.Pos >= 0 {
		at = fmt.Sprintf(" at %d", e.Pos)
	}
	return fmt.Sprintf("%d damaged places are known in the data file, one of them%s (%s), and a pack would make "+
		"them impossible to heal: nothing was changed; use zrsd heal first, or zrsd verify --once if that was done, "+
		"or zrsd pack --copy-damage to pack all the same", e.Places, at, e.Found)
}

// refusesPack is filestorage.PackOptions.Refuse.
func (h *healer) refusesPack() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	refused := &DamagedError{}
	for _, p := range h.parts {
		if !p.Blob && !p.Index {
			refused.Places++
			refused.Pos, refused.Found = p.From, p.Found
		}
	}
	if refused.Places == 0 {
		refused = h.damagedBefore()
	}
	if refused == nil {
		return nil
	}
	return refused
}

// damagedBefore returns what the last verification before this process began has found, if it was not healed. Of later
// ones the healer knows more.
func (h *healer) damagedBefore() *DamagedError {
	if h.c.verifier == nil {
		return nil
	}
	st := h.c.verifier.Status()
	pass := st.Last
	if st.Failed != nil {
		pass = st.Failed
	}
	if pass == nil || pass.Ended.After(h.since) || pass.Healed >= pass.Damages {
		return nil
	}
	found := &DamagedError{Pos: -1}
	for i := range pass.Findings {
		if f := &pass.Findings[i]; ofDataFile(f) {
			found.Places, found.Found = found.Places+1, f.String()
			if f.Pos != nil {
				found.Pos = *f.Pos
			}
		}
	}
	if found.Places == 0 {
		return nil
	}
	return found
}

// ofDataFile reports whether a finding is damage of the data file on this disk.
func ofDataFile(f *verify.Finding) bool {
	blob := f.Kind == verify.KindUnreadable && f.Pos == nil
	return f.Severity == check.Damage && f.Where == verify.Here && !blob && !slices.Contains([]check.Kind{
		check.KindBlobMissing, check.KindBlobFolder, check.KindIndexEntry, check.KindIndexFile,
		verify.KindBlobSize, verify.KindBlobDigest, verify.KindBlobPeer, verify.KindState,
	}, f.Kind)
}

// packed forgets what was known of the data file that a pack has replaced.
func (h *healer) packed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, p := range h.parts {
		if !p.Blob {
			delete(h.parts, k)
		}
	}
	h.since = time.Time{}
}
