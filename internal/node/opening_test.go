package node

import (
	"errors"
	"io"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/identity"
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
		t.Fatalf("epoch %d begins behind %v with nothing: %v", now.Number, now.Begin, err)
	}
	meta := txn.Meta()
	if want := string(openingText(now.Number, now.By)); string(meta.Description) != want || len(meta.User) > 0 {
		t.Errorf("epoch %d begins with %q of user %q", now.Number, meta.Description, meta.User)
	}
	if _, err := txn.NextRecord(); !errors.Is(err, io.EOF) {
		t.Errorf("the first transaction of epoch %d is not empty: %v", now.Number, err)
	}
	return meta.Tid
}

// A ZEO client cannot use a server that is behind its cache, and a tid that was given twice would make it take the one
// transaction for the other. So the first transaction of an epoch is above all that the former primary may have told
// of.
func TestAnEpochBeginsAboveAllThatMayHaveBeenLost(t *testing.T) {
	a, b, c := three(t)
	b.stopFollowing()
	c.stopFollowing()
	lost := a.commits(t)
	a.end(t)
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

// The tid that the primary told last counts where clocks do not: here it is in the future.
func TestAnEpochBeginsAboveWhatThePrimaryToldLast(t *testing.T) {
	a, b := waiting(t, func(*SyncConfig) {})
	ahead := a.st.LastTid() + 40*tidGap
	b.stopFollowing()
	txn, err := a.st.Begin(t.Context(), &zodb.TxnMeta{Tid: ahead})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := txn.Finish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	b.follow()
	b.has(t, ahead)
	handOver(t, a, b)
	if first := b.opened(t); first <= ahead {
		t.Errorf("the epoch begins with %v, the last transaction was %v", first, ahead)
	}
}

func TestTheFirstEpochHasNoTransactionOfItsOwn(t *testing.T) {
	disk := diskWith(t, 1)
	before := dataOf(t, disk)
	s := newSite(t, disk).seated(t, identity.RolePrimary)
	s.await(t, "the primary is ready", ready)
	s.end(t)
	if dataOf(t, disk) != before {
		t.Error("a primary has written into its file at its first start")
	}
}
