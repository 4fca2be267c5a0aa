package cluster_test

import (
	"strings"
	"testing"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

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
	a.seated(t, state.RolePrimary, b.site, c.site)
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
