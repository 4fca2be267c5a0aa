package lease

import (
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// Three members: a was the last to lead, in epoch 2; b and c have followed it.
func TestDecide(t *testing.T) {
	const vacant = 10
	member := func(node string, epoch uint64, tid uint64, revision int64) Member {
		return Member{
			MemberStatus{
				Node:         node,
				Name:         node,
				Epoch:        epoch,
				MaxEpochSeen: epoch,
				Tid:          zodb.Tid(tid),
				Eligible:     true,
			},
			revision,
		}
	}
	record := func(number uint64, node string, begun uint64) Record {
		return Record{Number: number, Node: node, Begun: begun}
	}
	last := record(2, "a", 2)
	holder := func(node string) *MemberStatus { return &MemberStatus{Node: node, Name: node} }
	leading := func(s MemberStatus) MemberStatus { s.IsPrimary = true; return s }
	a := leading(member("a", 2, 50, 11).MemberStatus)
	b := member("b", 2, 50, 11).MemberStatus
	stale, unable := member("c", 2, 40, vacant), member("c", 2, 60, vacant)
	unable.Eligible = false
	off := Maintenance{On: true}
	with := func(m Member) View { return View{Record: last, Members: []Member{m}} }
	far, near, told := last, last, unable
	far.Tid, _ = zodb.TidFromTime(b.Tid.Time().Add(61 * time.Second))
	near.Tid, _ = zodb.TidFromTime(b.Tid.Time().Add(59 * time.Second))
	told.MaxEpochSeen = 7
	promoted := leading(member("b", 3, 9, 1).MemberStatus)

	full := a
	full.Fault, full.NeedsOthers, full.NeedsTid = "its disk is full", 2, 50
	two := View{Record: last, Members: []Member{member("b", 2, 50, 11), member("c", 2, 49, 11)}}
	behind := View{Record: last, Members: []Member{member("b", 2, 49, 11), member("c", 2, 49, 11)}}

	roomy := func(m Member) Member { m.DiskHasRoom = true; return m }
	idle, failed := full, full
	idle.DiskFull, idle.NeedsOthers, idle.NeedsTid = true, 1, 49
	failed.NeedsOthers, failed.NeedsTid = 1, 49

	alone, otherPrimary := full, member("c", 2, 60, 11)
	alone.NeedsOthers, otherPrimary.IsPrimary = 1, true
	excused := b
	excused.Fault = "none of a primary"

	for name, c := range map[string]struct {
		view View
		self MemberStatus
		want action
		why  string
	}{
		"a primary takes the lease up again":  {View{Record: last}, a, actAcquire, "vacant"},
		"also in maintenance":                 {View{Record: last, Maintenance: off}, a, actAcquire, "vacant"},
		"the first primary begins the record": {View{}, a, actAcquire, "vacant"},
		"unless it takes no transactions": {two, full, actWait, "leaves the lease to another node: its disk is " +
			"full"},
		"but while too few others are able":   {with(member("b", 2, 50, 11)), full, actAcquire, "vacant"},
		"or they lack what clients were told": {behind, full, actAcquire, "vacant"},
		"a full disk makes way for room": {
			View{Record: last, Members: []Member{roomy(behind.Members[0])}}, idle, actWait,
			"leaves the lease to another node"},
		"but not for disks that are nearly full": {behind, idle, actAcquire, "vacant"},
		"which a failed disk does":               {behind, failed, actWait, "leaves the lease"},
		"it is not among those others":           {with(member("a", 2, 50, 11)), alone, actAcquire, "vacant"},
		"nor is one that cannot":                 {with(unable), alone, actAcquire, "vacant"},
		"nor another primary":                    {with(otherPrimary), alone, actAcquire, "vacant"},
		"nor one that lacks its epoch":           {with(member("c", 1, 60, 11)), alone, actAcquire, "vacant"},
		"while one holds the lease it waits for that": {
			View{Record: last, Holder: holder("c"), Members: two.Members}, full, actWait, "give up the lease"},
		"or in maintenance": {View{Record: last, Members: two.Members, Maintenance: off}, full, actAcquire,
			"vacant"},
		"one promoted by hand takes the lease": {View{Record: last}, promoted, actAcquire, "vacant"},
		"or waits for it": {View{Record: last, Holder: holder("a")}, promoted, actWait,
			"give up the lease"},
		"a primary that was overtaken is fenced": {View{Record: record(3, "b", 3), Holder: holder("b")}, a, actFollow,
			"fenced"},
		"even if that epoch never began": {View{Record: record(3, "b", 2)}, a, actFollow, "fenced"},
		"or another has its number":      {View{Record: record(2, "b", 2)}, a, actFollow, "fenced"},
		"but not in maintenance": {
			View{Record: record(3, "b", 3), Maintenance: off}, a, actWait, "maintenance",
		},
		"a secondary follows the holder": {View{Record: last, Holder: holder("a")}, b, actFollow, "a"},
		"also in maintenance, in a later epoch": {
			View{Record: record(3, "a", 3), Holder: holder("a"), Maintenance: off}, b, actFollow, "follows a"},
		"what it lacks in it is not a fault": {two, excused, actCampaign, "epoch 3"},
		"it does not wait for its own words": {with(member("b", 2, 50, vacant)), b, actCampaign, "epoch 3"},
		"its own lease has to expire":        {View{Record: last, Holder: holder("b")}, b, actWait, "expires"},
		"a lone secondary campaigns":         {View{Record: last}, b, actCampaign, "epoch 3"},
		"not in maintenance":                 {View{Record: last, Maintenance: off}, b, actWait, "maintenance"},
		"not before there was a primary":     {View{}, b, actWait, "has no epoch"},
		"not without the last epoch":         {View{Record: record(3, "a", 3)}, b, actWait, "may lack all of epoch 3"},
		"but without one that never began":   {View{Record: record(3, "a", 2)}, b, actCampaign, "epoch 4"},
		"not when it cannot": {View{Record: last}, MemberStatus{Node: "b", Epoch: 2, Reason: "it copies"}, actWait,
			"it copies"},
		"not when it is far behind":              {View{Record: far}, b, actWait, "1m1s older"},
		"but when it is not so far":              {View{Record: near}, b, actCampaign, ""},
		"with a number that nobody has heard of": {with(told), b, actCampaign, "epoch 8"},
		"not before all were heard":              {with(stale), b, actWait, "position of c"},
		"but without those that cannot":          {with(unable), b, actCampaign, ""},
		"the further one goes first":             {with(member("c", 2, 51, 11)), b, actWait, "leaves"},
		"the epoch counts before the tid":        {with(member("c", 3, 1, 11)), b, actWait, "leaves"},
		"one that is behind is not waited for":   {with(member("c", 2, 49, 11)), b, actCampaign, ""},
		"of equals the lower id goes first":      {with(member("c", 2, 50, 11)), b, actCampaign, ""},
		"or the one with more room":              {with(roomy(member("c", 2, 50, 11))), b, actWait, "leaves"},
		"which is not waited for when behind":    {with(roomy(member("c", 2, 49, 11))), b, actCampaign, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := decide(c.view, c.self, vacant, time.Minute)
			if got.action != c.want || !strings.Contains(got.why, c.why) {
				t.Errorf("action %d because it %q, want action %d, because of %q", got.action, got.why, c.want, c.why)
			}
		})
	}
}
