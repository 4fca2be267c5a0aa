package cluster

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A fakePast has the transactions that are in it. One that is not has this one after it.
type fakePast struct {
	last   zodb.Tid
	has    map[zodb.Tid]filestorage.Found
	absent filestorage.Neighbour
	err    error
}

func (p *fakePast) LastTid() zodb.Tid { return p.last }

func (p *fakePast) Find(_ context.Context, tid zodb.Tid) (filestorage.Found, error) {
	found, has := p.has[tid]
	switch {
	case p.err != nil:
		return found, p.err
	case !has:
		return filestorage.Found{After: p.absent}, zodb.ErrNoTid
	}
	return found, nil
}

// A file belongs to its state file where it has the newest transaction that this knows of, as that was, or a pack may
// have taken it away. Otherwise what it has up to an older one is as it was.
func TestWhichFileBelongsToItsStateFile(t *testing.T) {
	first, other := zodb.Digest{1}, zodb.Digest{9}
	was := func(d zodb.Digest) filestorage.Found {
		return filestorage.Found{Status: zodb.StatusCommitted, Digest: d}
	}
	packed := filestorage.Found{Status: zodb.StatusPacked, Digest: other}
	gone := filestorage.Neighbour{Tid: 30, Status: zodb.StatusPacked}
	kept := filestorage.Neighbour{Tid: 30, Status: zodb.StatusCommitted}
	type files = map[zodb.Tid]filestorage.Found
	for name, c := range map[string]struct {
		last     zodb.Tid
		has      files
		absent   filestorage.Neighbour
		fails    error
		external bool
		upTo     zodb.Tid
		same     bool
	}{
		"it has all":                      {last: 25, has: files{20: was(first)}, upTo: 25, same: true},
		"it has less":                     {last: 10, has: files{10: was(first)}, upTo: 10},
		"it has none of it":               {last: 25},
		"it has another one":              {last: 25, has: files{10: was(first), 20: was(other)}, upTo: 10},
		"of another protocol":             {last: 25, has: files{20: was(other)}, external: true, upTo: 25, same: true},
		"which it has not":                {last: 25, has: files{10: was(other)}, external: true, upTo: 10},
		"a pack has written it":           {last: 25, has: files{20: packed}, upTo: 25, same: true},
		"a pack has taken it away":        {last: 40, absent: gone, upTo: 40, same: true},
		"it is missing, and not by that":  {last: 40, absent: kept},
		"nor where it would be the last":  {last: 9, absent: gone},
		"a pack has written an older one": {last: 15, has: files{10: packed}, upTo: 10},
		"it cannot be read":               {last: 25, fails: errors.New("failed")},
	} {
		id := &state.State{ExternalHistory: c.external, Chain: state.Chain{Checkpoints: []state.Checkpoint{
			{Tid: 10, Digest: first}, {Tid: 20, Digest: first},
		}}}
		upTo, same, err := checkpointInFile(t.Context(), &fakePast{c.last, c.has, c.absent, c.fails}, id)
		if upTo != c.upTo || same != c.same || !errors.Is(err, c.fails) {
			t.Errorf("%s: up to %v, the same %v, %v", name, upTo, same, err)
		}
	}
}

// A file that lacks what its state file knows of gets a new node id, once, and that is logged.
func TestAFileThatLacksSomethingIsACopy(t *testing.T) {
	var out bytes.Buffer
	n := lone(t, func(opt *Options) { opt.Logger = hclog.New(&hclog.LoggerOptions{Output: &out}) })
	node, last := n.keep.Node(), n.st.LastTid()
	compare := func() zodb.Tid {
		t.Helper()
		out.Reset()
		upTo, err := n.opt.Compare(t.Context(), n.st, n.keep)
		if err != nil {
			t.Fatal(err)
		}
		return upTo
	}
	if upTo := compare(); upTo != last || n.keep.Node() != node || out.Len() > 0 {
		t.Errorf("without checkpoints: up to %v, node %s, logs %s", upTo, n.keep.Node(), out.String())
	}
	update(n, func(id *state.State) {
		id.Chain = state.Chain{Checkpoints: []state.Checkpoint{{Tid: last + 1, Count: 4}}}
	})
	upTo := compare()
	id := n.keep.State()
	if upTo != 0 || id.Node == node || id.Was != node || !strings.Contains(out.String(), "the data file was replaced") {
		t.Errorf("it has lost one: up to %v, %+v, logs %s", upTo, id, out.String())
	}
	if compare(); n.keep.State() != id || out.Len() > 0 {
		t.Errorf("a copy is compared again: %+v, logs %s", n.keep.State(), out.String())
	}
}

// A node that only streams the files of another process begins an epoch of its own where they are a copy.
func TestWhatAnAttachedNodeIs(t *testing.T) {
	own := Identity{Name: "own", Logger: hclog.NewNullLogger()}
	for name, c := range map[string]struct {
		option  func(*Identity)
		missing bool // the state file
		copied  bool
		node    string // original or new; empty: that of the copy
		epoch   uint64
		storage bool // it is another one
	}{
		"what it was": {node: nodeA, epoch: 3},
		"new":         {missing: true, node: "new", epoch: 1, storage: true},
		"a copy":      {copied: true, epoch: 6},
		"a copy that is as it was": {
			option: func(c *Identity) { c.AsItWas = true }, copied: true, node: nodeA, epoch: 6,
		},
		"a copy that is a database of its own": {
			option: func(c *Identity) { c.NewIdentity = true }, copied: true, node: "new", epoch: 1, storage: true,
		},
		"what it was, whatever is said": {
			option: func(c *Identity) { c.NewIdentity, c.AsItWas = true, true }, node: nodeA, epoch: 3,
		},
	} {
		n := lone(t, func(*Options) {})
		storage := n.keep.State().StorageID
		update(n, func(id *state.State) {
			id.Node, id.MaxEpochSeen = nodeA, 5
			id.Epochs = append(id.Epochs, protocol.Epoch{Number: 3, Begin: 7, Node: nodeA})
			if !c.copied {
				id.MaxEpochSeen = 3
			} else {
				id.Node, id.Was = nodeB, nodeA
			}
		})
		if c.missing {
			n.keep = unwritten()
		}
		identity := own
		if c.option != nil {
			c.option(&identity)
		}
		if err := identity.BeginOwnEpoch(n.keep, 9); err != nil {
			t.Fatal(err)
		}
		id := n.keep.State()
		want := map[string]string{"": nodeB, nodeA: nodeA, "new": id.Epochs[0].Node}[c.node]
		if id.Node != want || id.Epoch().Number != c.epoch || id.Was != "" || (id.StorageID != storage) != c.storage {
			t.Errorf("%s: %+v", name, id)
		}
		if c.epoch == 6 && (id.Epoch().Begin != 9 || id.Epoch().By != "own" || id.Epoch().At == "") {
			t.Errorf("%s: it begins %+v", name, id.Epoch())
		}
	}
}

// What a node is that was told to lead, as far as it knows before it asks anybody; and what it logs of that.
func TestWhatANodeClaims(t *testing.T) {
	copied := func(n *Node) { update(n, func(id *state.State) { id.Was, id.Node = id.Node, nodeC }) }
	alone := func(n *Node) { n.opt.ReplicateFrom = nil }
	for name, c := range map[string]struct {
		prepare func(n *Node)
		starts  bool // an epoch of its own
		asks    bool // for an identity
		kind    string
		logs    string
	}{
		"what it was": {prepare: func(*Node) {}},
		"a secondary": {prepare: func(n *Node) {
			n.opt.Starts = state.RoleSecondary
			copied(n)
		}},
		"without a state file": {prepare: func(n *Node) { n.keep = unwritten() }, asks: true, kind: ConflictIdentity},
		"without one, and without others": {prepare: func(n *Node) {
			n.keep = unwritten()
			alone(n)
		}, logs: "gave the storage an identity"},
		"a copy": {prepare: copied, kind: ConflictCopy, logs: "conflict: the files of this node are a copy"},
		"a copy without others": {prepare: func(n *Node) {
			copied(n)
			alone(n)
		}, starts: true, kind: ConflictCopy},
		"a copy that is as it was": {prepare: func(n *Node) {
			copied(n)
			n.opt.AsItWas = true
		}, starts: true, logs: "keeps its identity and role"},
		"the original, as it was": {prepare: func(n *Node) { n.opt.AsItWas = true }, logs: "--as-it-was has no effect"},
		"the original, anew":      {prepare: func(n *Node) { n.opt.NewIdentity = true }, logs: "--new-identity has no"},
		"a copy, anew": {prepare: func(n *Node) {
			copied(n)
			n.opt.NewIdentity = true
		}, logs: "it is now a separate database"},
	} {
		var out bytes.Buffer
		n, _, _ := standing(t, func(opt *Options) { opt.Logger = hclog.New(&hclog.LoggerOptions{Output: &out}) })
		c.prepare(n)
		if err := n.Claim(t.Context()); err != nil {
			t.Fatal(err)
		}
		kind := ""
		if got := n.Conflict(); got != nil {
			kind = got.Kind
		}
		if n.startsEpoch != c.starts || n.AsksIdentity() != c.asks || kind != c.kind ||
			(n.keep.State() == nil) != c.asks {
			t.Errorf("%s: it starts an epoch %v, asks %v, conflict %q", name, n.startsEpoch, n.AsksIdentity(), kind)
		}
		if !strings.Contains(out.String(), c.logs) || (out.Len() == 0) != (c.logs == "") {
			t.Errorf("%s: it logs %s", name, out.String())
		}
	}
}

// A node that begins an epoch of its own asks the others first, and follows one that is primary.
func TestAnEpochOfItsOwnIsNotBegunBesideAPrimary(t *testing.T) {
	for _, leads := range []bool{false, true} {
		var out bytes.Buffer
		n, b, c := among(t, func(opt *Options) { opt.Logger = hclog.New(&hclog.LoggerOptions{Output: &out}) })
		b.status.MaxEpochSeen, c.status.IsPrimary = 4, leads
		n.startsEpoch = true
		n.Enter(t.Context())
		n.Leave(nil)
		id := n.keep.State()
		if n.IsPrimary() == leads || n.isFollowing() != leads || (id.Epoch().Number == 5) == leads ||
			(id.Role == state.RoleSecondary) != leads {
			t.Errorf("another one leads %v: it leads %v, follows %v, %+v", leads, n.IsPrimary(), n.isFollowing(), id)
		}
		if leads && (id.Follow[0] != "c:1" || !strings.Contains(out.String(), "another node is primary")) {
			t.Errorf("it follows %q, and logs %s", id.Follow, out.String())
		}
	}
}

// A node that cannot write down that it follows does not.
func TestWhoCannotYieldDoesNotFollow(t *testing.T) {
	n, _, _ := among(t, nil)
	full(n)
	if err := n.yieldTo(t.Context(), "c:1"); err == nil || n.isFollowing() {
		t.Errorf("%v: it follows %v", err, n.isFollowing())
	}
}

// A node gets an identity when all others have said that they have none. What secondaries it has by then connect again.
func TestWhoGetsAnIdentity(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(n *Node, b *fakeMember)
		says    string // why it gets none; empty: it gets one
		fails   bool
	}{
		"all have none": {prepare: func(*Node, *fakeMember) {}},
		"one has one": {
			prepare: func(_ *Node, b *fakeMember) { b.status.StorageID = nodeC }, says: "has the storage " + nodeC,
		},
		"one asks, too": {
			prepare: func(_ *Node, b *fakeMember) { b.status.AsksIdentity = true },
			says:    "both were started as primary",
		},
		"one does not answer": {
			prepare: func(n *Node, _ *fakeMember) { n.opt.ReplicateFrom = at(t, "b:1", "x:1") },
			says:    "x:1 does not answer",
		},
		"what commits wait for cannot be written down": {
			prepare: func(n *Node, _ *fakeMember) {
				n.opt.Sync.Required = 1
				n.keep = onceWritten(t)
			}, fails: true,
		},
	} {
		n, b, other := among(t, nil)
		b.status.StorageID, b.status.Epochs, other.status.StorageID, other.status.Epochs = "", nil, "", nil
		n.keep = unwritten()
		n.asksIdentity.Store(true)
		c.prepare(n, b)
		err := n.askForIdentity(t.Context())
		got := c.says == "" && !c.fails
		if (err != nil) != c.fails || n.AsksIdentity() == got || n.IsPrimary() != got ||
			n.replicationServer.(*fakeServer).renewals() > 0 != got {
			t.Errorf("%s: %v: it leads %v", name, err, n.IsPrimary())
		}
		met := n.conflictFound.Load()
		if (met != nil) != (c.says != "") || met != nil && !strings.Contains(met.Text, c.says) {
			t.Errorf("%s: it says %+v", name, met)
		}
	}
}

// onceWritten is a keeper whose disk takes one state file.
func onceWritten(t *testing.T) *state.Keeper {
	t.Helper()
	disk := simdisk.New()
	keep, err := state.Open(disk, "Data.fs")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	disk.FailWhen(func(op simdisk.Op) error {
		if op.Kind == simdisk.Create {
			files++
		}
		if files > 1 {
			return syscall.ENOSPC
		}
		return nil
	})
	return keep
}

// Why a node has no identity yet is logged when it is another reason.
func TestAConflictAboutTheIdentityIsLoggedOnce(t *testing.T) {
	var out bytes.Buffer
	n, _, _ := standing(t, func(opt *Options) { opt.Logger = hclog.New(&hclog.LoggerOptions{Output: &out}) })
	for i, step := range []struct {
		why    string
		logged int
	}{{"b is away", 1}, {"b is away", 1}, {"c is away", 2}, {"b is away", 3}} {
		if err := n.noteIdentityConflict(step.why); err != nil {
			t.Fatal(err)
		}
		got, logged := n.conflictFound.Load(), strings.Count(out.String(), "conflict: ")
		if got.Text != step.why || logged != step.logged {
			t.Errorf("step %d: %+v, logs %s", i, got, out.String())
		}
	}
}

// A state file that is a copy, and one with a vote for an epoch that cannot be, are logged when they are read.
func TestWhatIsOddAboutAStateFileIsLogged(t *testing.T) {
	var out bytes.Buffer
	n := lone(t, func(opt *Options) { opt.Logger = hclog.New(&hclog.LoggerOptions{Output: &out}) })
	load := func() *state.State {
		t.Helper()
		out.Reset()
		keep, err := n.opt.Load()
		if err != nil {
			t.Fatal(err)
		}
		return keep.State()
	}
	if load(); out.Len() > 0 {
		t.Errorf("it logs %s", out.String())
	}
	update(n, func(id *state.State) { id.MaxEpochSeen, id.MaxEpochBegun = 1<<60, 1<<60 })
	if id := load(); id.Highest() != 1 || !strings.Contains(out.String(), "a vote for an implausible epoch") {
		t.Errorf("%+v, and it logs %s", id, out.String())
	}
}
