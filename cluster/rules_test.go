package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/cluster/lease"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// lone returns a node with a storage of three transactions, which nobody runs. Its name is own.
func lone(t *testing.T, change func(*Options)) *Node {
	t.Helper()
	disk := nodetest.DiskWith(t, 3)
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	keep, err := state.Open(disk, "Data.fs")
	if err == nil {
		err = keep.Create()
	}
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{
		Identity: Identity{FS: disk, Data: "Data.fs", Name: "own", Logger: hclog.NewNullLogger()},
		Storage:  st, State: keep, Starts: state.RolePrimary,
	}
	change(&opt)
	return New(opt)
}

func TestEachVoterIsOneAndEachNameHasOne(t *testing.T) {
	for _, c := range []struct {
		names  []string
		voters []voter
		want   int
	}{
		{[]string{"b", "c"}, []voter{{"1", "b"}, {"2", "c"}}, 2},
		{[]string{"b", "c"}, []voter{{"1", "b"}, {"2", "b"}}, 1},
		{[]string{"db", "db"}, []voter{{"1", "db"}}, 1},
		{[]string{"b", "1"}, []voter{{"1", "b"}}, 1},
		{[]string{"b", "c"}, []voter{{"1", "a"}}, 0},
	} {
		if got := votes(c.names, c.voters); got != c.want {
			t.Errorf("%v by %v: %d votes", c.names, c.voters, got)
		}
	}
}

// Voters are those of the same last epoch that are no further.
func TestWhoIsNotedAsAVoter(t *testing.T) {
	last := protocol.Epoch{Number: 4, Begin: 9, Node: "x"}
	id := &state.State{Node: "own", Epochs: []protocol.Epoch{{Number: 1}, last}}
	status := func(node string, change func(*protocol.NodeStatus)) answer {
		p := &protocol.NodeStatus{Node: node, Epochs: id.Epochs, LastTid: 20}
		change(p)
		return answer{status: p}
	}
	answers := []answer{
		{err: errors.New("away")},
		status("b", func(*protocol.NodeStatus) {}),
		status("b", func(*protocol.NodeStatus) {}),
		status("further", func(p *protocol.NodeStatus) { p.LastTid = 21 }),
		status("behind", func(p *protocol.NodeStatus) { p.Epochs = p.Epochs[:1] }),
		status("heard", func(p *protocol.NodeStatus) { p.MaxEpochBegun = 5 }),
		status("without epochs", func(p *protocol.NodeStatus) { p.Epochs, p.MaxEpochBegun = nil, 4 }),
		status("of another one", func(p *protocol.NodeStatus) {
			p.Epochs = []protocol.Epoch{{Number: 1}, {Number: 4, Begin: 9, Node: "y"}}
		}),
		status("c", func(p *protocol.NodeStatus) { p.LastTid = 3 }),
	}
	if list := voters(id, 20, answers); !slices.Equal(list, []string{"own", "b", "c"}) {
		t.Errorf("noted are %q", list)
	}
	id.MaxEpochBegun = 5
	if list := voters(id, 20, answers); list != nil {
		t.Errorf("by a node that has heard of a later epoch: %q", list)
	}
}

func TestImpossibleRulesForWaitingAreRefused(t *testing.T) {
	for want, c := range map[string]SyncConfig{
		"give 0 or more":           {Required: -1},
		"without --sync-secondari": {Names: []string{"a"}},
		"would wait forever":       {Required: 2, Names: []string{"a"}},
		"give durable or applied":  {Required: 1, Ack: "sent"},
		"give block or degrade":    {Required: 1, OnTimeout: "lie"},
		"above zero":               {Required: 1, Timeout: -1},
		"there twice":              {Required: 1, Names: []string{"a", "a"}},
	} {
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", c, err, want)
		}
	}
}

func TestTransactionsAgainstCachesThatAreAheadGetRare(t *testing.T) {
	var s surpassing
	now := time.Unix(1000, 0)
	for _, step := range []struct {
		after time.Duration
		last  zodb.Tid
		due   bool
	}{
		{0, 1, true},
		{time.Second, 2, false},       // the one that was written
		{61 * time.Second, 2, true},   // then two minutes
		{62 * time.Second, 2, false},  //
		{180 * time.Second, 2, false}, //
		{182 * time.Second, 2, true},  // then four
		{183 * time.Second, 7, false}, //
		{423 * time.Second, 7, true},  // somebody has committed: one
		{484 * time.Second, 2, true},
	} {
		if s.due(step.last, now.Add(step.after)) != step.due {
			t.Errorf("after %v, last %v: want %v", step.after, step.last, step.due)
		}
		if step.due {
			s.last = 2
		}
	}
}

// Clients that want to write wait for a primary as long as an election may take.
func TestHowLongWritersWaitForAPrimary(t *testing.T) {
	for ttl, want := range map[time.Duration]time.Duration{
		0: 15 * time.Second, 2 * time.Second: 15 * time.Second, 10 * time.Second: 27500 * time.Millisecond,
	} {
		n := &Node{}
		if ttl > 0 {
			n.failover = &failoverNode{timing: lease.Timing{TTL: ttl}}
		}
		if got := n.holdFor(); got != want {
			t.Errorf("with a TTL of %v they wait for %v, want %v", ttl, got, want)
		}
	}
}

// A node that was promoted meanwhile, or has got another transaction, is not rewound to what another one has.
func TestAPlanForAnotherStateIsDropped(t *testing.T) {
	n := lone(t, func(*Options) {})
	last := n.st.LastTid()
	for _, c := range []struct {
		name  string
		leads bool
		until zodb.Tid
		noted bool
	}{
		{"it leads", true, last, false},
		{"it has another transaction", false, last - 1, false},
		{"it is as it was", false, last, true},
	} {
		n.setPrimary(c.leads)
		n.rewindAfter = &rewindError{plan: &state.Rewind{
			Last: last - 2, First: last - 1, Until: c.until, Epochs: n.keep.State().Epochs, Follow: []string{"b:5000"},
		}}
		ended, noted := n.NoteRewind()
		if written := n.keep.State().Rewind != nil; !ended || noted != c.noted || written != c.noted {
			t.Errorf("%s: ended %v, noted %v: %+v", c.name, ended, noted, n.keep.State().Rewind)
		}
	}
}

// A rewind that cannot be written down is none: the session ends, and the next one asks again.
func TestARewindThatCannotBeWrittenDown(t *testing.T) {
	n := lone(t, func(*Options) {})
	full(n)
	n.rewindAfter = &rewindError{plan: &state.Rewind{Until: n.st.LastTid()}}
	if ended, noted := n.NoteRewind(); !ended || noted || n.keep.State().Rewind != nil {
		t.Errorf("ended %v, noted %v: %+v", ended, noted, n.keep.State().Rewind)
	}
}

// Where commits waited for N of M secondaries, M-N+1 of them have to vote, and the former primary is none of them.
func TestHowManyVotesAPromotionNeeds(t *testing.T) {
	own := func(n *Node) voter { return voter{n.keep.Node(), "own"} }
	b, c, former := voter{"node-b", "b"}, voter{"node-c", "c"}, voter{"node-a", "a"}
	ledByA := protocol.Epoch{Node: "node-a", By: "a"}
	ofAll := SyncConfig{Required: 1, Names: []string{"a", "own", "b"}}
	ofSecondaries := SyncConfig{Required: 1, Names: []string{"own", "b"}}
	names := func(required int, names ...string) secondary.Status {
		return secondary.Status{Sync: protocol.SyncRule{Required: required, Names: names}}
	}
	roster := secondary.Status{Sync: protocol.SyncRule{Required: 1}, Roster: []protocol.RosterEntry{
		{Node: "node-b", Name: "db"}, {Node: "node-c", Name: "db"},
	}}
	for name, k := range map[string]struct {
		sync   SyncConfig // of this node
		before secondary.Status
		last   protocol.Epoch
		voters []voter // beside this node
		want   string  // in the reason against it; empty: it has enough
	}{
		"commits did not wait":       {},
		"one of two":                 {before: names(1, "own", "b"), want: "any 2 of them; 1 have voted"},
		"both of two":                {before: names(1, "own", "b"), voters: []voter{b}},
		"two of two were waited for": {before: names(2, "own", "b")},
		"three were, of two":         {before: names(3, "own", "b")},
		"one of three":               {before: names(2, "own", "b", "c"), want: "any 2 of them; 1 have voted"},
		"two of three":               {before: names(2, "own", "b", "c"), voters: []voter{c}},
		"somebody else":              {before: names(1, "own", "b"), voters: []voter{c}, want: "1 have voted"},
		"not this node":              {before: names(1, "b", "c"), voters: []voter{b, c}},
		"by id":                      {before: names(1, "own", "node-b"), voters: []voter{b}},
		"without names, one of two":  {before: roster, voters: []voter{b}, want: "any 2 of them; 1 have voted"},
		"without names, both":        {before: roster, voters: []voter{b, c}},
		"nobody knows for whom":      {before: names(1), want: "without names"},
		"the former primary is none": {
			before: names(1, "own", "a"), voters: []voter{former}, last: protocol.Epoch{Node: "node-a"},
			want: "1 have voted",
		},
		"nor by name": {
			before: names(1, "own", "a"), voters: []voter{former}, last: protocol.Epoch{By: "a"},
			want: "1 have voted",
		},
		"another one of its name is": {
			before: names(1, "own", "a"), voters: []voter{former}, last: protocol.Epoch{Node: "node-x", By: "a"},
		},
		"an older version has noted the name of the former": {
			before: names(1, "own", "b"), voters: []voter{b}, last: protocol.Epoch{By: "a"},
		},
		"nobody knows who led, and a voter has no name": {
			before: names(1, "own", "node-b"), voters: []voter{{"node-b", ""}},
		},
		"own rule, of all nodes":      {sync: ofAll, last: ledByA, want: "any 2 of them; 1 have voted"},
		"own rule, all nodes but one": {sync: ofAll, last: ledByA, voters: []voter{b}},
		"own rule, of secondaries":    {sync: ofSecondaries, last: ledByA, want: "of 2 secondaries"},
		"own rule, enough of these":   {sync: ofSecondaries, last: ledByA, voters: []voter{b}},
	} {
		n := lone(t, func(opt *Options) {
			opt.Sync = k.sync
			for _, addr := range []string{"/a", "/b"} {
				opt.ReplicateFrom = append(opt.ReplicateFrom, nodetest.Socket(t, addr))
			}
		})
		p := &promotion{Node: n, before: k.before, last: k.last}
		voters := k.voters
		if name != "not this node" && !strings.HasPrefix(name, "without names") {
			voters = append([]voter{own(n)}, voters...)
		}
		reasons := strings.Join(p.missing(voters, "voted"), "; ")
		if k.want == "" && reasons != "" || !strings.Contains(reasons, k.want) {
			t.Errorf("%s: %q, want %q", name, reasons, k.want)
		}
	}
	n := lone(t, func(*Options) {})
	led := &promotion{Node: n, before: names(1, "own", "b"), last: protocol.Epoch{Node: n.keep.Node(), By: "own"}}
	if reasons := led.missing([]voter{own(n), b}, "voted"); reasons != nil {
		t.Errorf("a node that was the primary itself has what it acknowledged: %v", reasons)
	}
}

// A primary begins a higher epoch only where nobody can have begun one: all others answer, or so many that the rest are
// no majority of those that commits wait for. None of them leads, or has more.
func TestWhatKeepsAPrimaryFromAHigherEpoch(t *testing.T) {
	away := answer{err: errors.New("away")}
	status := func(name string, ahead zodb.Tid, leads bool) func(*Node) answer {
		return func(n *Node) answer {
			return answer{status: &protocol.NodeStatus{
				Node: "node-" + name, Name: name, LastTid: n.st.LastTid() + ahead, IsPrimary: leads,
			}}
		}
	}
	silent := func(*Node) answer { return away }
	named := SyncConfig{Required: 1, Names: []string{"own", "b", "c"}}
	for name, k := range map[string]struct {
		sync    SyncConfig
		answers []func(*Node) answer
		want    string
	}{
		"nobody else is there": {},
		"all answer":           {answers: []func(*Node) answer{status("b", 0, false), status("c", 0, false)}},
		"one leads, too":       {answers: []func(*Node) answer{status("b", 0, true)}, want: "is primary, too"},
		"one has more":         {answers: []func(*Node) answer{status("b", 1, false)}, want: "b has more"},
		"one is away":          {answers: []func(*Node) answer{status("b", 0, false), silent}, want: "not all"},
		"one is away, without names": {
			sync: SyncConfig{Required: 1}, answers: []func(*Node) answer{silent},
			want: "not all",
		},
		"one is away, and commits do not wait for those named": {
			sync: SyncConfig{Names: []string{"own", "b"}}, answers: []func(*Node) answer{status("b", 0, false), silent},
			want: "not all",
		},
		"one is away, the other votes": {sync: named, answers: []func(*Node) answer{status("b", 0, false), silent}},
		"one is away, an unnamed node does": {
			sync: named, answers: []func(*Node) answer{status("d", 0, false), silent},
			want: "1 of b, c have to answer, 0 do",
		},
		"both are away": {
			sync: named, answers: []func(*Node) answer{silent, silent},
			want: "1 of b, c have to answer, 0 do",
		},
	} {
		n := lone(t, func(opt *Options) { opt.Sync = k.sync })
		var answers []answer
		for _, a := range k.answers {
			answers = append(answers, a(n))
		}
		err := n.oppositionOf(answers)
		if (err == nil) != (k.want == "") || err != nil && !strings.Contains(err.Error(), k.want) {
			t.Errorf("%s: %v, want %q", name, err, k.want)
		}
	}
}

// A primary with a fault gives its lease up only where enough others are there for another one to take transactions.
func TestHowManyOthersAPrimaryWithAFaultNeeds(t *testing.T) {
	for name, k := range map[string]struct {
		sync SyncConfig
		want int
	}{
		"commits do not wait": {SyncConfig{}, 1},
		"one of two":          {SyncConfig{Required: 1, Names: []string{"own", "b", "c"}}, 2},
		"two of two":          {SyncConfig{Required: 2, Names: []string{"own", "b", "c"}}, 3},
		"one of three":        {SyncConfig{Required: 1, Names: []string{"b", "c", "d"}}, 3},
		"two of two, or none": {SyncConfig{Required: 2, Names: []string{"b", "c"}, OnTimeout: SyncDegrade}, 1},
		"one of any":          {SyncConfig{Required: 1}, 2},
	} {
		n := lone(t, func(opt *Options) { opt.Sync = k.sync })
		if got := n.nodesNeeded(); got != k.want {
			t.Errorf("%s: %d others, want %d", name, got, k.want)
		}
	}
}

// Of two primaries of one epoch both find the same one to go on.
func TestOfTwoPrimariesOfOneEpochBothFindTheSame(t *testing.T) {
	n := &Node{}
	for _, k := range []struct {
		begin  zodb.Tid
		node   string
		yields bool
	}{
		{5, "z", false}, {7, "a", true}, {6, "a", false}, {6, "z", true},
	} {
		id := &state.State{Node: "m", Epochs: []protocol.Epoch{{Number: 2, Begin: 6, Node: "m"}}}
		theirs := &protocol.NodeStatus{
			Node: k.node, Epochs: []protocol.Epoch{{Number: 2, Begin: k.begin, Node: k.node}}, IsPrimary: true,
		}
		other := &state.State{Node: k.node, Epochs: theirs.Epochs}
		if n.yieldsTo(id, theirs) != k.yields ||
			n.yieldsTo(other, &protocol.NodeStatus{Node: "m", Epochs: id.Epochs}) == k.yields {
			t.Errorf("%+v", k)
		}
	}
}

// A rival that stops does not end the conflict: it is primary again when it starts. One that follows another node, or
// has a later epoch, does.
func TestARivalThatStopsIsStillOne(t *testing.T) {
	id := &state.State{Node: "m", Rival: "z", Epochs: []protocol.Epoch{{Number: 2, Begin: 6, Node: "m"}}}
	own := protocol.Epoch{Number: 2, Begin: 7, Node: "z"}
	for name, c := range map[string]struct {
		status protocol.NodeStatus
		rival  string
	}{
		"primary":           {protocol.NodeStatus{Epochs: []protocol.Epoch{own}, IsPrimary: true}, "z"},
		"stopping":          {protocol.NodeStatus{Epochs: []protocol.Epoch{own}}, "z"},
		"follows a node":    {protocol.NodeStatus{Epochs: []protocol.Epoch{own}, UpstreamAddr: "m"}, ""},
		"has a later epoch": {protocol.NodeStatus{Epochs: []protocol.Epoch{own, {Number: 3, Begin: 9, Node: "c"}}}, ""},
		"has none of them":  {protocol.NodeStatus{}, ""},
	} {
		n := &Node{}
		c.status.Node = "z"
		if v := n.judgeOthers(id, []answer{{addr: "z", status: &c.status}}); v.rival != c.rival {
			t.Errorf("%s: rival %q, want %q", name, v.rival, c.rival)
		}
	}
}

// A fakeSecondary stands as it is told, and notes where it is to look for the primary.
type fakeSecondary struct {
	now   secondary.Status
	looks []string
}

func (f *fakeSecondary) Status() secondary.Status  { return f.now }
func (f *fakeSecondary) Look(addresses []string)   { f.looks = addresses }
func (f *fakeSecondary) Run(context.Context) error { return nil }

// A node that the coordinator sends to the primary is not disturbed where it follows that one, or is about to: a
// switchover to it would fail.
func TestWhoConnectsToThePrimaryIsNotDisturbed(t *testing.T) {
	for _, c := range []struct {
		now  secondary.Status
		goes bool
	}{
		{secondary.Status{Address: "b:5000", Connected: true, State: secondary.StateLive}, false},
		{secondary.Status{Address: "b:5000", State: secondary.StateConnecting}, false},
		{secondary.Status{Address: "c:5000", State: secondary.StateConnecting}, true},
		{secondary.Status{Address: "b:5000", State: secondary.StateWaiting}, true},
		{secondary.Status{Address: "c:5000", Connected: true, State: secondary.StateLive}, true},
	} {
		n, sec := lone(t, func(o *Options) { o.Starts = state.RoleSecondary }), &fakeSecondary{now: c.now}
		n.sec = sec
		if err := n.followAt("b:5000"); err != nil {
			t.Fatal(err)
		}
		n.stopFollowing()
		if goes := len(sec.looks) > 0; goes != c.goes {
			t.Errorf("%s, %s: it connects anew: %v, want %v", c.now.Address, c.now.State, goes, c.goes)
		}
	}
}

// Following can be stopped when it has ended by itself, also while nobody takes the reason of an earlier end: who takes
// these may be the one that stops it.
func TestFollowingThatHasEndedCanBeStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := lone(t, func(o *Options) { o.Starts = state.RoleSecondary })
		n.sec = &fakeSecondary{} // it ends at once
		n.ended <- errors.New("an earlier end")
		n.follow()
		synctest.Wait()
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			n.stopFollowing()
		}()
		synctest.Wait()
		select {
		case <-stopped:
		default:
			t.Error("who stops it waits for ever")
			<-n.ended // lets it go
		}
		<-stopped
	})
}
