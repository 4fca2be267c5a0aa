package rewind

import (
	"context"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// An oracle is a Primary that shares the history of a storage up to a transaction.
type oracle struct {
	status protocol.NodeStatus
	common zodb.Tid
	asked  int
}

func (o *oracle) Status(context.Context) (*protocol.NodeStatus, error) { return &o.status, nil }

func (o *oracle) Has(_ context.Context, at protocol.Position) (bool, error) {
	o.asked++
	return at.Tid <= o.common, nil
}

// history makes a storage of transactions with these tids.
func history(t interface{ Fatal(...any) }, tids []zodb.Tid) *filestorage.Storage {
	st, err := filestorage.Open(context.Background(), "Data.fs", filestorage.Options{FS: simdisk.New()})
	if err != nil {
		t.Fatal(err)
	}
	for _, tid := range tids {
		txn, err := st.Begin(context.Background(), &zodb.TxnMeta{Tid: tid})
		if err == nil {
			_, err = txn.Finish(context.Background(), nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return st
}

const storageID = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"

func TestTheLastCommonTransactionIsFoundInFewQuestions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tids []zodb.Tid
		tid := zodb.Tid(0x03f8658000000000)
		for range rapid.IntRange(1, 60).Draw(t, "transactions") {
			tid += zodb.Tid(rapid.Uint64Range(1, 1<<40).Draw(t, "gap"))
			tids = append(tids, tid)
		}
		shared := rapid.IntRange(1, len(tids)).Draw(t, "shared")
		st := history(t, tids)
		defer st.Close()
		o := &oracle{common: tids[shared-1], status: protocol.NodeStatus{
			StorageID: storageID, IsPrimary: true, Epochs: []protocol.Epoch{{Number: 1}}, LastTid: tid + 1,
		}}
		told := rapid.Bool().Draw(t, "epochs tell")
		if told {
			o.status.Epochs = append(o.status.Epochs, protocol.Epoch{Number: 2, Begin: o.common})
		}
		id := &state.State{StorageID: storageID, Epochs: []protocol.Epoch{{Number: 1}}}
		plan, err := Common(context.Background(), st, id, o)
		if err != nil {
			t.Fatal(err)
		}
		if plan.Last != o.common {
			t.Fatalf("found %v, want %v", plan.Last, o.common)
		}
		if shared < len(tids) && (plan.First != tids[shared] || plan.Until != tid) {
			t.Fatalf("%v to %v go, want %v to %v", plan.First, plan.Until, tids[shared], tid)
		}
		if limit := 65; o.asked > limit || told && o.asked != 1 {
			t.Fatalf("%d questions", o.asked)
		}
	})
}

// What lies after the begin of an epoch that one side does not know goes, although the primary believes of it that
// a pack took it away, or has something under the same tid.
func TestTransactionsOfAnotherEpochAreNotKept(t *testing.T) {
	two := func(begin zodb.Tid, node string) []protocol.Epoch {
		return []protocol.Epoch{{Number: 2, Begin: begin, Node: node}}
	}
	st := history(t, []zodb.Tid{10, 20, 30, 40})
	defer st.Close()
	for name, tt := range map[string]struct {
		ours, theirs []protocol.Epoch
		last, first  zodb.Tid
	}{
		"an epoch that we do not know":      {nil, []protocol.Epoch{{Number: 2, Begin: 20}}, 20, 30},
		"an epoch that they do not know":    {two(10, ""), []protocol.Epoch{{Number: 3, Begin: 30}}, 10, 20},
		"one number, two nodes":             {two(30, "b"), two(30, "c"), 30, 40},
		"nothing is of another epoch":       {nil, []protocol.Epoch{{Number: 2, Begin: 40}}, 40, 0},
		"one epoch, of which one knows who": {two(10, ""), two(10, "b"), 40, 0},
	} {
		first := []protocol.Epoch{{Number: 1}}
		id := &state.State{StorageID: storageID, Epochs: append(first[:1:1], tt.ours...)}
		o := &oracle{common: 40, status: protocol.NodeStatus{
			StorageID: storageID, IsPrimary: true, LastTid: 50, Epochs: append(first[:1:1], tt.theirs...),
		}}
		plan, err := Common(t.Context(), st, id, o)
		if err != nil || plan.Last != tt.last || plan.First != tt.first {
			t.Errorf("%s: %+v, %v", name, plan, err)
		}
	}
}

func TestWhatMustNotBeRewoundIsRefused(t *testing.T) {
	st := history(t, []zodb.Tid{10, 20})
	defer st.Close()
	id := &state.State{StorageID: storageID, Epochs: []protocol.Epoch{{Number: 1}, {Number: 3, Begin: 10}}}
	good := protocol.NodeStatus{
		StorageID: storageID, Name: "db2", IsPrimary: true, LastTid: 30,
		Epochs: []protocol.Epoch{{Number: 1}, {Number: 4, Begin: 10}},
	}
	for want, change := range map[string]func(*protocol.NodeStatus){
		"has the storage":             func(p *protocol.NodeStatus) { p.StorageID = "another" },
		"db2 is not primary":          func(p *protocol.NodeStatus) { p.IsPrimary = false },
		"of epoch 3, db2 only of epo": func(p *protocol.NodeStatus) { p.Epochs = p.Epochs[:1] },
		"histories differ from the":   func(p *protocol.NodeStatus) { p.Name = "db9" },
	} {
		o := &oracle{status: good}
		change(&o.status)
		_, err := Common(t.Context(), st, id, o)
		var refusal *Refusal
		if !errors.As(err, &refusal) || !strings.Contains(refusal.text, want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	o := &oracle{status: good, common: 20}
	o.status.Epochs[1].Begin, id.Epochs[1].Begin = 20, 20
	if plan, err := Common(t.Context(), st, id, o); err != nil || plan.First != 0 || plan.Last != 20 {
		t.Errorf("with nothing to take out: %+v, %v", plan, err)
	}
}
