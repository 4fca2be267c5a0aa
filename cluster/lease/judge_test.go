package referee

import (
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// Three members: a was the last to lead, in epoch 2; b and c have followed it.
func TestJudge(t *testing.T) {
	const vacant = 10
	member := func(node string, epoch uint64, tid uint64, revision int64) Member {
		return Member{
			Standing{Node: node, Name: node, Epoch: epoch, Heard: epoch, Tid: zodb.Tid(tid), Able: true}, revision,
		}
	}
	record := func(number uint64, node string, begun uint64) Record {
		return Record{Number: number, Node: node, Begun: begun}
	}
	last := record(2, "a", 2)
	holder := func(node string) *Standing { return &Standing{Node: node, Name: node} }
	leading := func(s Standing) Standing { s.Leads = true; return s }
	a := leading(member("a", 2, 50, 11).Standing)
	b := member("b", 2, 50, 11).Standing
	stale, unable := member("c", 2, 40, vacant), member("c", 2, 60, vacant)
	unable.Able = false
	off := Maintenance{On: true}
	with := func(m Member) View { return View{Record: last, Members: []Member{m}} }
	far, near, told := last, last, unable
	far.Tid, _ = zodb.TidFromTime(b.Tid.Time().Add(61 * time.Second))
	near.Tid, _ = zodb.TidFromTime(b.Tid.Time().Add(59 * time.Second))
	told.Heard = 7
	promoted := leading(member("b", 3, 9, 1).Standing)

	full := a
	full.Ails, full.Needs, full.Cedes = "its disk is full", 2, 50
	two := View{Record: last, Members: []Member{member("b", 2, 50, 11), member("c", 2, 49, 11)}}
	behind := View{Record: last, Members: []Member{member("b", 2, 49, 11), member("c", 2, 49, 11)}}

	roomy := func(m Member) Member { m.Room = true; return m }
	idle, failed := full, full
	idle.Full, idle.Needs, idle.Cedes = true, 1, 49
	failed.Needs, failed.Cedes = 1, 49

	for name, c := range map[string]struct {
		view View
		self Standing
		want deed
		why  string
	}{
		"a primary takes the office up again": {View{Record: last}, a, take, "vacant"},
		"also in maintenance":                 {View{Record: last, Maintenance: off}, a, take, "vacant"},
		"the first primary begins the record": {View{}, a, take, "vacant"},
		"unless it takes no transactions": {two, full, stay, "leaves the office to another node: its disk is " +
			"full"},
		"but while too few others are able":   {with(member("b", 2, 50, 11)), full, take, "vacant"},
		"or they lack what clients were told": {behind, full, take, "vacant"},
		"a full disk makes way for room": {View{Record: last, Members: []Member{roomy(behind.Members[0])}}, idle, stay,
			"leaves the office to another node"},
		"but not for disks that are nearly full": {behind, idle, take, "vacant"},
		"which a failed disk does":               {behind, failed, stay, "leaves the office"},
		"or in maintenance": {View{Record: last, Members: two.Members, Maintenance: off}, full, take,
			"vacant"},
		"one promoted by hand takes the office": {View{Record: last}, promoted, take, "vacant"},
		"or waits for it": {View{Record: last, Holder: holder("a")}, promoted, stay,
			"give up the office"},
		"a primary that was overtaken is fenced": {View{Record: record(3, "b", 3), Holder: holder("b")}, a, follow,
			"fenced"},
		"even if that epoch never began":   {View{Record: record(3, "b", 2)}, a, follow, "fenced"},
		"or another has its number":        {View{Record: record(2, "b", 2)}, a, follow, "fenced"},
		"but not in maintenance":           {View{Record: record(3, "b", 3), Maintenance: off}, a, stay, "maintenance"},
		"a secondary follows the holder":   {View{Record: last, Holder: holder("a")}, b, follow, "a"},
		"its own office has to run out":    {View{Record: last, Holder: holder("b")}, b, stay, "run out"},
		"a lone secondary campaigns":       {View{Record: last}, b, campaign, "epoch 3"},
		"not in maintenance":               {View{Record: last, Maintenance: off}, b, stay, "maintenance"},
		"not before there was a primary":   {View{}, b, stay, "knows no epoch"},
		"not without the last epoch":       {View{Record: record(3, "a", 3)}, b, stay, "may lack all of epoch 3"},
		"but without one that never began": {View{Record: record(3, "a", 2)}, b, campaign, "epoch 4"},
		"not when it cannot": {View{Record: last}, Standing{Node: "b", Epoch: 2, Why: "it copies"}, stay,
			"it copies"},
		"not when it is far behind":              {View{Record: far}, b, stay, "1m1s older"},
		"but when it is not so far":              {View{Record: near}, b, campaign, ""},
		"with a number that nobody has heard of": {with(told), b, campaign, "epoch 8"},
		"not before all were heard":              {with(stale), b, stay, "how far c"},
		"but without those that cannot":          {with(unable), b, campaign, ""},
		"the further one goes first":             {with(member("c", 2, 51, 11)), b, stay, "leaves"},
		"the epoch counts before the tid":        {with(member("c", 3, 1, 11)), b, stay, "leaves"},
		"one that is behind is not waited for":   {with(member("c", 2, 49, 11)), b, campaign, ""},
		"of equals the lower id goes first":      {with(member("c", 2, 50, 11)), b, campaign, ""},
		"or the one with more room":              {with(roomy(member("c", 2, 50, 11))), b, stay, "leaves"},
		"which is not waited for when behind":    {with(roomy(member("c", 2, 49, 11))), b, campaign, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := judge(c.view, c.self, vacant, time.Minute)
			if got.deed != c.want || !strings.Contains(got.why, c.why) {
				t.Errorf("deed %d because it %q, want deed %d, because of %q", got.deed, got.why, c.want, c.why)
			}
		})
	}
}
