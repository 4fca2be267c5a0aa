package integration

import "testing"

// handshakeLen is what a secondary sends first: two messages, its protocol and its last tid.
const handshakeLen = 4 + len("zrs2.1") + 4 + 8

func TestAnIdleZRSConnectionLivesOnAndKeepAlivesAreNothingButThat(t *testing.T) {
	t.Parallel()
	for _, from := range []*software{zcZRS, zrsdBy("zrs2")} {
		t.Run(from.name, func(t *testing.T) {
			t.Parallel()
			source, target := newSite(t, true), newSite(t, true)
			addr := freeAddress(t)
			first := from.primary(t, source, addr)
			network := newTamperer(t, addr)
			network.strike(wound{direction: towardsPrimary, offset: int64(handshakeLen) + 7, harm: notice})
			second := startZcZRS(t, target, "--from", network.addr, "--keep-alive", "1")
			second.reach(t, first.do(t, "create 3"))
			network.awaitWound(t) // two keep-alives have passed
			second.reach(t, first.do(t, "commit 3"))
			if n := network.connections(); n != 1 {
				t.Errorf("the secondary needed %d connections, want 1", n)
			}
			second.stop(t)
			first.stop(t)
			mustBeReplicated(t, source, target, zcZRS)
		})
	}
}

func TestAZcZRSSecondaryWhoseKeepAlivesStopIsGivenUp(t *testing.T) {
	t.Parallel()
	source, target := newSite(t, true), newSite(t, true)
	owner := startOwner(t, source)
	addr := freeAddress(t)
	first := start(t, "primary", source, "--attach", "--replicate-to", addr, impatient, "--idle-timeout=2s")
	network := newTamperer(t, addr)
	network.strike(wound{direction: towardsPrimary, offset: int64(handshakeLen) + 4, harm: lose})
	second := startZcZRS(t, target, "--from", network.addr, "--keep-alive", "1")
	second.reach(t, owner.do(t, "create 3"))
	network.awaitWound(t) // from here on the primary hears nothing
	network.strike(wound{})
	if err := first.Log().Await(within(t), "lost the connection to a secondary"); err != nil {
		t.Fatal(err)
	}
	second.reach(t, owner.do(t, "commit 3"))
	if n := network.connections(); n != 2 {
		t.Errorf("the secondary needed %d connections, want 2", n)
	}
	second.stop(t)
	stop(t, first)
	owner.close(t)
	mustBeReplicated(t, source, target, zcZRS)
}
