package cluster_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
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
	req := protocol.StatusRequest{
		StorageID: id.StorageID, MaxEpochBegun: id.Latest(), Node: id.Node, IsPrimary: true, ReplicationAddr: "/nobody",
	}
	if _, refusal := b.Status(&req); refusal != nil {
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
	if _, refusal := b.Status(&req); refusal != nil {
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

// A former primary that went on for a moment beside the new one has told clients of transactions that are later than
// all that the new one has. Those clients use no server that is behind them.
func TestANewPrimaryGoesOnAfterWhatAFormerOneHasCommittedBesideIt(t *testing.T) {
	a, b, c := three(t)
	a.End(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	c.follows(t, b)
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: a.disk})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.SkipTids(t.Context(), 60*cluster.TidGap); err != nil { // it goes on for a minute
		t.Fatal(err)
	}
	txn, err := st.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	seen, err := txn.Finish(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	a.start(t, state.RolePrimary, b.site, c.site)
	b.Await(t, "it has gone on after that", func(*admin.Status) bool { return b.st.LastTid() > seen })
	c.has(t, b.st.LastTid())
	it, err := b.st.Iterate(b.st.LastTid()-1, false)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	written, err := it.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if text := string(written.Meta().Description); !strings.HasSuffix(text, "goes on after what others have seen") {
		t.Errorf("it wrote %q", text)
	}
}

// Who has seen such a transaction may have ended since: a client that leaves without a word is then all that is known.
func TestAPrimaryGoesOnWhenAClientHasLeftAsOneThatIsAhead(t *testing.T) {
	a, b, _ := three(t)
	before := a.st.LastTid()
	a.Surpass(t.Context(), 0, true)
	if a.st.LastTid() != before {
		t.Error("a primary wrote a transaction that nobody has ever taken the place of")
	}
	a.End(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	first := b.st.LastTid()
	b.ClientLeft()
	b.Await(t, "it has written one", func(*admin.Status) bool { return b.st.LastTid() > first })
	second := b.st.LastTid()
	b.Surpass(t.Context(), 0, true)
	if b.st.LastTid() != second {
		t.Error("it wrote another one at once, although nobody had committed")
	}
}

// A tid of the far future is not taken over from another node.
func TestNoTidOfTheFarFutureIsSurpassed(t *testing.T) {
	a, b, _ := three(t)
	a.End(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	b.HeardFrom(&protocol.NodeStatus{LastTid: b.Believed() + 60*cluster.TidGap})
	if later := b.LaterSeen(); later != 0 {
		t.Errorf("it goes on after %v", later)
	}
	b.HeardFrom(&protocol.NodeStatus{LastTid: b.st.LastTid() + 1})
	if later := b.LaterSeen(); later != b.st.LastTid()+1 {
		t.Errorf("it goes on after %v", later)
	}
}

// A primary of which a secondary has more is an older copy, as after a disk was rolled back: it does not bring clients
// to go on there, and does not get ahead of the secondary, which can be promoted.
func TestAnOlderCopyDoesNotGetAheadOfItsSecondary(t *testing.T) {
	a, b, _ := three(t)
	if _, err := a.Switchover(t.Context(), admin.SwitchoverRequest{To: b.keep.State().Node}, silent); err != nil {
		t.Fatal(err)
	}
	last := b.st.LastTid()
	own := &protocol.NodeStatus{LastTid: last + 1, Epochs: b.keep.State().Epochs}
	b.HeardFrom(own)
	b.Surpass(t.Context(), b.LaterSeen(), true)
	if b.st.LastTid() != last {
		t.Error("it has")
	}
}
