package node

import (
	"strings"
	"testing"

	"github.com/zrsd/zrsd/admin"
	"github.com/zrsd/zrsd/protocol"
)

// Who leads is asked of nodes that are alive now. What a secondary has heard of its primary says nothing: a client that
// has lost the primary may come before replication has noticed.
func TestWhoLeadsIsAskedOfThoseWhoAreThere(t *testing.T) {
	a, b, c := three(t)
	if got := b.elsewhere(t.Context()); !strings.Contains(got, a.keep.State().Node) {
		t.Errorf("%q leads, and not a", got)
	}
	if got := a.elsewhere(t.Context()); got != "" {
		t.Errorf("the primary says that %q leads elsewhere", got)
	}
	a.end(t)
	if got := b.elsewhere(t.Context()); got != "" {
		t.Errorf("%q leads, which is gone", got)
	}
	if _, err := c.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	if got := b.elsewhere(t.Context()); !strings.Contains(got, c.keep.State().Node) {
		t.Errorf("%q leads, and not c", got)
	}
}

// Clients are disconnected before a node has ended, and look for another primary at once.
func TestANodeThatIsStoppingDoesNotLead(t *testing.T) {
	a, b, _ := three(t)
	a.c.leaving.Store(true)
	if got := b.elsewhere(t.Context()); got != "" {
		t.Errorf("%q leads, which is stopping", got)
	}
}

// A former primary that does not know yet that it is one is nobody to write on.
func TestNobodyLeadsInALowerEpochThanWasHeardOf(t *testing.T) {
	_, b, _ := three(t)
	b.seen.Store(b.epoch() + 1)
	if got := b.elsewhere(t.Context()); got != "" {
		t.Errorf("%q leads, and a higher epoch was heard of", got)
	}
}

// A secondary that finds no primary is told by the new one where that is: other addresses may be silent, and each would
// be waited for.
func TestASecondaryWithoutAPrimaryLooksFirstWhereOneSaysThatItLeads(t *testing.T) {
	a, b, _ := couple(t)
	id := a.keep.State()
	bid := protocol.Bid{StorageID: id.StorageID, Heard: id.Latest(), Node: id.Node, Leads: true, Serves: "/nobody"}
	if _, refusal := b.Bid(t.Context(), &bid); refusal != nil {
		t.Fatal(refusal)
	}
	b.follows(t, a) // which it has already, so that it does not look elsewhere
	a.end(t)
	b.await(t, "it has none", func(*admin.Status) bool { return !b.sec.Status().Connected })
	bid.Serves = "/elsewhere"
	if _, refusal := b.Bid(t.Context(), &bid); refusal != nil {
		t.Fatal(refusal)
	}
	b.await(t, "it looks there", func(*admin.Status) bool { return b.sec.Status().Address == bid.Serves })
	if follow := b.keep.State().Follow; len(follow) == 0 || follow[0] != bid.Serves {
		t.Errorf("it remembers %v", follow)
	}
}
