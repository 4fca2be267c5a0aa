package cluster

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/zodb"
)

// A report collects the steps of a change of roles, and passes them on as they happen.
type report struct {
	tell  func(admin.Step)
	dry   bool
	epoch uint64
	held  *float64 // seconds for which commits were held; nil: not measured

	lastTid zodb.Tid // of the node when it gave up its role, since it may have more by the end; 0: what it has then

	steps, warnings []string
}

func (p *report) step(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	p.steps = append(p.steps, text)
	p.tell(admin.Step{Time: time.Now().UTC(), Text: text})
}

func (p *report) warn(format string, args ...any) {
	p.warnings = append(p.warnings, fmt.Sprintf(format, args...))
}

// outcome is the report of what was done to a node that has a state.
func (p *report) outcome(n *Node) admin.Change {
	last := cmp.Or(p.lastTid, n.st.LastTid())
	c := admin.Change{
		Done: !p.dry, Role: string(n.Role()), Epoch: p.epoch, LastTid: admin.NonZero(last), Pause: p.held,
		Steps: p.steps, Warnings: p.warnings,
	}
	if c.Epoch == 0 {
		c.Epoch = n.keep.State().Epoch().Number
	}
	return c
}

// Role is what the node is now.
func (n *Node) Role() state.Role {
	if n.IsPrimary() {
		return state.RolePrimary
	}
	return state.RoleSecondary
}

// changeInTurn has f change the role, when nobody else is at it any more.
func (n *Node) changeInTurn(ctx context.Context, f func(ctx context.Context) error) error {
	select {
	case n.changing <- struct{}{}:
		defer func() { <-n.changing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return f(ctx)
}

// turnWithin is for how long a command waits for what the node does by itself, as after a change before it.
const turnWithin = 5 * time.Second

// change has f change the role, if nobody else is at it for long. Until f returns nobody can.
func (n *Node) change(ctx context.Context, f func(ctx context.Context) error) error {
	limit := time.NewTimer(turnWithin)
	defer limit.Stop()
	select {
	case n.changing <- struct{}{}:
		defer func() { <-n.changing }()
	case <-limit.C:
		return &admin.Refusal{Reason: admin.Busy, Text: "the role of this node is being changed already: try again"}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return f(ctx)
}
