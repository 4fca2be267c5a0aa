package lease

import (
	"fmt"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// An action is what a node that does not hold the lease is to do.
type action int

const (
	actWait     action = iota
	actAcquire         // the lease, of which the record says that it is this node's
	actCampaign        // for the lease, to lead a new epoch
	actFollow          // the holder, or nobody yet
)

// A decision is an action with its reason, for people.
type decision struct {
	action action
	why    string
	number uint64 // of the epoch to take or to campaign for
}

// decide says what a node of this status is to do that does not hold the lease. vacant is the revision at which it saw
// that the lease had become vacant, and maxLag is Options.MaxLag.
func decide(v View, self MemberStatus, vacant int64, maxLag time.Duration) decision {
	switch {
	case self.IsPrimary && superseded(v.Record, self) && v.Maintenance.On:
		return decision{why: fmt.Sprintf("fenced by epoch %d of node %s; no node is demoted during maintenance",
			v.Record.Number, v.Record.Node)}
	case self.IsPrimary && superseded(v.Record, self):
		return decision{
			action: actFollow,
			why: fmt.Sprintf("fenced by epoch %d of node %s; this node was the primary of epoch %d",
				v.Record.Number, v.Record.Node, self.Epoch),
		}
	case v.Holder == nil && self.IsPrimary && replaceable(v, self):
		return decision{why: "is primary, and leaves the lease to another node: " + self.Fault}
	case v.Holder == nil && self.IsPrimary:
		return decision{action: actAcquire, number: self.Epoch, why: "is primary, and the lease is vacant"}
	case v.Holder == nil:
		if why := ineligible(v, self, maxLag); why != "" {
			return decision{why: why}
		}
		return considerCampaign(v, self, vacant)
	case v.Holder.Node == self.Node:
		return decision{why: "waits until an earlier lease of this node expires"}
	case self.IsPrimary:
		return decision{why: fmt.Sprintf("is primary of epoch %d and waits for %s to give up the lease of epoch %d",
			self.Epoch, v.Holder.Name, v.Record.Number)}
	}
	return decision{action: actFollow, why: fmt.Sprintf("follows %s", v.Holder.Name)}
}

// replaceable reports whether a node that leads and takes no transactions shall step down: as many others can lead, and
// have its last epoch, as it takes for one of them to lead without it, and nothing is lost that clients were told of.
// Where its disk is full, those whose disks are nearly full do not count: the lease would go round among them.
func replaceable(v View, self MemberStatus) bool {
	if self.Fault == "" || v.Maintenance.On {
		return false
	}
	able, last := 0, zodb.Tid(0)
	for _, m := range v.Members {
		if m.Node != self.Node && m.Eligible && !m.IsPrimary && m.Epoch >= self.Epoch &&
			(m.DiskHasRoom || !self.DiskFull) {
			able, last = able+1, max(last, m.Tid)
		}
	}
	return able >= max(self.NeedsOthers, 1) && last >= self.NeedsTid
}

// superseded reports whether an epoch was given to somebody else since self began to lead.
func superseded(r Record, self MemberStatus) bool {
	return r.Number > self.Epoch || r.Number == self.Epoch && r.Node != self.Node
}

// ineligible says why a node that does not lead may not campaign for the vacant lease, whatever others do; empty: it
// may.
func ineligible(v View, self MemberStatus, maxLag time.Duration) string {
	behind := v.Record.Tid.Time().Sub(self.Tid.Time())
	switch {
	case v.Maintenance.On:
		return "there is no primary, and no node is promoted during maintenance"
	case v.Record.Begun == 0:
		return "the coordinator has no epoch yet; start the primary, or promote a node by hand"
	case !self.Eligible:
		return "cannot lead: " + self.Reason
	case self.Epoch < v.Record.Begun:
		return fmt.Sprintf("cannot lead: its last epoch is %d, so it may lack all of epoch %d, which has begun; "+
			"bring back a node that has it, or promote one by hand", self.Epoch, v.Record.Begun)
	case maxLag > 0 && behind > maxLag:
		return fmt.Sprintf("cannot lead: its last transaction %v is %v older than the primary's last known one, "+
			"%v, and the limit is %v; bring back a node that has it, or promote one by hand", self.Tid,
			behind.Round(time.Millisecond), v.Record.Tid, maxLag)
	}
	return ""
}

// considerCampaign says whether an eligible node campaigns, or leaves the lease to another one.
func considerCampaign(v View, self MemberStatus, vacant int64) decision {
	unheard, number := "", max(v.Record.Number, self.MaxEpochSeen)
	for _, m := range v.Members {
		number = max(number, m.MaxEpochSeen)
		switch {
		case m.Node == self.Node || !m.Eligible:
		case m.Revision <= vacant:
			unheard = m.Name
		case m.isAheadOf(self):
			return decision{why: fmt.Sprintf("leaves the lease to %s, which has transaction %v of epoch %d; this "+
				"node has %v of epoch %d", m.Name, m.Tid, m.Epoch, self.Tid, self.Epoch)}
		}
	}
	if unheard != "" {
		return decision{why: fmt.Sprintf("waits for the position of %s", unheard)}
	}
	number++
	return decision{action: actCampaign, number: number, why: fmt.Sprintf("campaigns for epoch %d", number)}
}
