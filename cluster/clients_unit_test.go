package cluster

import (
	"testing"
	"time"

	"github.com/zrsd/zrsd/cluster/lease"
	"github.com/zrsd/zrsd/zodb"
)

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
