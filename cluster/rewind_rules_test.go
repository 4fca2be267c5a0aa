package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// adds makes a transaction, without records or with one of these data, and returns it.
func (n *Node) adds(t *testing.T, data ...string) zodb.Tid {
	t.Helper()
	txn, err := n.st.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range data {
		if err := txn.Store(zodb.Oid(100+i), 0, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := txn.Finish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return n.st.LastTid()
}

// primaryWith adds a primary of epoch 2 at z:1, which has what n has up to a transaction.
func (f *fakeNetwork) primaryWith(n *Node, common zodb.Tid) {
	status := n.says("b", 0, leads).status
	status.StorageID = n.keep.State().StorageID
	status.Epochs = append(slices.Clone(status.Epochs), protocol.Epoch{Number: 2, Begin: common, Node: nodeB})
	f.answers("z:1", func(request any) any {
		if hello, is := request.(*protocol.Hello); is && hello.Last.Tid > common {
			return &protocol.Refusal{Code: protocol.CodeDiverged}
		}
		return status
	})
}

// replaced is a former primary: a primary at z:1 has the first two of its transactions, and the rest it has alone, a
// transaction without records. It notes in dialed whom it asks.
func replaced(t *testing.T) (n *Node, common zodb.Tid, network *fakeNetwork, dialed *[]string) {
	t.Helper()
	network, dialed = newNetwork(t), new([]string)
	n, _, _ = standing(t, func(opt *Options) { opt.Dial, opt.ReplicateFrom = network.noting(dialed), nil })
	common = n.st.LastTid()
	n.adds(t)
	network.primaryWith(n, common)
	return n, common, network, dialed
}

const blobRecord = "\x80\x03cZODB.blob\nBlob\nq\x00.N."

// What a primary lacks is set aside without a person where it is certain that nothing is lost, and everything that is
// to be taken out is known. Where it cannot be, nobody is asked.
func TestWhatIsSetAsideWithoutAPerson(t *testing.T) {
	records := func(n *Node, data string) {
		n.adds(t, data)
		update(n, func(id *state.State) { id.Waits = &state.Waits{Epoch: 1, Required: 1} })
	}
	layout := func(n *Node) {
		if _, err := blobstore.Open("blobs", blobstore.Options{FS: n.opt.FS}); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		prepare func(n *Node, network *fakeNetwork)
		stays   string // why; empty: they do not
		silent  bool   // nobody is asked
	}{
		"transactions without records": {prepare: func(*Node, *fakeNetwork) {}},
		"records that nobody was told of": {
			prepare: func(n *Node, _ *fakeNetwork) { records(n, "data") },
		},
		"records that somebody may have been told of": {
			prepare: func(n *Node, _ *fakeNetwork) { n.adds(t, "data") }, stays: "did not wait", silent: true,
		},
		"a blob, and the directory is not known": {
			prepare: func(n *Node, _ *fakeNetwork) { records(n, blobRecord) }, stays: "has a blob of oid",
		},
		"a directory of blobs that was not named": {
			prepare: func(n *Node, _ *fakeNetwork) { layout(n) }, stays: "not in a blob directory", silent: true,
		},
		"one that was named": {
			prepare: func(n *Node, _ *fakeNetwork) {
				layout(n)
				n.opt.Blobs = "blobs"
			},
		},
		"a directory of the primary's": {
			prepare: func(n *Node, _ *fakeNetwork) { n.opt.SharedBlobs = true }, stays: "not in a blob", silent: true,
		},
		"those of a copy": {
			prepare: func(n *Node, _ *fakeNetwork) { update(n, func(id *state.State) { id.Was = nodeC }) },
			stays:   "no state of its own", silent: true,
		},
		"those of a node without a state": {
			prepare: func(n *Node, _ *fakeNetwork) { n.keep = unwritten() }, stays: "no state of its own", silent: true,
		},
		"none at all": {
			prepare: func(n *Node, _ *fakeNetwork) { n.st = emptyStorage(t) },
			stays:   "no state of its own", silent: true,
		},
		"none that the primary lacks": {
			prepare: func(n *Node, network *fakeNetwork) { network.primaryWith(n, n.st.LastTid()) },
			stays:   "the primary has all",
		},
		"most of the file": {
			prepare: func(n *Node, _ *fakeNetwork) {
				for range 20 {
					n.adds(t)
				}
			}, stays: "more than half of the file",
		},
	} {
		n, common, network, dialed := replaced(t)
		update(n, func(id *state.State) { id.Follow = []string{"y:1"} })
		c.prepare(n, network)
		plan, err := n.planRewind(t.Context(), "z:1")
		var stay *stayError
		switch {
		case c.stays != "":
			if !errors.As(err, &stay) || !strings.Contains(stay.why, c.stays) || stay.last != n.st.LastTid() {
				t.Errorf("%s: %v, want %q", name, err, c.stays)
			}
		case err != nil || plan.Last != common || plan.Until != n.st.LastTid() || plan.Why == "" ||
			!slices.Equal(plan.Follow, []string{"z:1", "y:1"}):
			t.Errorf("%s: %+v, %v", name, plan, err)
		}
		if (len(*dialed) == 0) != c.silent {
			t.Errorf("%s: it asked %q", name, *dialed)
		}
	}
}

func emptyStorage(t *testing.T) *filestorage.Storage {
	t.Helper()
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: simdisk.New()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// A session ends for a rewind. Why nothing is set aside is logged once, until there is another reason; that the primary
// could not be asked, each time, but not that the node ends.
func TestWhatIsLoggedOfADivergence(t *testing.T) {
	var out bytes.Buffer
	n, _, network, _ := replaced(t)
	n.opt.Logger = hclog.New(&hclog.LoggerOptions{Output: &out})
	said := func(ctx context.Context) string {
		defer out.Reset()
		if err := n.Diverged(ctx, "z:1"); err != nil {
			return err.Error() + out.String()
		}
		return out.String()
	}
	if got := said(t.Context()); !strings.Contains(got, "are set aside: "+whyEmpty) ||
		!strings.Contains(got, "closing the storage") {
		t.Errorf("it says %q", got)
	}
	n.adds(t, "data")
	for _, step := range []struct {
		prepare func()
		want    string
	}{
		{func() {}, "an operator decides"}, {func() {}, ""},
		{func() { n.opt.SharedBlobs = true }, "not in a blob directory"}, {func() {}, ""},
		{func() {
			n.opt.SharedBlobs = false
			update(n, func(id *state.State) { id.Waits = &state.Waits{Epoch: 1, Required: 1} })
			network.answers("z:1", nil)
		}, "cannot tell whether"}, {func() {}, "cannot tell whether"},
	} {
		step.prepare()
		if got := said(t.Context()); (got == "") != (step.want == "") || !strings.Contains(got, step.want) {
			t.Errorf("it says %q, want %q", got, step.want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got := said(ended); got != "" {
		t.Errorf("a node that ends says %q", got)
	}
}

// Where many members are known, those that they follow are not asked as well: there is an end to questions.
func TestNotTooManyAreAskedWhereThePrimaryIs(t *testing.T) {
	network, dialed := newNetwork(t), new([]string)
	n, _, _ := standing(t, func(opt *Options) { opt.Dial, opt.ReplicateFrom = network.noting(dialed), nil })
	update(n, func(id *state.State) {
		for i := range state.MaxMembers {
			addr := fmt.Sprintf("m%02d:1", i)
			id.Follow = append(id.Follow, addr)
			status := *n.says("b", 0, func(p *protocol.NodeStatus) { p.UpstreamAddr = "u" + addr }).status
			status.StorageID = id.StorageID
			network.answers(addr, func(any) any { return &status })
		}
	})
	if n.LeaderFor(t.Context(), "m00:1"); len(*dialed) != state.MaxMembers {
		t.Errorf("it asked %q", *dialed)
	}
}

// The primary is looked for from the node that has refused this one: at the members that are known, and at those that
// they follow. Each is asked once, and there is an end to it.
func TestWhereThePrimaryIsLookedForAfterARefusal(t *testing.T) {
	follows := func(upstream string) func(*protocol.NodeStatus) {
		return func(p *protocol.NodeStatus) { p.UpstreamAddr = upstream }
	}
	chain := make(map[string]func(*protocol.NodeStatus))
	for i := range 2 * protocol.MaxUpstreamPath {
		chain[fmt.Sprintf("s%02d:1", i)] = follows(fmt.Sprintf("s%02d:1", i+1))
	}
	long := strings.Repeat("x", maxAddress-2) + ":1"
	for name, c := range map[string]struct {
		refused string
		nodes   map[string]func(*protocol.NodeStatus)
		seen    uint64 // another node has led this epoch
		want    string
		asked   []string // nil: not looked at
	}{
		"nobody answers": {refused: "z:1", want: "z:1", asked: []string{"b:1", "z:1"}},
		"it leads":       {refused: "z:1", nodes: map[string]func(*protocol.NodeStatus){"z:1": leads}, want: "z:1"},
		"another member leads": {
			refused: "z:1", nodes: map[string]func(*protocol.NodeStatus){"z:1": follows(""), "b:1": leads}, want: "b:1",
			asked: []string{"b:1", "z:1"},
		},
		"one that the member follows leads": {refused: "b:1", nodes: map[string]func(*protocol.NodeStatus){
			"b:1": follows("y:1"), "y:1": follows("x:1"), "x:1": leads,
		}, want: "x:1", asked: []string{"b:1", "x:1", "y:1"}},
		"they follow each other, and this node": {refused: "z:1", nodes: map[string]func(*protocol.NodeStatus){
			"b:1": follows("z:1"), "z:1": follows("own:1"),
		}, want: "z:1", asked: []string{"b:1", "z:1"}},
		"they follow nobody": {refused: "z:1", nodes: map[string]func(*protocol.NodeStatus){
			"b:1": follows(""), "z:1": follows(""),
		}, want: "z:1", asked: []string{"b:1", "z:1"}},
		"two follow the same": {refused: "z:1", nodes: map[string]func(*protocol.NodeStatus){
			"b:1": follows("y:1"), "z:1": follows("y:1"),
		}, want: "z:1", asked: []string{"b:1", "y:1", "z:1"}},
		"one has led a later epoch": {
			refused: "z:1", nodes: map[string]func(*protocol.NodeStatus){"b:1": leads}, seen: 9, want: "z:1",
		},
		"a primary without epochs": {
			refused: "z:1", nodes: map[string]func(*protocol.NodeStatus){"b:1": func(p *protocol.NodeStatus) {
				p.IsPrimary, p.Epochs = true, nil
			}}, want: "z:1",
		},
		"the address is as long as it may be": {refused: "b:1", nodes: map[string]func(*protocol.NodeStatus){
			"b:1": follows(long), long: leads,
		}, want: long},
		"it is longer": {refused: "b:1", nodes: map[string]func(*protocol.NodeStatus){
			"b:1": follows("x" + long), "x" + long: leads,
		}, want: "b:1"},
		"the way has no end": {refused: "s00:1", nodes: chain, want: "s00:1"},
	} {
		network, dialed := newNetwork(t), new([]string)
		n, _, _ := standing(t, func(opt *Options) { opt.Dial = network.noting(dialed) })
		for addr, change := range c.nodes {
			status := *n.says("b", 0, change).status
			status.StorageID = n.keep.State().StorageID
			network.answers(addr, func(any) any { return &status })
		}
		n.highestLeader.Store(c.seen)
		if got := n.LeaderFor(t.Context(), c.refused); got != c.want {
			t.Errorf("%s: it is found at %q, want %q", name, got, c.want)
		}
		slices.Sort(*dialed)
		if c.asked != nil && !slices.Equal(*dialed, c.asked) || len(*dialed) > 2*protocol.MaxUpstreamPath {
			t.Errorf("%s: it asked %q", name, *dialed)
		}
	}
}
