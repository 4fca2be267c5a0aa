package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A switchover makes a secondary of this primary the primary.
type switchover struct {
	*Node
	report

	to        string // name or id of the successor, as the operator gave it
	successor *primary.SecondaryStatus
	epoch     uint64
}

// Switchover hands over to a secondary: see docs/failover.md.
//
//	wait until the successor has nearly everything
//	hold commits ─────────────────────────┐
//	wait until it has everything          │ if a step fails here, commits continue
//	ask whether it could begin epoch n+1  │
//	step down, durably ───────────────────┤ from here there is no way back but to promote
//	tell it to take over                  │ each connection to it says the same again
//	follow it until it leads ─────────────┘ clients are disconnected, and find it
func (n *Node) Switchover(ctx context.Context, req admin.SwitchoverRequest, tell func(admin.Step)) (
	out admin.Change, err error) {
	err = n.change(ctx, func(ctx context.Context) error {
		h := &switchover{Node: n, to: req.To, report: report{tell: tell, dry: req.DryRun}}
		if err := h.awaitSuccessor(ctx); err != nil {
			return err
		}
		if err := h.run(ctx); err != nil {
			return err
		}
		out = h.outcome(n)
		out.Epoch = h.epoch
		return nil
	})
	return out, err
}

// A secondary that was disconnected for less than reconnectLimit, or when this node became primary, which is not longer
// ago than that, is waited for, and looked for each reconnectPoll.
const (
	reconnectLimit = 10 * time.Second
	reconnectPoll  = 20 * time.Millisecond
)

// awaitSuccessor finds the successor among the secondaries. One that was disconnected a moment ago, or has not
// connected yet, is waited for: a primary that has begun an epoch, or was started, has all secondaries connect again.
func (h *switchover) awaitSuccessor(ctx context.Context) error {
	for told := false; ; told = true {
		h.successor = nil
		err := h.chooseSuccessor()
		if err == nil || !h.mayConnect() || !told && !h.answers(ctx) {
			return err
		}
		if !told {
			h.step("waiting for %s, which was disconnected a moment ago", cmp.Or(h.successorName(), h.to))
		}
		if !pause.For(ctx, reconnectPoll) {
			return err
		}
	}
}

// awaitCaughtUp waits until the successor has nearly everything. A connection that ends meanwhile is waited for as at
// the beginning, and so is one over which it still catches up.
func (h *switchover) awaitCaughtUp(ctx context.Context) error {
	for told := false; ; {
		err := h.replicationServer.AwaitDurable(ctx, h.successor.Node, h.st.LastTid())
		if !errors.Is(err, primary.ErrNotConnected) {
			return err
		}
		if err := h.awaitSuccessor(ctx); err != nil {
			return err
		}
		if h.successor.State != primary.StateLive && !told {
			told = true
			h.step("waiting for %s, which is %s", h.successor.Name, h.successor.State)
		}
		if !pause.For(ctx, reconnectPoll) {
			return err
		}
	}
}

// mayConnect reports whether it is early enough for the successor to connect, or to connect again.
func (h *switchover) mayConnect() bool {
	switch s := h.successor; {
	case !h.IsPrimary() || h.Fenced() || s != nil && s.State != primary.StateDisconnected:
		return false
	case time.Since(h.leadingSince()) <= reconnectLimit:
		return true
	default:
		return s != nil && time.Since(s.GoneSince) <= reconnectLimit
	}
}

// answers reports whether a node that never connected to this primary is there; of one that did that is known.
func (h *switchover) answers(ctx context.Context) bool {
	return h.successor != nil || slices.ContainsFunc(h.askStatus(ctx, h.others()), func(a answer) bool {
		return a.status != nil && h.to != "" && (a.status.Node == h.to || a.status.Name == h.to)
	})
}

func (h *switchover) successorName() string {
	if h.successor == nil {
		return ""
	}
	return h.successor.Name
}

// chooseSuccessor finds the successor among the secondaries.
func (h *switchover) chooseSuccessor() error {
	id := h.keep.State()
	if !h.IsPrimary() || h.Fenced() {
		return &admin.Refusal{Reason: admin.NotAllowed, Text: "this node is not the primary: ask the primary to hand " +
			"over, or promote a secondary when there is none"}
	}
	h.epoch = id.Highest() + 1
	var names []string
	if h.replicationServer != nil {
		st := h.replicationServer.Status()
		for i := range st.Secondaries {
			s := &st.Secondaries[i]
			if (s.Name == h.to || s.Node == h.to && h.to != "") &&
				s.State != primary.StateHandshake && s.State != primary.StateRefused {
				h.successor = s
			}
			names = append(names, fmt.Sprintf("%s (%s)", s.Name, s.State))
		}
	}
	switch {
	case h.successor == nil:
		return &admin.Refusal{Reason: admin.Invalid, Text: fmt.Sprintf("there is no secondary %s; those of this "+
			"primary are: %s", h.to, orNone(names))}
	case h.successor.State == primary.StateDisconnected:
		return &admin.Refusal{Reason: admin.Unavailable, Text: fmt.Sprintf("%s has been disconnected since %s: its "+
			"last durable transaction is %v", h.to, h.successor.GoneSince.UTC().Format(time.RFC3339),
			h.successor.DurableTid)}
	case h.successor.State == primary.StateSeeding:
		return &admin.Refusal{Reason: admin.Unavailable, Text: h.successor.Name + " is seeding: it cannot be primary " +
			"before it has everything; zrsd status shows how far it is"}
	case h.successor.ReplicationAddr == "" || h.successor.Node == "":
		return &admin.Refusal{Reason: admin.NotAllowed, Text: fmt.Sprintf("%s cannot be primary: it has no address "+
			"for secondaries; start it with --replicate-to", h.to)}
	}
	return nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func (h *switchover) run(ctx context.Context) error {
	if h.dry {
		h.step("would hand over to %s, which has %v of %v and serves at %s, with epoch %d", h.successor.Name,
			h.successor.DurableTid, h.st.LastTid(), h.successor.ReplicationAddr, h.epoch)
		return nil
	}
	if err := h.awaitCaughtUp(ctx); err != nil {
		return h.failed("before commits were held", err)
	}
	h.step("%s has caught up", h.successor.Name)
	release, err := h.st.Hold(ctx)
	if err != nil {
		return h.failed("while commits in progress were waited for", err)
	}
	defer release()
	begun := time.Now()
	if err := h.prepare(ctx); err != nil {
		return err
	}
	if err := h.resign(); err != nil {
		return h.failed("while the handover was saved", err)
	}
	err = h.await(ctx)
	pause := time.Since(begun).Seconds()
	h.held = &pause
	h.applyAccess() // clients that write look for the new primary
	return err
}

// failed lets commits go on.
func (h *switchover) failed(when string, err error) error {
	return fmt.Errorf("not switched over: it failed %s, and this node stays primary: %w", when, err)
}

// prepare does all steps that can still be undone.
func (h *switchover) prepare(ctx context.Context) error {
	h.lastTid = h.st.LastTid()
	h.step("commits are held; the last transaction is %v", h.lastTid)
	if err := h.replicationServer.AwaitDurable(ctx, h.successor.Node, h.lastTid); err != nil {
		return h.failed("while the secondary got the last transactions", err)
	}
	if err := h.replicationServer.CheckHandover(
		ctx,
		h.successor.Node,
		&protocol.HandoverCheck{Epoch: h.epoch, Last: h.lastTid},
	); err != nil {
		return h.failed("while the secondary checked that it can take over", err)
	}
	h.step("%s has everything and is ready for epoch %d", h.successor.Name, h.epoch)
	return nil
}

// resign steps down, durably: whatever happens now, this node begins no epoch by itself.
func (h *switchover) resign() error {
	others := append([]string{h.successor.ReplicationAddr}, h.knownAddresses()...)
	return h.keep.Update(func(id *state.State) error {
		id.HandOver(h.epoch, h.successor.Node)
		id.FollowFirst(others)
		return nil
	})
}

// await notifies the successor, and follows it until it leads.
func (h *switchover) await(ctx context.Context) error {
	h.setPrimary(false)
	h.step("this node has stepped down")
	if err := h.replicationServer.TakeOver(
		h.successor.Node,
		&protocol.TakeOver{Epoch: h.epoch, Last: h.lastTid},
	); err != nil {
		h.opt.Logger.Info("cannot notify the successor; it learns of the handover when this node connects",
			"error", err)
	}
	h.Renew()
	h.follow()
	tick := time.NewTicker(awaitEvery)
	defer tick.Stop()
	for {
		if h.keep.State().Epoch().Number >= h.epoch && h.sec.Status().Connected {
			h.step("%s is primary since epoch %d", h.successor.Name, h.epoch)
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("this node has handed over to %s and has not seen it as primary yet: ask both with "+
				"zrsd status; if %s is lost, promote this node or another one: %w", h.successor.Name, h.successor.Name,
				context.Cause(ctx))
		}
	}
}

// awaitEvery is how often it is looked whether the successor leads.
const awaitEvery = 2 * time.Millisecond

// The other side: what the successor does.

// A handover is an epoch that this node is to begin after a transaction.
type handover struct {
	epoch uint64
	last  zodb.Tid
}

// CheckHandover is secondary.Successor.
func (n *Node) CheckHandover(p *protocol.HandoverCheck) error {
	id := n.keep.State()
	switch {
	case id == nil:
		return state.ErrNoState
	case state.Believe(p.Epoch, id.Highest()) != nil:
		return state.Believe(p.Epoch, id.Highest())
	case p.Epoch <= id.Highest():
		return fmt.Errorf("this node has seen epoch %d, so it cannot begin epoch %d", id.Highest(), p.Epoch)
	case n.st.LastTid() != p.Last:
		return fmt.Errorf("the last transaction here is %v, not %v", n.st.LastTid(), p.Last)
	case n.heldText() != "":
		return errors.New(n.heldText())
	}
	return nil
}

// HandedOver is primary.Member.
func (n *Node) HandedOver(h *protocol.Hello) {
	n.events.note(func(e *pendingEvents) { e.successor = &handover{h.MaxEpochSeen, h.Last.Tid} })
}

// TakeOver is secondary.Successor.
func (n *Node) TakeOver(t *protocol.TakeOver) {
	n.events.note(func(e *pendingEvents) { e.successor = &handover{t.Epoch, t.Last} })
}

// succeed makes this node primary after the former one has stepped down for it. It is idempotent: the former primary
// repeats its message until it hears of the new epoch.
func (n *Node) succeed(h *handover) error {
	id := n.keep.State()
	switch {
	case id == nil || n.IsPrimary() || h.epoch <= id.Epoch().Number:
		return nil // it has been done
	case state.Believe(h.epoch, id.Highest()) != nil:
		return state.Believe(h.epoch, id.Highest())
	case h.epoch == id.MaxEpochSeen && id.VotedFor != "" && id.VotedFor != id.Node:
		return fmt.Errorf("it is for epoch %d, and this node has voted for node %s there", h.epoch, id.VotedFor)
	case h.epoch < id.MaxEpochSeen:
		return fmt.Errorf("it is for epoch %d, and this node has since seen epoch %d", h.epoch, id.MaxEpochSeen)
	}
	n.stopFollowing()
	if last := n.st.LastTid(); last != h.last {
		n.follow()
		return fmt.Errorf("the last transaction here is %v, the former primary's is %v", last, h.last)
	}
	if err := n.becomePrimary(h.epoch, nil); err != nil {
		n.follow()
		return err
	}
	return nil
}
