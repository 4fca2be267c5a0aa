package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// A promotion makes this node primary when the present primary is lost.
type promotion struct {
	*Node
	report

	force   bool
	before  secondary.Status // of the following of the former primary
	elected *election        // nil: by hand
	last    protocol.Epoch   // the last one that any node that has answered knows
	voters  []string         // see protocol.Epoch

	lastName string // how the primary of the last epoch calls itself, where it has answered
}

// Promote makes this secondary the primary: see docs/failover.md.
//
//	ask all nodes for their status ──▶ refuse where something could be lost or too few answer, unless forced
//	follow nobody any more
//	ask the others to vote for n+1 ───▶ refuse where one is further, or too few answer now
//	tell a primary that is replaced ──▶ it takes no transactions any more
//	begin the epoch, durably ─────────▶ clients may write, secondaries come
//
// Nothing is made durable, here or elsewhere, before the answers say that the promotion will be won. A refusal leaves
// this node the secondary that it was, with no vote of its own. The votes of others by then keep them from
// following the present primary, until that has gone on under a higher number: see beginHigherEpoch.
func (n *Node) Promote(ctx context.Context, req admin.PromoteRequest, tell func(admin.Step)) (out admin.Change,
	err error) {
	err = n.change(ctx, func(ctx context.Context) error {
		p := &promotion{
			Node: n, report: report{tell: tell, dry: req.DryRun}, force: req.Force, before: n.sec.Status(),
		}
		if err := p.run(ctx); err != nil {
			return err
		}
		out = p.outcome(n)
		return nil
	})
	return out, err
}

func (p *promotion) run(ctx context.Context) error {
	if err := p.allowed(); err != nil {
		return err
	}
	if err := p.tellHidden(ctx); err != nil {
		return err
	}
	answers := p.askStatus(ctx, p.others())
	if err := p.judgeStatus(answers); err != nil {
		return err
	}
	epoch := highest(p.keep.State(), answers) + 1
	if p.dry {
		p.step("would begin epoch %d after %v", epoch, p.st.LastTid())
		p.epoch = epoch
		return nil
	}
	return p.carryOut(ctx, epoch, answers)
}

// allowed says whether this node can be primary at all.
func (p *promotion) allowed() error {
	switch id := p.keep.State(); {
	case p.IsPrimary() && !p.Fenced() && p.Conflict() == nil:
		return &admin.Refusal{Reason: admin.NotAllowed, Text: fmt.Sprintf("this node is the primary already, since "+
			"epoch %d", id.Epoch().Number)}
	case id == nil:
		return &admin.Refusal{Reason: admin.NotAllowed, Text: "this secondary has never reached a primary: it has " +
			"nothing to be primary of"}
	case p.opt.SharedBlobs:
		return &admin.Refusal{Reason: admin.NotAllowed, Text: "this secondary reads the primary's own blob " +
			"directory: a primary needs one that it may write to"}
	}
	if p.opt.ReplicationAddr == "" {
		p.warn("no secondary can connect to this node: start it again with --replicate-to")
	}
	return nil
}

// judgeStatus refuses where the answers, or what the former primary told last, say that something would be lost.
func (p *promotion) judgeStatus(answers []answer) error {
	own := p.st.LastTid()
	p.tellAge(own)
	var reasons []string
	seen := map[string]bool{p.keep.State().Node: true}
	p.last = lastEpoch(p.keep.State(), answers)
	if p.keep.State().Learner {
		reasons = append(reasons, learnerText)
	}
	if p.SpareIdle() {
		reasons = append(reasons, spareText)
	}
	if held := p.heldText(); held != "" {
		reasons = append(reasons, held)
	}
	voted := p.ownVote()
	for _, a := range answers {
		if a.status == nil {
			p.warn("%v", a.err)
			if why := p.aliveReason(a); why != "" {
				reasons = append(reasons, why)
			}
			continue
		}
		seen[a.status.Node] = true
		if a.status.Node == p.last.Node {
			p.lastName = a.status.Name
		}
		switch {
		case p.elected.over(a.status):
			p.warn("%s was primary; its transactions after %v are not replicated", a.status.Name, own)
		case p.IsPrimary() && rivals(p.keep.State(), a.status):
			p.warn(
				"%s is also primary of this epoch, from after %v: set aside its transactions up to %v that this "+
					"node lacks, there with zrsd rewind",
				a.status.Name,
				p.keep.State().Epoch().Begin,
				a.status.LastTid,
			)
		case faultOf(a.status) != "" && a.status.LastTid <= own:
			p.warn("%s", faultOf(a.status))
		case faultOf(a.status) != "":
			reasons = append(reasons, faultOf(a.status)+"; "+hasMore(a.status.Name, a.status.LastTid, own, 0))
		case a.status.IsPrimary:
			reasons = append(reasons, fmt.Sprintf("%s is primary of epoch %d and answers: use zrsd switchover there",
				a.status.Name, a.status.Begun()))
		case a.status.LastTid > own:
			reasons = append(reasons, hasMore(a.status.Name, a.status.LastTid, own, 0))
		default:
			voted = p.counted(voted, a.status)
		}
	}
	for _, m := range p.before.Roster { // those that did not answer
		if !seen[m.Node] && m.Durable > own {
			reasons = append(reasons, hasMore(m.Name, m.Durable, own, m.Age+time.Since(p.before.Heard)))
		}
	}
	if lacks := p.before.PrimaryLast; p.before.Connections > 0 && lacks > own && !p.before.Connected {
		p.warn("the primary's last transaction was %v (%s), heard %s ago; this node has %v", lacks, lacks.Stamp(),
			age(time.Since(p.before.Heard)), own)
	}
	return p.refuse(append(reasons, p.missing(voted, "answered")...))
}

// tellAge says how old what this node has is, and when its primary was last there.
func (p *promotion) tellAge(own zodb.Tid) {
	if own != 0 {
		p.step("the last transaction here is %v, of %s ago", own, age(time.Since(own.Time())))
	}
	if p.before.Heard.IsZero() {
		return
	}
	who := "the primary"
	if p.before.PrimaryName != "" {
		who += " " + p.before.PrimaryName
	}
	p.step("%s was last heard at %s, %s ago", who, p.before.Heard.UTC().Format("2006-01-02 15:04:05 UTC"),
		age(time.Since(p.before.Heard)))
}

// learnerText says why a learner does not lead.
const learnerText = "this copy was begun anew, or from older files, and has not caught up with a primary since: it " +
	"may lack transactions that clients were told of"

// aliveReason says that somebody is there who would not say how it stands: it may be the primary. An election has the
// word of the coordinator that it is none any more.
func (p *promotion) aliveReason(a answer) string {
	var n *protocol.Refusal
	if p.elected != nil || !errors.As(a.err, &n) || n.Code == protocol.CodeWrongStorage {
		return ""
	}
	return fmt.Sprintf("the node at %s is alive and may be the primary: it refused to tell its status (%s)",
		a.addr, n.Text)
}

// hasMore says that a node has more than this one.
func hasMore(name string, theirs, own zodb.Tid, sampled time.Duration) string {
	return fmt.Sprintf("%s has more: it has %v (%s), this node has %v, %s less; as of %s ago", name, theirs,
		theirs.Stamp(), own, theirs.Time().Sub(own.Time()).Round(time.Millisecond), age(sampled))
}

func age(d time.Duration) string { return d.Round(time.Millisecond).String() }

// refuse turns reasons into a refusal, or into warnings when it was insisted.
func (p *promotion) refuse(reasons []string) error {
	if len(reasons) == 0 {
		return nil
	}
	if p.force {
		for _, why := range reasons {
			if !slices.Contains(p.warnings, why) {
				p.warn("%s", why)
			}
		}
		return nil
	}
	return &admin.Refusal{Reason: admin.Unsafe, Text: "not promoted: " + strings.Join(reasons, "; ") +
		"; --force promotes this node anyway"}
}

// carryOut asks those that have answered before for their votes, and begins the epoch. Its own vote is that the node
// follows no other from here on, and votes for no other while its role changes; it becomes durable together with the
// epoch. After a refusal it is a secondary again. A primary that is to be replaced is asked last: it stops only for a
// promotion that cannot be refused any more.
func (p *promotion) carryOut(ctx context.Context, epoch uint64, answers []answer) error {
	p.stopFollowing()
	if err := p.stopTransactions(ctx); err != nil {
		return err
	}
	p.step("has stopped following and asks for epoch %d; its last transaction is %v", epoch, p.st.LastTid())
	replaced, others := leaders(answers)
	err := p.judgeVotes(p.askVote(ctx, epoch, reached(others)))
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		p.reportReplaced(p.askVote(ctx, epoch, reached(replaced)))
	}
	if err == nil {
		err = p.becomePrimary(epoch, p.voters)
	}
	if err != nil {
		if !p.IsPrimary() {
			p.follow()
		}
		return err
	}
	p.step("is primary since epoch %d, which begins after %v", epoch, p.keep.State().Epoch().Begin)
	return nil
}

// judgeVotes judges the votes.
func (p *promotion) judgeVotes(answers []answer) error {
	own := p.st.LastTid()
	var reasons []string
	voted := p.ownVote()
	p.voters = voters(p.keep.State(), own, answers)
	for _, a := range answers {
		if a.status == nil {
			p.warn("%v", a.err)
			continue
		}
		p.step("%s has voted for epoch %d; its last transaction is %v", a.status.Name, a.status.MaxEpochSeen,
			a.status.LastTid)
		if a.status.LastTid > own && !p.elected.over(a.status) {
			reasons = append(reasons, hasMore(a.status.Name, a.status.LastTid, own, 0))
		}
		voted = p.counted(voted, a.status)
	}
	return p.refuse(append(reasons, p.missing(voted, "voted")...))
}

// counted adds a node that has answered to those whose votes count. A learner may lack what it, or the node that was
// at its place, has acknowledged: that it has no more than this node proves nothing.
func (p *promotion) counted(voted []voter, s *protocol.NodeStatus) []voter {
	if !s.Learner {
		return append(voted, voter{s.Node, s.Name})
	}
	p.warn("the vote of %s does not count: it was begun anew, and has not caught up with a primary since", s.Name)
	return voted
}

// voters returns the nodes that have voted, this one first, of which it is sure that this one, with the transaction
// own as its last, has everything that they have from the last epoch: it is the last one of theirs, too, they have
// heard of no later one, and are no further. Nothing, where this node has heard of a later one.
func voters(id *state.State, own zodb.Tid, answers []answer) []string {
	if id.Latest() != id.Epoch().Number {
		return nil
	}
	list := []string{id.Node}
	for _, a := range answers {
		p := a.status
		if p == nil || p.Learner || p.LastTid > own || len(p.Epochs) == 0 || p.Begun() != id.Epoch().Number ||
			!p.Epochs[len(p.Epochs)-1].Same(id.Epoch()) || slices.Contains(list, p.Node) {
			continue
		}
		if list = append(list, p.Node); len(list) == protocol.MaxVoters {
			break
		}
	}
	return list
}

// leaders parts the answers of nodes that lead from all others.
func leaders(answers []answer) (leading, others []answer) {
	for _, a := range answers {
		if a.status != nil && a.status.IsPrimary {
			leading = append(leading, a)
		} else {
			others = append(others, a)
		}
	}
	return leading, others
}

// reportReplaced reports what the primary that is replaced has said to that.
func (p *promotion) reportReplaced(answers []answer) {
	for _, a := range answers {
		if a.status == nil {
			p.warn("the replaced primary could not be reached at the end: %v", a.err)
			continue
		}
		p.step("%s takes no more transactions; its last one is %v", a.status.Name, a.status.LastTid)
	}
}

// ownVote is the list of voters that this node is the first of.
func (p *promotion) ownVote() []voter {
	if p.keep.State().Learner {
		return nil
	}
	return []voter{{p.keep.State().Node, p.opt.Name}}
}

// A voter is a node that has voted.
type voter struct{ node, name string }

// votes returns how many of the names have a voter: each name one, and each voter one name.
func votes(names []string, voters []voter) int {
	free := slices.Clone(names)
	for _, v := range voters {
		if i := slices.IndexFunc(free, func(name string) bool { return v.name == name || v.node == name }); i >= 0 {
			free = slices.Delete(free, i, i+1)
		}
	}
	return len(names) - len(free)
}

// missing says whether enough have voted. Where the former primary waited for N of M secondaries, each of its
// commits is on one of any M-N+1 of them: so as many have to be here, and none of them further than this node.
func (p *promotion) missing(voted []voter, did string) []string {
	rule := p.rule()
	switch {
	case rule.required == 0:
		return nil
	case len(rule.ids) == 0:
		return []string{fmt.Sprintf("commits wait for secondaries without names (%d), and this node has not learned "+
			"their ids since its start, so no node knows which of them have the last commits; promote a node that "+
			"followed the primary to the end", rule.required)}
	}
	secondaries := slices.DeleteFunc(voted, p.ledLast)
	need, have := max(rule.members-rule.required+1, 1), votes(rule.ids, secondaries)
	if have >= need {
		return nil
	}
	return []string{fmt.Sprintf("commits waited for %d of %d secondaries (of %s), so each is on one of any %d of "+
		"them; %d have %s", rule.required, rule.members, strings.Join(rule.names, ", "), need, have, did)}
}

// ledLast reports whether a voter is the former primary, another than this node: its transactions do not show what
// others have acknowledged to it.
func (p *promotion) ledLast(v voter) bool {
	switch {
	case v.node == p.keep.Node():
		return false // which has everything of its own time
	case p.last.Node != "":
		return v.node == p.last.Node
	}
	return p.last.By != "" && v.name == p.last.By // noted by an older version
}

// lastEpoch returns the last epoch that a node or one of those that have answered knows.
func lastEpoch(id *state.State, answers []answer) protocol.Epoch {
	last := id.Epoch()
	for _, a := range answers {
		if a.status == nil || len(a.status.Epochs) == 0 {
			continue
		}
		if e := a.status.Epochs[len(a.status.Epochs)-1]; e.Number > last.Number {
			last = e
		}
	}
	return last
}

// secondariesAmong returns how many of the names in this node's own rule are those of secondaries of the former
// primary: all of them, or all but one where the list has that primary's name, too. Where this is not known, all count.
func (p *promotion) secondariesAmong(names []string) int {
	others := 0
	for _, e := range p.opt.ReplicateFrom {
		if e.String() != p.opt.ReplicationAddr {
			others++
		}
	}
	led := func(name string) bool { return name == p.last.By || name == p.last.Node || name == p.lastName }
	if len(names) > others || slices.ContainsFunc(names, led) { // of all nodes, or of that one among others
		return len(names) - 1
	}
	return len(names)
}

// A waitRule is for how many secondaries commits waited.
type waitRule struct {
	required int
	ids      []string // by name or node id
	names    []string // the same for people
	members  int      // how many of them are secondaries
}

// rule returns that of the former primary, as it has told it or else as this node would have it.
func (p *promotion) rule() waitRule {
	told := p.before.Sync
	switch {
	case told.Required == 0:
		own := p.opt.Sync
		return waitRule{own.Required, own.Names, own.Names, p.secondariesAmong(own.Names)}
	case len(told.Names) > 0:
		return waitRule{told.Required, told.Names, told.Names, len(told.Names)}
	}
	rule := waitRule{required: told.Required, members: len(p.before.Roster)}
	for _, m := range p.before.Roster { // where names say nothing, two nodes may have the same
		rule.ids, rule.names = append(rule.ids, m.Node), append(rule.names, m.Name)
	}
	return rule
}

// An election is a promotion to a leader lease that the coordinator has given. The former primary cannot get it back
// without this node knowing, so it is no reason to refuse that it still answers. What it has more than others was told
// to nobody in a lease that waited for secondaries, and else it is set aside there, as if it were gone.
type election struct {
	former map[string]bool // nodes that led when they were asked first
}

// over reports whether the node that answered is a former primary. It is nobody where there was no election.
func (e *election) over(p *protocol.NodeStatus) bool {
	if e == nil {
		return false
	}
	if p.IsPrimary {
		e.former[p.Node] = true
	}
	return e.former[p.Node]
}

// elect makes this node primary of the epoch for which it got the leader lease. The rules of a promotion by hand hold,
// and nobody can insist: where something that was acknowledged could be lost, it is refused.
func (n *Node) elect(ctx context.Context, number uint64, tell func(admin.Step)) error {
	if n.IsPrimary() && n.keep.State().Epoch().Number == number {
		return nil
	}
	e := &election{former: make(map[string]bool)}
	p := &promotion{Node: n, report: report{tell: tell}, before: n.sec.Status(), elected: e}
	if err := p.allowed(); err != nil {
		return err
	}
	answers := p.askStatus(ctx, p.others())
	if err := p.judgeStatus(answers); err != nil {
		return err
	}
	if top := highest(p.keep.State(), answers); top >= number {
		return fmt.Errorf("epoch %d cannot begin: members have heard of epoch %d", number, top)
	}
	return p.carryOut(ctx, number, answers)
}
