package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zrsd/zrsd/admin"
	"github.com/zrsd/zrsd/identity"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// A promotion makes this node primary where the present one is gone.
type promotion struct {
	*replica
	report

	force   bool
	before  secondary.Status // of the following of the former primary
	elected *election        // nil: by hand
}

// Promote makes this secondary the primary: see docs/failover.md.
//
//	ask everybody how things stand ──▶ refuse where something could be lost, unless forced
//	promise epoch n+1, durably
//	have the others promise ─────────▶ refuse where one is further, or too few answer
//	begin the epoch, durably ────────▶ clients may write, secondaries come
//
// A refusal leaves this node a secondary.
func (r *replica) Promote(ctx context.Context, req admin.PromoteRequest, tell func(admin.Step)) (out admin.Change,
	err error) {
	err = r.change(ctx, func(ctx context.Context) error {
		p := &promotion{
			replica: r, report: report{tell: tell, dry: req.DryRun}, force: req.Force, before: r.sec.Status(),
		}
		if err := p.run(ctx); err != nil {
			return err
		}
		out = p.outcome(r)
		return nil
	})
	return out, err
}

func (p *promotion) run(ctx context.Context) error {
	if err := p.allowed(); err != nil {
		return err
	}
	standing := p.ask(ctx, 0, p.others())
	if err := p.judge(standing); err != nil {
		return err
	}
	epoch := highest(p.keep.State(), standing) + 1
	if p.dry {
		p.step("would begin epoch %d behind %v", epoch, p.st.LastTid())
		p.epoch = epoch
		return nil
	}
	return p.win(ctx, epoch, standing)
}

// allowed says whether this node can be primary at all.
func (p *promotion) allowed() error {
	switch id := p.keep.State(); {
	case p.isLeading() && !p.fenced():
		return &admin.Refusal{Reason: admin.NotAllowed, Text: fmt.Sprintf("this node is the primary already, since "+
			"epoch %d", id.Epoch().Number)}
	case id == nil:
		return &admin.Refusal{Reason: admin.NotAllowed, Text: "this secondary has never reached a primary: it has " +
			"nothing to be primary of"}
	case p.blobs.shared != nil:
		return &admin.Refusal{Reason: admin.NotAllowed, Text: "this secondary reads the primary's own blob " +
			"directory: a primary needs one that it may write to"}
	}
	if p.serves == "" {
		p.warn("no secondary can connect to this node: start it again with --replicate-to")
	}
	return nil
}

// judge refuses where the answers, or what the former primary told last, say that something would be lost.
func (p *promotion) judge(answers []answer) error {
	own := p.st.LastTid()
	var reasons []string
	seen := map[string]bool{p.keep.State().Node: true}
	for _, a := range answers {
		if a.promise == nil {
			p.warn("%v", a.err)
			continue
		}
		seen[a.promise.Node] = true
		switch {
		case p.elected.over(a.promise):
			p.warn("%s was primary; what it has behind %v it keeps for itself", a.promise.Name, own)
		case a.promise.Leads:
			reasons = append(reasons, fmt.Sprintf("%s is primary of epoch %d and answers: use zrsd switchover there",
				a.promise.Name, a.promise.Highest()))
		case a.promise.LastTid > own:
			reasons = append(reasons, further(a.promise.Name, a.promise.LastTid, own, 0))
		}
	}
	for _, m := range p.before.Roster { // those that did not answer
		if !seen[m.Node] && m.Durable > own {
			reasons = append(reasons, further(m.Name, m.Durable, own, m.Age+time.Since(p.before.Heard)))
		}
	}
	if lacks := p.before.PrimaryLast; p.before.Connections > 0 && lacks > own && !p.before.Connected {
		p.warn("the primary's last transaction was %v (%s), heard %s ago; this node has %v", lacks, stamp(lacks),
			age(time.Since(p.before.Heard)), own)
	}
	return p.refuse(reasons)
}

// further says that a node has more than this one.
func further(name string, theirs, own zodb.Tid, sampled time.Duration) string {
	return fmt.Sprintf("%s is further: it has %v (%s), this node %v, %s less; as of %s ago", name, theirs,
		stamp(theirs), own, theirs.Time().Sub(own.Time()).Round(time.Millisecond), age(sampled))
}

func stamp(t zodb.Tid) string { return t.Time().UTC().Format("2006-01-02 15:04:05.000 UTC") }

func age(d time.Duration) string { return d.Round(time.Millisecond).String() }

// refuse turns reasons into a refusal, or into warnings when it was insisted.
func (p *promotion) refuse(reasons []string) error {
	if len(reasons) == 0 {
		return nil
	}
	if p.force {
		for _, why := range reasons {
			p.warn("%s", why)
		}
		return nil
	}
	return &admin.Refusal{Reason: admin.Unsafe, Text: "not promoted: " + strings.Join(reasons, "; ") +
		"; --force promotes this node all the same"}
}

// win makes the promises, its own and those of who has answered before, and begins the epoch. Before that the node is
// not a secondary any more of anybody; it is one again after a refusal.
func (p *promotion) win(ctx context.Context, epoch uint64, standing []answer) error {
	p.stopFollowing()
	err := p.keep.Update(func(id *identity.State) error { raise(id, epoch); return nil })
	if err == nil {
		p.step("follows nobody any more, and has promised epoch %d; its last transaction is %v", epoch, p.st.LastTid())
		err = p.gather(p.ask(ctx, epoch, reached(standing)))
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = p.reign(epoch)
	}
	if err != nil {
		if !p.isLeading() {
			p.follow()
		}
		return err
	}
	p.epoch = epoch
	p.step("is primary since epoch %d, which begins behind %v", epoch, p.st.LastTid())
	return nil
}

// gather judges the promises.
func (p *promotion) gather(answers []answer) error {
	own := p.st.LastTid()
	var reasons []string
	promised := []voter{{p.keep.State().Node, p.face.base.Name}}
	for _, a := range answers {
		if a.promise == nil {
			p.warn("%v", a.err)
			continue
		}
		p.step("%s has promised epoch %d; its last transaction is %v", a.promise.Name, a.promise.Promised,
			a.promise.LastTid)
		promised = append(promised, voter{a.promise.Node, a.promise.Name})
		if a.promise.LastTid > own && !p.elected.over(a.promise) {
			reasons = append(reasons, further(a.promise.Name, a.promise.LastTid, own, 0))
		}
	}
	return p.refuse(append(reasons, p.missing(promised)...))
}

// A voter is a node that has promised.
type voter struct{ node, name string }

// missing says whether enough have promised. Where the former primary waited for N of M secondaries, each of its
// commits is on one of any M-N+1 of them: so as many have to be here, and none of them further than this node.
func (p *promotion) missing(promised []voter) []string {
	required, of, members := p.rule()
	if required == 0 {
		return nil
	}
	have := 0
	for _, name := range of {
		if slices.ContainsFunc(promised, func(m voter) bool { return m.name == name || m.node == name }) {
			have++
		}
	}
	need := max(members-required+1, 1)
	if have >= need {
		return nil
	}
	return []string{fmt.Sprintf("commits waited for %d of %d secondaries (of %s), so each is on one of any %d of "+
		"them; %d have promised", required, members, strings.Join(of, ", "), need, have)}
}

// rule returns for how many secondaries commits waited, their names, and how many of the names are secondaries.
func (p *promotion) rule() (required int, of []string, members int) {
	if told := p.before.Sync; told.Required > 0 { // by the former primary
		of = told.Names
		if len(of) == 0 {
			for _, m := range p.before.Roster {
				of = append(of, m.Name)
			}
		}
		return told.Required, of, len(of)
	}
	own := p.c.Sync // one of the names is that of the former primary
	return own.Required, own.Names, len(own.Names) - 1
}
