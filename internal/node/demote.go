package node

import (
	"context"
	"fmt"
	"strings"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
)

// Demote makes this node a secondary of whoever is primary at the addresses, or has a secondary look there.
func (r *replica) Demote(ctx context.Context, req admin.DemoteRequest, tell func(admin.Step)) (out admin.Change,
	err error) {
	err = r.change(ctx, func(ctx context.Context) error {
		p := &report{tell: tell, dry: req.DryRun}
		if err := r.demote(ctx, p, req.Follow); err != nil {
			return err
		}
		out = p.outcome(r)
		if req.DryRun {
			out.Role = roleSecondary
		}
		return nil
	})
	return out, err
}

func (r *replica) demote(ctx context.Context, p *report, follow []string) error {
	if err := r.checkFollow(ctx, p, follow); err != nil {
		return err
	}
	if p.dry {
		p.step("would follow %s", strings.Join(follow, ", "))
		return nil
	}
	if !r.isLeading() {
		r.stopFollowing()
		defer r.follow()
		return r.keepFollow(p, follow)
	}
	release, err := r.st.Hold(ctx)
	if err != nil {
		return fmt.Errorf("not demoted: waiting for commits in progress: %w", err)
	}
	defer release()
	if err := r.keepFollow(p, follow); err != nil {
		return fmt.Errorf("not demoted: %w", err)
	}
	r.setLeads(false)
	r.applyAccess()
	r.renew()
	r.follow()
	p.step("is a secondary; its last transaction is %v", r.st.LastTid())
	return nil
}

func (r *replica) keepFollow(p *report, follow []string) error {
	err := r.keep.Update(func(id *state.State) error {
		id.BecomeSecondaryOf(follow)
		return nil
	})
	if err == nil {
		p.step("follows %s", strings.Join(follow, ", "))
	}
	return err
}

// checkFollow sees to it that there is somebody to follow.
func (r *replica) checkFollow(ctx context.Context, p *report, follow []string) error {
	id := r.keep.State()
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
		if r.c.TLS == nil && r.c.exposes(e) {
			err := r.c.plainText(e, "is another machine", serverFlags)
			return &admin.Refusal{Reason: admin.Invalid, Text: err.Error()}
		}
		a := r.c.request(ctx, addr, &protocol.VoteRequest{
			Version: protocol.MessageVersion, StorageID: id.StorageID, MaxEpochBegun: id.Latest(), Node: id.Node,
			Name: r.status.base.Name,
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
