package cluster

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/cluster/lease"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

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

func TestTransactionsThatNobodyAskedForGetRare(t *testing.T) {
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
	disk := nodetest.DiskWith(t, 3)
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	keep, err := state.Open(disk, "Data.fs")
	if err == nil {
		err = keep.Create()
	}
	if err != nil {
		t.Fatal(err)
	}
	last := st.LastTid()
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
		n := New(Options{
			Identity: Identity{FS: disk, Data: "Data.fs", Logger: hclog.NewNullLogger()}, Storage: st, State: keep,
		})
		n.setPrimary(c.leads)
		n.rewindAfter = &rewindError{plan: &state.Rewind{
			Last: last - 2, First: last - 1, Until: c.until, Epochs: keep.State().Epochs, Follow: []string{"b:5000"},
		}}
		ended, noted := n.NoteRewind()
		if written := keep.State().Rewind != nil; !ended || noted != c.noted || written != c.noted {
			t.Errorf("%s: ended %v, noted %v: %+v", c.name, ended, noted, keep.State().Rewind)
		}
	}
}
