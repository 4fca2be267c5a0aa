package referee

import (
	"fmt"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// A deed is what a node that does not hold the office is to do.
type deed int

const (
	stay     deed = iota
	take          // the office, of which the record says that it is this node's
	campaign      // for the office, to lead a new epoch
	follow        // the holder, or nobody yet
)

// A ruling is a deed with its reason, for people.
type ruling struct {
	deed   deed
	why    string
	number uint64 // of the epoch to take or to campaign for
}

// judge says what a node is to do that stands at self and has no tenure. vacant is the revision at which it saw that
// the office had become vacant, and maxLag is Options.MaxLag.
func judge(v View, self Standing, vacant int64, maxLag time.Duration) ruling {
	switch {
	case self.Leads && overtaken(v.Record, self) && v.Maintenance.On:
		return ruling{why: fmt.Sprintf("fenced by epoch %d of node %s; nobody is demoted in maintenance",
			v.Record.Number, v.Record.Node)}
	case self.Leads && overtaken(v.Record, self):
		return ruling{deed: follow, why: fmt.Sprintf("fenced by epoch %d of node %s, because this one led epoch %d",
			v.Record.Number, v.Record.Node, self.Epoch)}
	case v.Holder == nil && self.Leads && replaceable(v, self):
		return ruling{why: "leads, and leaves the office to another node: " + self.Ails}
	case v.Holder == nil && self.Leads:
		return ruling{deed: take, number: self.Epoch, why: "leads, and the office is vacant"}
	case v.Holder == nil:
		if why := unfit(v, self, maxLag); why != "" {
			return ruling{why: why}
		}
		return candidacy(v, self, vacant)
	case v.Holder.Node == self.Node:
		return ruling{why: "an earlier term of this node has to run out"}
	case self.Leads:
		return ruling{why: fmt.Sprintf("leads epoch %d and waits for %s to give up the office of epoch %d",
			self.Epoch, v.Holder.Name, v.Record.Number)}
	}
	return ruling{deed: follow, why: fmt.Sprintf("follows %s", v.Holder.Name)}
}

// replaceable reports whether a node that leads and takes no transactions is to make way: as many others are able, and
// have its last epoch, as it takes for one of them to lead without it, and nothing is lost that clients were told of.
// Where its disk is full, those whose disks are nearly full do not count: the office would go round among them.
func replaceable(v View, self Standing) bool {
	if self.Ails == "" || v.Maintenance.On {
		return false
	}
	able, last := 0, zodb.Tid(0)
	for _, m := range v.Members {
		if m.Node != self.Node && m.Able && !m.Leads && m.Epoch >= self.Epoch && (m.Room || !self.Full) {
			able, last = able+1, max(last, m.Tid)
		}
	}
	return able >= max(self.Needs, 1) && last >= self.Cedes
}

// overtaken reports whether an epoch was given to somebody else since self began to lead.
func overtaken(r Record, self Standing) bool {
	return r.Number > self.Epoch || r.Number == self.Epoch && r.Node != self.Node
}

// unfit says why a node that does not lead may not campaign for the vacant office, whatever others do; empty: it may.
func unfit(v View, self Standing, maxLag time.Duration) string {
	behind := v.Record.Tid.Time().Sub(self.Tid.Time())
	switch {
	case v.Maintenance.On:
		return "nobody leads, and nobody is promoted in maintenance"
	case v.Record.Begun == 0:
		return "the referee knows no epoch: the first one has to be that of a node that leads; start the primary, or " +
			"promote a node by hand"
	case !self.Able:
		return "cannot lead: " + self.Why
	case self.Epoch < v.Record.Begun:
		return fmt.Sprintf("cannot lead: its last epoch is %d, so that it may lack all of epoch %d, which was begun; "+
			"bring back a node that has it, or promote one by hand", self.Epoch, v.Record.Begun)
	case maxLag > 0 && behind > maxLag:
		return fmt.Sprintf("cannot lead: its last transaction %v is %v older than the last known one of the primary, "+
			"%v, and %v are allowed; bring back a node that has it, or promote one by hand", self.Tid,
			behind.Round(time.Millisecond), v.Record.Tid, maxLag)
	}
	return ""
}

// candidacy says whether a node that is fit campaigns, or leaves the office to another one.
func candidacy(v View, self Standing, vacant int64) ruling {
	unheard, number := "", max(v.Record.Number, self.Heard)
	for _, m := range v.Members {
		number = max(number, m.Heard)
		switch {
		case m.Node == self.Node || !m.Able:
		case m.Revision <= vacant:
			unheard = m.Name
		case m.Further(self):
			return ruling{why: fmt.Sprintf("leaves the office to %s, at transaction %v of epoch %d; this node is at "+
				"%v of epoch %d", m.Name, m.Tid, m.Epoch, self.Tid, self.Epoch)}
		}
	}
	if unheard != "" {
		return ruling{why: fmt.Sprintf("waits to hear how far %s is", unheard)}
	}
	number++
	return ruling{deed: campaign, number: number, why: fmt.Sprintf("campaigns for epoch %d", number)}
}
