package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zeo"
)

// standing is lone with a secondary and a server that do as they are told. It knows of another node.
//
// The other node is at b:1, where nobody answers.
func standing(t *testing.T, change func(*Options)) (*Node, *scriptedSecondary, *fakeServer) {
	t.Helper()
	n := lone(t, func(opt *Options) {
		opt.ReplicationAddr = "own:1"
		opt.ReplicateFrom = at(t, "b:1")
		opt.Dial = newNetwork(t).dial
		if change != nil {
			change(opt)
		}
	})
	sec, server := new(scriptedSecondary), new(fakeServer)
	n.sec = sec
	n.Serve(server)
	t.Cleanup(n.Retire)
	return n, sec, server
}

func at(t *testing.T, addresses ...string) (list []endpoint.Endpoint) {
	t.Helper()
	for _, addr := range addresses {
		e, err := endpoint.Parse(addr)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

// among is standing with nodes at b:1 and c:1.
func among(t *testing.T, change func(*Options)) (n *Node, b, c *fakeMember) {
	t.Helper()
	network := newNetwork(t)
	n, _, _ = standing(t, func(opt *Options) {
		opt.ReplicateFrom, opt.Dial = at(t, "b:1", "c:1"), network.dial
		if change != nil {
			change(opt)
		}
	})
	return n, network.member(n, "b", nil), network.member(n, "c", nil)
}

func (n *Node) requestOf(epoch, begun uint64) *protocol.VoteRequest {
	return &protocol.VoteRequest{Epoch: epoch, StatusRequest: protocol.StatusRequest{
		StorageID: n.keep.State().StorageID, Node: nodeB, Name: "b", ReplicationAddr: "b:1", MaxEpochBegun: begun,
	}}
}

func (n *Node) isFollowing() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.running != nil
}

// A vote is for one epoch above all that the node has seen, and written down before it is answered. From then on the
// node looks for its primary where the one that asked is.
func TestAVoteIsWrittenDownAndKept(t *testing.T) {
	n, sec, _ := standing(t, nil)
	n.follow()
	first := n.running
	req := n.requestOf(4, 1)
	req.ReplicationAddr = "z:1"
	vote, refusal := n.Vote(t.Context(), req)
	if refusal != nil {
		t.Fatal(refusal)
	}
	id := n.keep.State()
	if vote.Epoch != 4 || vote.MaxEpochSeen != 4 || id.MaxEpochSeen != 4 || id.VotedFor != nodeB ||
		id.Latest() != 1 || id.Follow[0] != "z:1" {
		t.Errorf("it answered %+v, and keeps %+v", vote, id)
	}
	select {
	case <-first.done:
	default:
		t.Error("it has answered before it had ended its connection to its primary")
	}
	if !n.isFollowing() || sec.looked()[0] != "z:1" {
		t.Errorf("it looks for its primary at %q", sec.looked())
	}
	for _, epoch := range []uint64{3, 4} {
		_, refusal := n.Vote(t.Context(), n.requestOf(epoch, 1))
		if refusal == nil || refusal.Code != protocol.CodeOutranked || n.keep.State().VotedFor != nodeB {
			t.Errorf("asked for epoch %d: %v", epoch, refusal)
		}
	}
	if _, refusal := n.Vote(t.Context(), n.requestOf(5, 1)); refusal != nil {
		t.Error(refusal)
	}
}

func TestANodeWithoutAStateDoesNotVote(t *testing.T) {
	n, _, _ := standing(t, nil)
	n.keep = unwritten()
	if _, refusal := n.Vote(t.Context(), &protocol.VoteRequest{Epoch: 4}); refusal == nil {
		t.Error("a node without a state has voted")
	}
}

// unwritten returns the keeper of a storage that has no state yet.
func unwritten() *state.Keeper {
	keep, err := state.Open(simdisk.New(), "Data.fs")
	if err != nil {
		panic(err)
	}
	return keep
}

// A node whose role is being changed gives no vote before that is over.
func TestNoVoteIsGivenWhileTheRoleChanges(t *testing.T) {
	n, _, _ := standing(t, nil)
	n.changing <- struct{}{}
	defer func() { <-n.changing }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, refusal := n.Vote(ctx, n.requestOf(4, 1)); refusal == nil || n.keep.State().Highest() != 1 {
		t.Errorf("%v: it has seen epoch %d", refusal, n.keep.State().Highest())
	}
}

// A primary that votes for another node is one no more.
func TestAPrimaryThatVotesStepsDown(t *testing.T) {
	var access []zeo.Access
	n, _, server := standing(t, func(opt *Options) {
		opt.SetAccess = func(a zeo.Access) { access = append(access, a) }
	})
	n.setPrimary(true)
	if _, refusal := n.Vote(t.Context(), n.requestOf(4, 1)); refusal != nil {
		t.Fatal(refusal)
	}
	id := n.keep.State()
	if n.IsPrimary() || id.Role != state.RoleSecondary || id.MaxEpochSeen != 4 || id.Latest() != 1 ||
		!n.isFollowing() || server.renewals() == 0 {
		t.Errorf("it leads: %v, and keeps %+v", n.IsPrimary(), id)
	}
	if !slices.Equal(access, []zeo.Access{zeo.ReadOnly}) {
		t.Errorf("clients may %v", access)
	}
}

// Only numbers that can be true are believed, of nodes of the same storage: H4.
func TestWhichEpochsAreBelieved(t *testing.T) {
	n, _, _ := standing(t, nil)
	own := n.keep.State().StorageID
	for _, c := range []struct {
		storage string
		epoch   uint64
		refused bool
	}{
		{own, 1 + state.MaxStep, false}, {own, 2 + state.MaxStep, true}, {nodeA, 2 + state.MaxStep, false},
	} {
		refusal := n.believes(c.storage, c.epoch)
		if (refusal != nil) != c.refused || refusal != nil && refusal.Code != protocol.CodeOutranked {
			t.Errorf("%+v: %v", c, refusal)
		}
	}
	n.keep = unwritten()
	if refusal := n.believes(own, 2+state.MaxStep); refusal != nil {
		t.Error(refusal)
	}
}

// Who asks says what it knows: a higher epoch that has begun, and where a primary of the last epoch is.
func TestWhatANodeLearnsFromWhoAsks(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*protocol.StatusRequest)
		higher uint64
		leader string
	}{
		"a secondary of this epoch":  {func(*protocol.StatusRequest) {}, 0, ""},
		"a secondary of a later one": {func(r *protocol.StatusRequest) { r.MaxEpochBegun = 3 }, 3, ""},
		"a primary of this epoch":    {func(r *protocol.StatusRequest) { r.IsPrimary = true }, 0, "b:1"},
		"a primary of a later one": {
			func(r *protocol.StatusRequest) { r.IsPrimary, r.MaxEpochBegun = true, 3 }, 3, "b:1",
		},
		"a primary of an earlier one": {
			func(r *protocol.StatusRequest) { r.IsPrimary, r.MaxEpochBegun = true, 1 }, 0, "",
		},
		"a primary of another storage": {
			func(r *protocol.StatusRequest) { r.IsPrimary, r.MaxEpochBegun, r.StorageID = true, 3, nodeA }, 0, "",
		},
	} {
		n, _, _ := standing(t, nil)
		update(n, func(id *state.State) { id.ObserveBegun(2) })
		req := n.requestOf(0, 2).StatusRequest
		c.change(&req)
		if _, refusal := n.Status(&req); refusal != nil {
			t.Errorf("%s: %v", name, refusal)
		}
		if got := n.events.take(); got.higher != c.higher || got.leader != c.leader {
			t.Errorf("%s: %+v", name, got)
		}
	}
	n, _, _ := standing(t, nil)
	req := n.requestOf(0, 2+state.MaxStep).StatusRequest
	if _, refusal := n.Status(&req); refusal == nil || n.events.take().higher != 0 {
		t.Error("an epoch that cannot be was believed")
	}
	n.keep = unwritten()
	if p, refusal := n.Status(&req); refusal != nil || p.StorageID != "" || n.events.take().higher != 0 {
		t.Errorf("a node without an identity answers %+v, %v", p, refusal)
	}
}

// A node says that it is primary only while it takes transactions, or would.
func TestWhoSaysThatItIsPrimary(t *testing.T) {
	following := secondary.Status{Connected: true, Address: "a:1", UpstreamPath: []string{nodeA}}
	for name, c := range map[string]struct {
		change   func(*Node, *scriptedSecondary)
		asPeer   bool   // in its own requests, and to those that connect
		answers  bool   // in its answers
		upstream string // its address
	}{
		"a primary":   {func(n *Node, _ *scriptedSecondary) { n.setPrimary(true) }, true, true, ""},
		"a secondary": {func(_ *Node, s *scriptedSecondary) { s.status = following }, false, false, "a:1"},
		"one that is not connected": {func(_ *Node, s *scriptedSecondary) {
			s.status = secondary.Status{Address: "a:1", UpstreamPath: []string{nodeA}}
		}, false, false, ""},
		"a primary with what it followed before": {func(n *Node, s *scriptedSecondary) {
			s.status = following
			n.setPrimary(true)
		}, true, true, ""},
		"a primary that was replaced": {func(n *Node, _ *scriptedSecondary) {
			n.setPrimary(true)
			n.noteUnwritten(2)
		}, false, false, ""},
		"a primary with a conflict": {func(n *Node, _ *scriptedSecondary) {
			n.setPrimary(true)
			n.conflictFound.Store(&Conflict{Kind: ConflictNode})
		}, false, true, ""},
		"a process that ends": {func(n *Node, _ *scriptedSecondary) {
			n.setPrimary(true)
			n.opt.Stopping = func() bool { return true }
		}, true, false, ""},
	} {
		n, sec, _ := standing(t, func(opt *Options) { opt.Self = "run-1" })
		c.change(n, sec)
		n.admits = time.Now().Add(-time.Second)
		info, req, p := n.Info(), n.statusRequest(), n.ownStatus()
		if info.IsPrimary != c.asPeer || req.IsPrimary != c.asPeer || p.IsPrimary != c.answers ||
			p.UpstreamAddr != c.upstream || (len(info.UpstreamPath) > 0) != (c.upstream != "") {
			t.Errorf("%s: %+v, asks with %+v, answers %+v", name, info, req, p)
		}
		if (p.PrimarySince != "") != c.answers || (p.PrimaryForMS >= 1000) != c.answers || info.ExternalHistory {
			t.Errorf("%s: primary since %q, %d ms", name, p.PrimarySince, p.PrimaryForMS)
		}
		if p.Run != "run-1" || p.LastTid != n.st.LastTid() || p.StorageID != n.keep.State().StorageID ||
			p.Node != n.keep.Node() || len(p.Epochs) != 1 || req.LastTid != p.LastTid ||
			req.ReplicationAddr != "own:1" {
			t.Errorf("%s: asks with %+v, answers %+v", name, req, p)
		}
	}
}

// A node says what keeps it from its work, and what of its history is not its own.
func TestWhatANodeSaysOfItself(t *testing.T) {
	n, _ := waitingPrimary(t, nil)
	if n.Info().ExternalHistory || n.ownStatus().FaultReason != "" || n.Info().Sync.Required != 1 {
		t.Errorf("%+v, %+v", n.Info(), n.ownStatus())
	}
	n.sync.overdue = 7
	update(n, func(id *state.State) { id.ExternalHistory = true })
	if !n.Info().ExternalHistory || !strings.Contains(n.ownStatus().FaultReason, "have waited for secondaries") {
		t.Errorf("%+v, %+v", n.Info(), n.ownStatus())
	}
	if n.keep = unwritten(); n.Info().ExternalHistory {
		t.Error("without a state")
	}
}

// What another node says counts if it has the same storage, and numbers that can be true.
func TestWhichAnswersCount(t *testing.T) {
	status := func(storage string, seen uint64) *protocol.NodeStatus {
		return &protocol.NodeStatus{StorageID: storage, Name: "b", MaxEpochSeen: seen}
	}
	away := errors.New("away")
	for name, c := range map[string]struct {
		got      answer
		counts   bool
		identity string
		name     string
	}{
		"of the same storage": {answerOf("b", status(nodeA, 3+state.MaxStep), nil, nodeA, 3), true, nodeA, "b"},
		"of another one":      {answerOf("b", status(nodeB, 3), nil, nodeA, 3), false, nodeB, "b"},
		"of a high epoch":     {answerOf("b", status(nodeA, 4+state.MaxStep), nil, nodeA, 3), false, "", "a node"},
		"of nobody":           {answerOf("b", nil, away, nodeA, 3), false, "", "a node"},
		"refused, as no member": {
			answerOf("b", nil, &protocol.Refusal{Code: protocol.CodeNotMember}, nodeA, 3), false, "of an unknown id",
			"a node",
		},
		"refused, of another storage": {
			answerOf("b", nil, &protocol.Refusal{Code: protocol.CodeWrongStorage}, nodeA, 3), false, "of an unknown id",
			"a node",
		},
		"refused, for another reason": {
			answerOf("b", nil, &protocol.Refusal{Code: protocol.CodeTooMany}, nodeA, 3), false, "", "a node",
		},
	} {
		if a := c.got; (a.status != nil) != c.counts || (a.err == nil) != c.counts || a.identity() != c.identity ||
			a.name() != c.name || a.addr != "b" {
			t.Errorf("%s: %+v with the identity %q of %q", name, a, a.identity(), a.name())
		}
	}
}

// A node that is asked answers with what was asked for: its status, or its vote for this epoch.
func TestWhichAnswersToRequestsCount(t *testing.T) {
	n, b, _ := among(t, nil)
	refusal := &protocol.Refusal{Code: protocol.CodeOutranked, Text: "no"}
	vote := func(epoch uint64) *protocol.Vote { return &protocol.Vote{Epoch: epoch, NodeStatus: b.status} }
	other := vote(4)
	other.StorageID = nodeA
	for name, c := range map[string]struct {
		answer any
		want   string // in the error
	}{
		"a vote":               {vote(4), ""},
		"a vote for another":   {vote(5), "asked to vote for epoch 4, it voted for epoch 5"},
		"a refusal":            {refusal, "no"},
		"a status":             {&b.status, "it answered a vote request with a *protocol.NodeStatus"},
		"one of other storage": {other, "it has another storage"},
	} {
		b.vote = c.answer
		a := n.askVote(t.Context(), 4, []string{"b:1"})[0]
		if (a.status != nil) != (c.want == "") || a.err != nil && !strings.Contains(a.err.Error(), c.want) {
			t.Errorf("%s: %+v", name, a)
		}
	}
	asked := b.asked[0].(*protocol.VoteRequest)
	if asked.Epoch != 4 || asked.StorageID != n.keep.State().StorageID || asked.MaxEpochBegun != 1 ||
		asked.Node != n.keep.Node() || asked.LastTid != n.st.LastTid() {
		t.Errorf("it asks for a vote with %+v", asked)
	}
	a := n.askStatus(t.Context(), []string{"b:1"})[0]
	if a.status == nil || a.status.Name != "b" {
		t.Errorf("%+v", a)
	}
	if asked := b.asked[len(b.asked)-1].(*protocol.StatusRequest); asked.StorageID != n.keep.State().StorageID ||
		asked.MaxEpochBegun != 1 || asked.Node != n.keep.Node() {
		t.Errorf("it asks for a status with %+v", asked)
	}
	if a := n.askStatus(t.Context(), []string{"x:1"})[0]; a.status != nil || !strings.Contains(a.err.Error(),
		"nobody is there") {
		t.Errorf("%+v", a)
	}
	network := newNetwork(t)
	n.opt.Dial = network.dial
	network.answers("b:1", func(any) any { return vote(4) })
	if a := n.askStatus(t.Context(), []string{"b:1"})[0]; a.status != nil || !strings.Contains(a.err.Error(),
		"*protocol.Vote") {
		t.Errorf("%+v", a)
	}
}

// An epoch that was only voted for may come to nothing; the next one is above it all the same.
func TestTheHighestEpochOfAll(t *testing.T) {
	id := &state.State{Epochs: []protocol.Epoch{{Number: 3}}, MaxEpochSeen: 4}
	says := func(seen, begun uint64) answer {
		return answer{status: &protocol.NodeStatus{MaxEpochSeen: seen, MaxEpochBegun: begun}}
	}
	for _, c := range []struct {
		answers       []answer
		begun, anyone uint64
	}{
		{nil, 3, 4},
		{[]answer{{err: errors.New("away")}, says(5, 2)}, 3, 5},
		{[]answer{says(2, 7), says(6, 1)}, 7, 7},
	} {
		if begun, anyone := latest(id, c.answers), highest(id, c.answers); begun != c.begun || anyone != c.anyone {
			t.Errorf("%d has begun, %d was seen; want %d and %d", begun, anyone, c.begun, c.anyone)
		}
	}
}

// A node does not count its own answer. Another process with its id is another node: a copy.
func TestANodeDoesNotAnswerItself(t *testing.T) {
	n, _, _ := standing(t, func(opt *Options) { opt.Self = "run-1" })
	answers := n.askEach([]string{"self", "older", "copy", "other", "away"}, func(addr string) answer {
		p := map[string]*protocol.NodeStatus{
			"self": {Node: n.keep.Node(), Run: "run-1"}, "older": {Node: n.keep.Node()},
			"copy": {Node: n.keep.Node(), Run: "run-2"}, "other": {Node: nodeB, Run: "run-1"},
		}[addr]
		return answer{addr: addr, status: p}
	})
	var from []string
	for _, a := range answers {
		from = append(from, a.addr)
	}
	if !slices.Equal(from, []string{"copy", "other", "away"}) {
		t.Errorf("answers of %q count", from)
	}
}

// Members are those of the command line, of the state file, of the primary's report, and that connect here.
func TestWhoIsAsked(t *testing.T) {
	n, sec, server := standing(t, nil)
	update(n, func(id *state.State) { id.FollowFirst([]string{"kept:1", "own:1"}) })
	sec.status.Roster = []protocol.RosterEntry{{ReplicationAddr: "told:1"}, {ReplicationAddr: ""}}
	server.status.Secondaries = []primary.SecondaryStatus{
		{ReplicationAddr: "here:1"}, {ReplicationAddr: "told:1"}, {ReplicationAddr: "own:1"},
	}
	if got := n.knownAddresses(); !slices.Equal(got, []string{"told:1", "here:1", "told:1"}) {
		t.Errorf("known are %q", got)
	}
	want := []string{"b:1", "kept:1", "told:1", "here:1"}
	if got := n.others(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
