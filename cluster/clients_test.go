package cluster_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zeo"
)

// Who leads is asked of nodes that are alive now. What a secondary has heard of its primary says nothing: a client that
// has lost the primary may come before replication has noticed.
func TestWhoLeadsIsAskedOfThoseWhoAreThere(t *testing.T) {
	a, b, c := three(t)
	if got := b.Elsewhere(t.Context()); !strings.Contains(got.Name, a.keep.State().Node) {
		t.Errorf("%q leads, and not a", got)
	}
	if got := a.Elsewhere(t.Context()); got.Name != "" {
		t.Errorf("the primary says that %q leads elsewhere", got)
	}
	a.End(t)
	if got := b.Elsewhere(t.Context()); got.Name != "" {
		t.Errorf("%q leads, which is gone", got)
	}
	if _, err := c.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	if got := b.Elsewhere(t.Context()); !strings.Contains(got.Name, c.keep.State().Node) {
		t.Errorf("%q leads, and not c", got)
	}
}

// Clients that have lost a primary which is back at once are to find it, and who did not ask meanwhile has to know that
// they may have.
func TestAPrimaryThatWasAwayIsAnotherLeader(t *testing.T) {
	a, b, _ := three(t)
	first := b.Elsewhere(t.Context())
	if again := b.Elsewhere(t.Context()); again.Name != first.Name || again.For < first.For {
		t.Errorf("%v is %v later", first, again)
	}
	a.NoteAccess(zeo.ReadOnly)
	a.NoteAccess(zeo.Writable)
	if again := b.Elsewhere(t.Context()); again.Name == first.Name || again.For >= time.Hour {
		t.Errorf("after a time without transactions %v is still %v", first, again)
	}
}

// A former primary that does not know yet that it is one is nobody to write on.
func TestNobodyLeadsInALowerEpochThanWasHeardOf(t *testing.T) {
	_, b, _ := three(t)
	b.SetSeen(b.epoch() + 1)
	if got := b.Elsewhere(t.Context()); got.Name != "" {
		t.Errorf("%q leads, and a higher epoch was heard of", got)
	}
}

// A secondary that finds no primary is told by the new one where that is: other addresses may be silent, and each would
// be waited for.
func TestASecondaryWithoutAPrimaryLooksFirstWhereOneSaysThatItLeads(t *testing.T) {
	a, b, _ := couple(t)
	id := a.keep.State()
	req := protocol.VoteRequest{StorageID: id.StorageID, MaxEpochBegun: id.Latest(), Node: id.Node, IsPrimary: true,
		ReplicationAddr: "/nobody"}
	if _, refusal := b.Vote(t.Context(), &req); refusal != nil {
		t.Fatal(refusal)
	}
	b.follows(t, a) // which it has already, so that it does not look elsewhere
	a.End(t)
	b.Await(t, "it has none", func(*admin.Status) bool { return !b.sec.Status().Connected })
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "new"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	req.ReplicationAddr = ln.Addr().String()
	if _, refusal := b.Vote(t.Context(), &req); refusal != nil {
		t.Fatal(refusal)
	}
	conn, err := ln.Accept() // it looks there
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close() // it is told nothing
	if follow := b.keep.State().Follow; len(follow) == 0 || follow[0] != req.ReplicationAddr {
		t.Errorf("it remembers %v", follow)
	}
}
