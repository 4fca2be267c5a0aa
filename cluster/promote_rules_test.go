package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// promotionOf is a promotion of a node that nobody runs.
func promotionOf(n *Node) *promotion {
	return &promotion{Node: n, report: report{tell: func(admin.Step) {}}}
}

// says returns the answer of a node with the last transaction of n, or ahead of it, in the same epoch.
func (n *Node) says(name string, ahead int64, change func(*protocol.NodeStatus)) answer {
	p := &protocol.NodeStatus{
		Node: nodeOf(name), Name: name, LastTid: zodb.Tid(int64(n.st.LastTid()) + ahead),
		Epochs: n.keep.State().Epochs,
	}
	if change != nil {
		change(p)
	}
	return answer{addr: name + ":1", status: p}
}

func leads(p *protocol.NodeStatus) { p.IsPrimary = true }

func hasFault(p *protocol.NodeStatus) { p.IsPrimary, p.FaultReason = true, "its disk is full" }

// update changes the state file. The disk of a test takes that.
func update(n *Node, change func(*state.State)) {
	if err := n.keep.Update(func(id *state.State) error { change(id); return nil }); err != nil {
		panic(err)
	}
}

func TestWhoMayBePromoted(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		before func(*Node)
		want   string // in the refusal; empty: it may
		warns  bool
	}{
		"a secondary": {},
		"the primary": {before: func(n *Node) { n.setPrimary(true) }, want: "is the primary already, since epoch 1"},
		"a primary that was replaced": {before: func(n *Node) {
			n.setPrimary(true)
			update(n, func(id *state.State) { id.ObserveBegun(2) })
		}},
		"a primary with a rival": {before: func(n *Node) {
			n.setPrimary(true)
			update(n, func(id *state.State) { id.Rival = id.StorageID })
		}},
		"one that reads the blobs of another": {
			change: func(opt *Options) { opt.SharedBlobs = true }, want: "reads the primary's own blob directory",
		},
		"one that nobody can follow": {change: func(opt *Options) { opt.ReplicationAddr = "" }, warns: true},
	} {
		n := lone(t, func(opt *Options) {
			opt.ReplicationAddr = "own:1"
			if c.change != nil {
				c.change(opt)
			}
		})
		if c.before != nil {
			c.before(n)
		}
		p := promotionOf(n)
		err := p.allowed()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) ||
			c.warns != (len(p.warnings) > 0) {
			t.Errorf("%s: %v, with the warnings %q", name, err, p.warnings)
		}
	}
}

// What others answer, and what the primary told of those that do not, refuses a promotion: P1 to P3.
func TestWhatRefusesAPromotion(t *testing.T) {
	told := func(n *Node, node string, ahead zodb.Tid) secondary.Status {
		return secondary.Status{Roster: []protocol.RosterEntry{
			{Node: node, Name: "c", Durable: n.st.LastTid() + ahead, Age: time.Minute},
		}, Heard: time.Now().Add(-time.Hour)}
	}
	refusesWith := func(code protocol.Code) func(*Node) []answer {
		return func(*Node) []answer {
			return []answer{{addr: "b:1", err: fmt.Errorf("asking b:1: %w", &protocol.Refusal{Code: code, Text: "no"})}}
		}
	}
	for name, c := range map[string]struct {
		before  func(*Node) secondary.Status
		elected bool
		force   bool
		leads   bool // this node
		answers func(*Node) []answer
		reasons []string // of a refusal
		warns   []string
	}{
		"nobody answers":  {},
		"one has as much": {answers: func(n *Node) []answer { return []answer{n.says("b", 0, nil)} }},
		"one has less":    {answers: func(n *Node) []answer { return []answer{n.says("b", -1, nil)} }},
		"one has more": {
			answers: func(n *Node) []answer { return []answer{n.says("b", 1, nil)} }, reasons: []string{"b has more"},
		},
		"one has more, by force": {
			force: true, answers: func(n *Node) []answer { return []answer{n.says("b", 1, nil)} },
			warns: []string{"b has more"},
		},
		"one is primary": {
			answers: func(n *Node) []answer { return []answer{n.says("b", 0, leads)} },
			reasons: []string{"b is primary of epoch 1 and answers: use zrsd switchover"},
		},
		"one was primary, and this one is elected": {
			elected: true, answers: func(n *Node) []answer { return []answer{n.says("b", 1, leads)} },
			warns: []string{"b was primary; its transactions after"},
		},
		"a secondary has more, and this one is elected": {
			elected: true, answers: func(n *Node) []answer { return []answer{n.says("b", 1, nil)} },
			reasons: []string{"b has more"},
		},
		"a primary with a fault has as much": {
			answers: func(n *Node) []answer { return []answer{n.says("b", 0, hasFault)} },
			warns:   []string{"takes no transactions: its disk is full"},
		},
		"a primary with a fault has more": {
			answers: func(n *Node) []answer { return []answer{n.says("b", 1, hasFault)} },
			reasons: []string{"takes no transactions: its disk is full; b has more"},
		},
		"one is primary of the same epoch, as this one": {
			leads: true, answers: func(n *Node) []answer { return []answer{n.says("b", 1, leads)} },
			warns: []string{"b is also primary of this epoch"},
		},
		"one is primary of another epoch than this one": {
			leads: true, answers: func(n *Node) []answer {
				return []answer{n.says("b", 0, func(p *protocol.NodeStatus) {
					p.IsPrimary, p.Epochs = true, []protocol.Epoch{{Number: 2}}
				})}
			},
			reasons: []string{"b is primary of epoch 2 and answers"},
		},
		"one is away": {
			answers: func(*Node) []answer { return []answer{{addr: "b:1", err: errors.New("b is away")}} },
			warns:   []string{"b is away"},
		},
		"one does not say": {
			answers: refusesWith(protocol.CodeTooMany),
			warns:   []string{"asking b:1"}, reasons: []string{"b:1 is alive and may be the primary"},
		},
		"one does not say, and this one is elected": {
			elected: true, answers: refusesWith(protocol.CodeTooMany), warns: []string{"asking b:1"},
		},
		"one has another storage": {answers: refusesWith(protocol.CodeWrongStorage), warns: []string{"asking b:1"}},
		"one that is away had as much": {
			before: func(n *Node) secondary.Status { return told(n, nodeC, 0) },
		},
		"one that is away had more": {
			before:  func(n *Node) secondary.Status { return told(n, nodeC, 1) },
			reasons: []string{"c has more", "as of 1h1m"},
		},
		"one that answers had more": {
			before:  func(n *Node) secondary.Status { return told(n, nodeC, 1) },
			answers: func(n *Node) []answer { return []answer{n.says("c", 0, nil)} },
		},
		"this node itself had more": {
			before: func(n *Node) secondary.Status { return told(n, n.keep.Node(), 1) },
		},
		"the primary had more when it was lost": {
			before: func(n *Node) secondary.Status {
				return secondary.Status{PrimaryLast: n.st.LastTid() + 1, Connections: 1}
			},
			warns: []string{"the primary's last transaction was"},
		},
		"the primary had as much": {
			before: func(n *Node) secondary.Status {
				return secondary.Status{PrimaryLast: n.st.LastTid(), Connections: 1}
			},
		},
		"no primary was followed since the start": {
			before: func(n *Node) secondary.Status { return secondary.Status{PrimaryLast: n.st.LastTid() + 1} },
		},
		"the primary is still followed": {
			before: func(n *Node) secondary.Status {
				return secondary.Status{PrimaryLast: n.st.LastTid() + 1, Connections: 1, Connected: true}
			},
		},
	} {
		n := lone(t, func(*Options) {})
		n.setPrimary(c.leads)
		p := promotionOf(n)
		p.force = c.force
		if c.before != nil {
			p.before = c.before(n)
		}
		if c.elected {
			p.elected = &election{former: make(map[string]bool)}
		}
		var answers []answer
		if c.answers != nil {
			answers = c.answers(n)
		}
		err := p.judgeStatus(answers)
		if (err == nil) != (c.reasons == nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, why := range c.reasons {
			if err != nil && !strings.Contains(err.Error(), why) {
				t.Errorf("%s: refused with %v, want %q", name, err, why)
			}
		}
		if len(p.warnings) != len(c.warns) {
			t.Errorf("%s: it warns %q", name, p.warnings)
		}
		for i, why := range c.warns {
			if i < len(p.warnings) && !strings.Contains(p.warnings[i], why) {
				t.Errorf("%s: it warns %q, want %q", name, p.warnings[i], why)
			}
		}
	}
}

// The votes are judged again: who has more by then, or is away, counts as it is then. That the primary whose lease this
// node has got has more is no reason, and its vote is not that of a secondary.
func TestWhatVotesRefuseAPromotion(t *testing.T) {
	away := answer{err: errors.New("away")}
	for name, c := range map[string]struct {
		votes  func(*Node) []answer
		voters []string // noted for the epoch, beside this node
		want   string   // of a refusal
	}{
		"both vote": {
			votes:  func(n *Node) []answer { return []answer{n.says("a", 0, nil), n.says("b", -1, nil)} },
			voters: []string{nodeA, nodeB},
		},
		"the former primary has more": {
			votes:  func(n *Node) []answer { return []answer{n.says("a", 1, nil), n.says("b", 0, nil)} },
			voters: []string{nodeB},
		},
		"a secondary has more by now": {
			votes:  func(n *Node) []answer { return []answer{n.says("a", 0, nil), n.says("b", 1, nil)} },
			voters: []string{nodeA}, want: "b has more",
		},
		"a secondary is away by now": {
			votes:  func(n *Node) []answer { return []answer{n.says("a", 0, nil), away} },
			voters: []string{nodeA}, want: "1 have voted",
		},
		"a secondary is a learner": {
			votes: func(n *Node) []answer {
				return []answer{n.says("a", 0, nil), n.says("b", 0, func(p *protocol.NodeStatus) { p.Learner = true })}
			},
			voters: []string{nodeA}, want: "1 have voted",
		},
		"the former primary is away": {
			votes:  func(n *Node) []answer { return []answer{away, n.says("b", 0, nil)} },
			voters: []string{nodeB},
		},
	} {
		n := lone(t, func(opt *Options) {
			opt.Sync = SyncConfig{Required: 1, Names: []string{"a", "own", "b"}}
			opt.ReplicateFrom = []endpoint.Endpoint{nodetest.Socket(t, "/a"), nodetest.Socket(t, "/b")}
		})
		update(n, func(id *state.State) { id.Epochs[0].Node = nodeA })
		p := promotionOf(n)
		p.elected = &election{former: make(map[string]bool)}
		if err := p.judgeStatus([]answer{n.says("a", 0, leads), n.says("b", 0, nil)}); err != nil {
			t.Fatal(err)
		}
		if p.last.Node != nodeA || p.lastName != "a" {
			t.Errorf("%s: %+v was the last epoch, of %q", name, p.last, p.lastName)
		}
		votes := c.votes(n)
		p.warnings = nil
		err := p.judgeVotes(votes)
		warned := strings.Contains(strings.Join(p.warnings, "; "), "the vote of b does not count")
		if warned != (name == "a secondary is a learner") {
			t.Errorf("%s: it warns %q", name, p.warnings)
		}
		if away := slices.ContainsFunc(votes, func(a answer) bool { return a.status == nil }); away !=
			slices.Equal(p.warnings, []string{"away"}) {
			t.Errorf("%s: it warns %q", name, p.warnings)
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if want := append([]string{n.keep.Node()}, c.voters...); !slices.Equal(p.voters, want) {
			t.Errorf("%s: %q are noted as voters, want %q", name, p.voters, want)
		}
	}
}

// A copy that was begun anew does not lead before it has caught up: it may lack what another one has acknowledged.
func TestALearnerIsNotPromoted(t *testing.T) {
	for _, learner := range []bool{false, true} {
		n := lone(t, func(*Options) {})
		update(n, func(id *state.State) { id.Learner = learner })
		err := promotionOf(n).judgeStatus([]answer{n.says("b", 0, nil)})
		if (err != nil) != learner || err != nil && !strings.Contains(err.Error(), "was begun anew") {
			t.Errorf("a learner %v: %v", learner, err)
		}
	}
}

// Whoever voted has been told to follow nobody of a lower epoch. So a promotion asks last who is to be replaced.
func TestWhoIsToBeReplacedIsToldApart(t *testing.T) {
	n := lone(t, func(*Options) {})
	away := answer{addr: "c:1", err: errors.New("away")}
	replaced, others := leaders([]answer{n.says("a", 0, leads), n.says("b", 0, nil), away})
	if !slices.Equal(reached(replaced), []string{"a:1"}) || !slices.Equal(reached(others), []string{"b:1"}) ||
		len(others) != 2 {
		t.Errorf("%v are asked last, and %v before", reached(replaced), reached(others))
	}
}

// The last epoch that anybody knows says who was primary.
func TestTheLastEpochIsTheHighestThatAnybodyKnows(t *testing.T) {
	own := &state.State{Epochs: []protocol.Epoch{{Number: 3, By: "own"}}}
	with := func(numbers ...uint64) answer {
		p := &protocol.NodeStatus{}
		for _, number := range numbers {
			p.Epochs = append(p.Epochs, protocol.Epoch{Number: number, By: "other"})
		}
		return answer{status: p}
	}
	for _, c := range []struct {
		answers []answer
		want    protocol.Epoch
	}{
		{nil, protocol.Epoch{Number: 3, By: "own"}},
		{[]answer{with(1, 3)}, protocol.Epoch{Number: 3, By: "own"}},
		{[]answer{{err: errors.New("away")}, with(), with(3, 5), with(4)}, protocol.Epoch{Number: 5, By: "other"}},
	} {
		if got := lastEpoch(own, c.answers); got.Number != c.want.Number || got.By != c.want.By {
			t.Errorf("%+v, want %+v", got, c.want)
		}
	}
}

// The names in a node's own rule may have that of the former primary among them, which is no secondary of itself.
func TestHowManyOfTheOwnNamesAreSecondaries(t *testing.T) {
	for name, c := range map[string]struct {
		names    []string
		last     protocol.Epoch
		lastName string
		want     int
	}{
		"all nodes, and nobody knows who led": {[]string{"a", "own", "b"}, protocol.Epoch{}, "", 2},
		"the secondaries":                     {[]string{"own", "b"}, protocol.Epoch{}, "", 2},
		"the primary by the name of then":     {[]string{"a", "own"}, protocol.Epoch{By: "a"}, "", 1},
		"the primary by its id":               {[]string{nodeA, "own"}, protocol.Epoch{Node: nodeA}, "", 1},
		"the primary by its name now":         {[]string{"a", "own"}, protocol.Epoch{By: "old"}, "a", 1},
	} {
		n := lone(t, func(opt *Options) {
			opt.ReplicationAddr = nodetest.Socket(t, "/own").String()
			for _, addr := range []string{"/a", "/b", "/own"} { // a list for all nodes may have this one, too
				opt.ReplicateFrom = append(opt.ReplicateFrom, nodetest.Socket(t, addr))
			}
		})
		p := promotionOf(n)
		p.last, p.lastName = c.last, c.lastName
		if got := p.secondariesAmong(c.names); got != c.want {
			t.Errorf("%s: %d of %q, want %d", name, got, c.names, c.want)
		}
	}
}

// An election for an epoch that somebody has heard of by now is over: its vote may be another one's.
func TestAnElectionForAnEpochThatIsKnownIsOver(t *testing.T) {
	for highest, want := range map[uint64]string{1: "", 2: "members have heard of epoch 2", 3: "epoch 3"} {
		n := lone(t, func(*Options) {})
		n.sec = &scriptedSecondary{}
		if highest > 1 {
			update(n, func(id *state.State) { id.ObserveEpoch(highest) })
		}
		err := n.elect(t.Context(), 2, func(admin.Step) {})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("with epoch %d: %v, want %q", highest, err, want)
		}
		if n.IsPrimary() != (want == "") {
			t.Errorf("with epoch %d: it leads: %v", highest, n.IsPrimary())
		}
		n.Retire()
	}
}

// Asked to lead the epoch that it leads, a node has nothing to do. Otherwise it needs an epoch of its own.
func TestAnElectionIsForOneEpoch(t *testing.T) {
	for name, c := range map[string]struct {
		leads  bool
		number uint64
		want   string
	}{
		"the epoch that it leads":    {true, 1, ""},
		"another one":                {true, 2, "is the primary already"},
		"one that another one leads": {false, 1, "members have heard of epoch 1"},
	} {
		n, _, _ := standing(t, nil)
		n.setPrimary(c.leads)
		err := n.elect(t.Context(), c.number, func(admin.Step) {})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// A promotion asks all first, and those that have answered for their votes. Who is to be replaced is asked last.
func TestAPromotionAsksWhoIsReplacedLast(t *testing.T) {
	n, b, c := among(t, nil)
	b.status.IsPrimary, b.status.FaultReason = true, "its disk is full"
	n.follow()
	before := n.running
	var cVoted bool
	change, err := n.Promote(t.Context(), admin.PromoteRequest{}, func(s admin.Step) {
		if strings.Contains(s.Text, "c has voted for epoch 2") {
			cVoted = len(b.votes()) == 0
			select {
			case <-before.done:
			default:
				t.Error("it asks for votes while it follows")
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !cVoted || !slices.Equal(b.votes(), []uint64{2}) || !slices.Equal(c.votes(), []uint64{2}) {
		t.Errorf("b was asked for %v and c for %v", b.votes(), c.votes())
	}
	id := n.keep.State()
	if !n.IsPrimary() || id.Epoch().Number != 2 || change.Epoch != 2 || !change.Done || n.isFollowing() ||
		!slices.Equal(id.Epoch().Voters, []string{id.Node, nodeC}) {
		t.Errorf("it is primary %v of %+v, and says %+v", n.IsPrimary(), id.Epoch(), change)
	}
	steps := strings.Join(change.Steps, "\n")
	for _, want := range []string{"asks for epoch 2", "b takes no more transactions", "is primary since epoch 2"} {
		if !strings.Contains(steps, want) {
			t.Errorf("the steps are %q, without %q", steps, want)
		}
	}
}

// What a primary that is replaced has to say comes too late.
func TestAReplacedPrimaryThatDoesNotAnswerIsReplaced(t *testing.T) {
	n, b, _ := among(t, nil)
	b.status.IsPrimary, b.status.FaultReason = true, "its disk is full"
	b.vote = &protocol.Refusal{Code: protocol.CodeInternal, Text: "no"}
	change, err := n.Promote(t.Context(), admin.PromoteRequest{}, func(admin.Step) {})
	if err != nil || !n.IsPrimary() ||
		!strings.Contains(strings.Join(change.Warnings, ";"), "could not be reached at the end") {
		t.Errorf("%+v, %v", change, err)
	}
}

// A promotion that is refused, or whose operator has gone away, leaves a secondary that follows, and no vote of its
// own. What it had asked of others it did not ask of the primary.
func TestWhatARefusedPromotionLeaves(t *testing.T) {
	for name, prepare := range map[string]func(b, c *fakeMember, cancel func()){
		"one has more by then": func(_, c *fakeMember, _ func()) {
			more := c.status
			more.LastTid++
			c.vote = &protocol.Vote{Epoch: 2, NodeStatus: more}
		},
		"the operator has gone away": func(_, _ *fakeMember, cancel func()) { cancel() },
	} {
		n, b, c := among(t, nil)
		b.status.IsPrimary, b.status.FaultReason = true, "its disk is full"
		ctx, cancel := context.WithCancel(t.Context())
		_, err := n.Promote(ctx, admin.PromoteRequest{}, func(s admin.Step) {
			if strings.Contains(s.Text, "asks for epoch 2") {
				prepare(b, c, cancel)
			}
		})
		cancel()
		id := n.keep.State()
		if err == nil || n.IsPrimary() || id.Highest() != 1 || !n.isFollowing() || len(b.votes()) > 0 {
			t.Errorf("%s: %v; it leads %v, has seen epoch %d, follows %v; b was asked for %v", name, err, n.IsPrimary(),
				id.Highest(), n.isFollowing(), b.votes())
		}
	}
}

// A promotion that shall only say what it would do asks for no votes.
func TestATrialOfAPromotionChangesNothing(t *testing.T) {
	n, b, c := among(t, nil)
	c.status.MaxEpochSeen = 6
	change, err := n.Promote(t.Context(), admin.PromoteRequest{DryRun: true}, func(admin.Step) {})
	if err != nil || change.Done || change.Epoch != 7 || n.IsPrimary() || len(b.votes())+len(c.votes()) > 0 ||
		!strings.HasPrefix(change.Steps[len(change.Steps)-1], "would begin epoch 7") || n.keep.State().Highest() != 1 {
		t.Errorf("%+v, %v", change, err)
	}
}
