package secondary

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/protocol"
)

// A Protocol is how a secondary speaks to its primary.
type Protocol string

// The protocols that a secondary can be configured to use.
const (
	ProtocolAuto   Protocol = "auto"   // our own, and zrs2 where the primary does not know that
	ProtocolNative Protocol = "native" // our own only
	ProtocolZrs2   Protocol = "zrs2"   // that of zc.zrs only
)

// Known reports whether p is one of the three.
func (p Protocol) Known() bool { return p == ProtocolAuto || p == ProtocolNative || p == ProtocolZrs2 }

const (
	// nativeAgain is for how long a primary counts as one of protocol zrs2 only. After that a new connection begins
	// with our own protocol again: perhaps it was replaced by a zrsd.
	nativeAgain = 10 * time.Minute
	// patience is how many connections must end without a message before that counts as a refusal.
	patience = 3
)

// old is what a secondary remembers of primaries that speak zrs2, by address. It is for Run's goroutine only.
type old struct {
	since    map[string]time.Time // when they were found not to speak our own protocol, and to speak zrs2
	wordless map[string]int       // connections that they ended without having sent anything, in a row
}

func newOld() old { return old{since: make(map[string]time.Time), wordless: make(map[string]int)} }

// followIn follows the primary in the protocol that fits.
//
// A primary that speaks our own protocol proves which storage it has and that we share a history; one that speaks zrs2
// cannot. So nothing falls back to zrs2 that was once sure of its primary: it takes an operator to say so.
func (s *Secondary) followIn(ctx context.Context, addr string) error {
	since, known := s.old.since[addr]
	if s.opt.Protocol == ProtocolZrs2 || (known && s.opt.now().Sub(since) < nativeAgain) {
		return s.followOld(ctx, addr)
	}
	delete(s.old.since, addr)
	err := s.insistNative(ctx, addr)
	if s.opt.Protocol == ProtocolNative || !errors.Is(err, protocol.ErrNotNative) {
		return err
	}
	if reason := s.notBack(); reason != "" {
		return fmt.Errorf("%w; zrs2 is not tried, because %s", err, reason)
	}
	older := s.followOld(ctx, addr)
	if errors.Is(older, errWordless) {
		return fmt.Errorf("%w; in zrs2: %w", err, older)
	}
	return older
}

// insistNative follows the primary in our own protocol. A zc.zrs ends each connection that begins with it; one that
// ends without an answer may also have been cut on its way, so that counts only again and again.
func (s *Secondary) insistNative(ctx context.Context, addr string) (err error) {
	for range patience {
		if err = s.followNative(ctx, addr); !errors.Is(err, protocol.ErrNotNative) {
			break
		}
	}
	return err
}

// notBack returns why this secondary must not fall back to zrs2 by itself; empty when it may.
func (s *Secondary) notBack() string {
	id := s.keep.State()
	switch {
	case len(s.opt.Secret) > 0:
		return "it cannot carry a shared secret"
	case s.opt.SharedBlobs != nil:
		return "it cannot carry shared blobs"
	case id != nil && !id.GeneratedID:
		return "this secondary has followed a primary that proved its identity, and zrs2 cannot; where a zc.zrs took " +
			"its place on purpose, use --protocol zrs2"
	}
	return ""
}

// speaksZrs2 notes that a primary has sent something in zrs2.
func (s *Secondary) speaksZrs2(addr string) {
	delete(s.old.wordless, addr)
	if _, known := s.old.since[addr]; !known {
		s.old.since[addr] = s.opt.now()
	}
}
