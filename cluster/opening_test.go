package cluster_test

import (
	"errors"
	"io"
	"testing"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/zodb"
)

// opened expects that the first transaction of the node's epoch is that with which an epoch begins, and returns its
// tid.
func (s *seat) opened(t *testing.T) zodb.Tid {
	t.Helper()
	now := s.keep.State().Epoch()
	it, err := s.st.Iterate(now.Begin, false)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	txn, err := it.Next(t.Context())
	if err != nil {
		t.Fatalf("epoch %d begins after %v with nothing: %v", now.Number, now.Begin, err)
	}
	meta := txn.Meta()
	if want := string(cluster.OpeningText(now.Number, now.By)); string(meta.Description) != want || len(meta.User) > 0 {
		t.Errorf("epoch %d begins with %q of user %q", now.Number, meta.Description, meta.User)
	}
	if _, err := txn.NextRecord(); !errors.Is(err, io.EOF) {
		t.Errorf("the first transaction of epoch %d is not empty: %v", now.Number, err)
	}
	return meta.Tid
}

// commitsAt makes an empty transaction with a given tid.
func (s *seat) commitsAt(t *testing.T, tid zodb.Tid) zodb.Tid {
	t.Helper()
	txn, err := s.st.Begin(t.Context(), &zodb.TxnMeta{Tid: tid})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := txn.Finish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return tid
}

// A ZEO client cannot use a server that is behind its cache, and a tid that was given twice would make it take the one
// transaction for the other. So the first transaction of an epoch is above all that the former primary may have told
// of.
func TestAnEpochBeginsAboveAllThatMayHaveBeenLost(t *testing.T) {
	a, b, c := three(t)
	b.StopFollowing()
	c.StopFollowing()
	lost := a.commits(t)
	a.End(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
		t.Fatal(err)
	}
	first := b.opened(t)
	if begin := b.keep.State().Epoch().Begin; begin >= lost || first <= lost {
		t.Errorf("epoch 2 begins behind %v with %v, and %v was lost", begin, first, lost)
	}
	c.has(t, first) // its promise has let it follow again
	if next := b.commits(t); next <= first {
		t.Errorf("committed %v behind %v", next, first)
	}
}

// The tid that the primary told last counts where clocks do not: here it is in the future. The node that begins the
// epoch has heard of it and does not have it.
func TestAnEpochBeginsAboveWhatThePrimaryToldLast(t *testing.T) {
	a, b, _ := three(t)
	release, err := b.st.Hold(t.Context()) // it hears of everything, and takes nothing
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ahead := a.commitsAt(t, a.st.LastTid()+1000*cluster.TidGap)
	b.Await(t, "it has heard of it", func(*admin.Status) bool { return b.sec.Status().PrimaryLast == ahead })
	b.StopFollowing()
	release()
	a.End(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
		t.Fatal(err)
	}
	if first := b.opened(t); first <= ahead {
		t.Errorf("the epoch begins with %v, and the former primary had told of %v", first, ahead)
	}
}

// What the primary committed last may have been told to clients only. Where the last tid is in the future, the next one
// is just above it on every node: the epoch leaves those out.
func TestAnEpochBeginsAboveWhatOnlyClientsWereToldOf(t *testing.T) {
	a, b, c := three(t)
	ahead := a.commitsAt(t, a.st.LastTid()+1000*cluster.TidGap)
	b.has(t, ahead)
	b.StopFollowing()
	c.StopFollowing()
	lost := a.commits(t)
	a.End(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
		t.Fatal(err)
	}
	if first := b.opened(t); first <= lost {
		t.Errorf("the epoch begins with %v behind %v, and %v was lost", first, ahead, lost)
	}
}

// Clients of the former primary have oids that it gave to them in advance. Nobody else knows which.
func TestAnEpochGivesNoOidsThatTheFormerPrimaryGave(t *testing.T) {
	a, b, _ := three(t)
	var given zodb.Oid
	for range 1000 {
		given = a.st.NewOid()
	}
	handOver(t, a, b)
	if next := b.st.NewOid(); next <= given {
		t.Errorf("it gives %v, and the former primary gave all up to %v", next, given)
	}
}

func TestTheFirstEpochHasNoTransactionOfItsOwn(t *testing.T) {
	disk := nodetest.DiskWith(t, 1)
	before := string(nodetest.Content(t, disk, "Data.fs"))
	s := newSite(t, disk).seated(t, state.RolePrimary)
	s.Await(t, "the primary is ready", nodetest.Ready)
	s.End(t)
	if string(nodetest.Content(t, disk, "Data.fs")) != before {
		t.Error("a primary has written into its file at its first start")
	}
}
