package cluster

import (
	"context"
	"fmt"
	"strings"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/protocol"
)

// Demote makes this node a secondary of the primary at the addresses, or has a secondary look there.
func (n *Node) Demote(ctx context.Context, req admin.DemoteRequest, tell func(admin.Step)) (out admin.Change,
	err error) {
	err = n.change(ctx, func(ctx context.Context) error {
		p := &report{tell: tell, dry: req.DryRun}
		if err := n.demote(ctx, p, req.Follow); err != nil {
			return err
		}
		out = p.outcome(n)
		if req.DryRun {
			out.Role = string(state.RoleSecondary)
		}
		return nil
	})
	return out, err
}

func (n *Node) demote(ctx context.Context, p *report, follow []string) error {
	if err := n.checkFollow(ctx, p, follow); err != nil {
		return err
	}
	if p.dry {
		p.step("would follow %s", strings.Join(follow, ", "))
		return nil
	}
	if !n.IsPrimary() {
		n.stopFollowing()
		defer n.follow()
		return n.keepFollow(p, follow)
	}
	release, err := n.st.Hold(ctx)
	if err != nil {
		return fmt.Errorf("not demoted: waiting for commits in progress: %w", err)
	}
	defer release()
	if err := n.keepFollow(p, follow); err != nil {
		return fmt.Errorf("not demoted: %w", err)
	}
	p.lastTid = n.st.LastTid()
	n.setPrimary(false)
	n.applyAccess()
	n.Renew()
	n.follow()
	p.step("is a secondary; its last transaction is %v", p.lastTid)
	return nil
}

func (n *Node) keepFollow(p *report, follow []string) error {
	err := n.keep.Update(func(id *state.State) error {
		id.BecomeSecondaryOf(follow)
		return nil
	})
	if err == nil {
		p.step("follows %s", strings.Join(follow, ", "))
	}
	return err
}

// checkFollow checks that there is a node to follow.
func (n *Node) checkFollow(ctx context.Context, p *report, follow []string) error {
	id := n.keep.State()
	switch {
	case id == nil:
		return &admin.Refusal{Reason: admin.NotAllowed, Text: state.ErrNoState.Error()}
	case len(follow) == 0 || len(follow) > state.MaxMembers:
		return &admin.Refusal{Reason: admin.Invalid, Text: fmt.Sprintf("%d addresses to follow: give 1 to %d",
			len(follow), state.MaxMembers)}
	}
	led, reached := false, false
	for _, addr := range follow {
		e, err := endpoint.Parse(addr)
		if err != nil {
			return &admin.Refusal{Reason: admin.Invalid, Text: err.Error()}
		}
		if n.opt.MayDial != nil {
			if err := n.opt.MayDial(e); err != nil {
				return &admin.Refusal{Reason: admin.Invalid, Text: err.Error()}
			}
		}
		a := n.askStatusAt(ctx, addr, protocol.StatusRequest{
			Version: protocol.MessageVersion, StorageID: id.StorageID, MaxEpochBegun: id.Latest(), Node: id.Node,
			Name: n.opt.Name,
		})
		switch {
		case a.status == nil:
			p.warn("%v", a.err)
		case a.status.Node == id.Node:
			p.warn("%s is this node itself", addr)
		default:
			reached = true
			led = led || a.status.IsPrimary
		}
	}
	if !reached {
		return &admin.Refusal{Reason: admin.Unavailable, Text: "not demoted: nobody answers at " +
			strings.Join(follow, ", ") + ": " + strings.Join(p.warnings, "; ")}
	}
	if !led {
		p.warn("none of %s is primary: no commits are possible until a node is promoted", strings.Join(follow, ", "))
	}
	return nil
}

// Freeze keeps this primary from taking transactions; it serves readers and secondaries as before, and stays frozen
// across restarts.
func (n *Node) Freeze(ctx context.Context, req admin.FreezeRequest, tell func(admin.Step)) (admin.Change, error) {
	return n.setFrozen(ctx, req, tell, true)
}

// Thaw lets it take transactions again.
func (n *Node) Thaw(ctx context.Context, req admin.FreezeRequest, tell func(admin.Step)) (admin.Change, error) {
	return n.setFrozen(ctx, req, tell, false)
}

func (n *Node) setFrozen(ctx context.Context, req admin.FreezeRequest, tell func(admin.Step), frozen bool) (
	out admin.Change, err error) {
	err = n.change(ctx, func(ctx context.Context) error {
		p := &report{tell: tell, dry: req.DryRun}
		if err := n.freeze(ctx, p, frozen); err != nil {
			return err
		}
		out = p.outcome(n)
		return nil
	})
	return out, err
}

func (n *Node) freeze(ctx context.Context, p *report, frozen bool) error {
	id := n.keep.State()
	switch {
	case !n.IsPrimary() || n.Fenced():
		return &admin.Refusal{Reason: admin.NotAllowed, Text: "this node is not the primary: it takes no transactions"}
	case id.Frozen == frozen:
		p.warn("nothing to do: this is already the case")
		return nil
	case p.dry:
		p.step("%s", frozenText(frozen, "would take"))
		return nil
	}
	release, err := n.st.Hold(ctx)
	if err != nil {
		return fmt.Errorf("waiting for commits in progress: %w", err)
	}
	defer release()
	if err := n.keep.Update(func(id *state.State) error { id.Frozen = frozen; return nil }); err != nil {
		return err
	}
	n.applyAccess()
	p.step("%s", frozenText(frozen, "takes"))
	if frozen {
		n.opt.Logger.Warn("this primary "+frozenText(true, "takes"), "last_tid", n.st.LastTid(),
			"warning", warning.Frozen)
	} else {
		n.opt.Logger.Info("this primary "+frozenText(false, "takes"), "last_tid", n.st.LastTid())
	}
	return nil
}

func frozenText(frozen bool, takes string) string {
	if frozen {
		return takes + " no transactions until it is thawed"
	}
	return takes + " transactions"
}
