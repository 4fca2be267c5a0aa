package zeo

import (
	"net"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/zeo/wire"
)

// What was decided of a client holds when it enters only if access and leader are still what they were. One that
// is here for want of a leader is counted among those for whom one is looked for, until it leaves.
func TestAClientEntersAsLongAsWhatWasDecidedHolds(t *testing.T) {
	for name, c := range map[string]struct {
		access              Access
		reads, falls, waits bool   // it registers to read; as one that was refused to write; or it reads meanwhile
		leader              string // elsewhere
		another             bool   // than when it was decided
		enters, seeks       bool
	}{
		"a reader":                                   {access: ReadOnly, reads: true, enters: true},
		"a reader, where this node leads":            {access: Writable, reads: true, enters: true},
		"a writer":                                   {access: Writable, enters: true},
		"a writer, and this node leads no more":      {access: ReadOnly},
		"one that waits for a leader":                {access: ReadOnly, waits: true, enters: true, seeks: true},
		"one that waits, and this node leads by now": {access: Writable, waits: true},
		"one that waits, and another node leads":     {access: ReadOnly, waits: true, leader: "b"},
		"one that waits, and another led meanwhile":  {access: ReadOnly, waits: true, another: true},
		"one that was refused, where another node leads": {
			access: ReadOnly, reads: true, falls: true, leader: "b", enters: true, seeks: true,
		},
		"one that was refused, and this node leads by now": {access: Writable, reads: true, falls: true},
		"one that was refused, and the leader is another one": {
			access: ReadOnly, reads: true, falls: true, leader: "c", another: true,
		},
	} {
		here, there := net.Pipe()
		peer := listener()
		peer.srv, peer.conn, peer.turned = &Server{log: hclog.NewNullLogger()}, here, c.falls
		s := unfollowed(t, nil)
		s.opt.FallbackFor, s.seek = time.Hour, newSeeker(new(elsewhere).ask, func() {})
		s.allowed.Store(int32(c.access))
		if s.seek.leader = c.leader; c.another {
			s.seek.changes++
		}
		entered := s.enter(peer, &wire.Message{}, c.reads, c.waits)
		if entered != c.enters || peer.seeks != c.seeks || (s.seek.wanted == 1) != c.seeks ||
			len(s.clients) > 0 != c.enters {
			t.Errorf("%s: it enters %v, seeks %v for %d", name, entered, peer.seeks, s.seek.wanted)
		}
		if entered {
			s.leave(peer)
		}
		if s.users.Wait(); s.seek.wanted != 0 || len(s.clients) > 0 {
			t.Errorf("%s: it has left, and %d are looked for", name, s.seek.wanted)
		}
		s.closed = true
		if s.enter(peer, &wire.Message{}, c.reads, c.waits) {
			t.Errorf("%s: it enters a storage that is withdrawn", name)
		}
		_, _ = here.Close(), there.Close()
	}
}
