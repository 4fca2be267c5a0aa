package node

import (
	"context"
	"fmt"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/protocol"
)

// An election is a promotion to a leader lease that the coordinator has given. The former primary cannot get it back
// without this node knowing, so it is no reason to refuse that it still answers. What it has more than others was told
// to nobody in a lease that waited for secondaries, and else it is set aside there, as if it were gone.
type election struct {
	former map[string]bool // nodes that led when they were asked first
}

// over reports whether the node that promised is a former primary. It is nobody where there was no election.
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
func (r *replica) elect(ctx context.Context, number uint64, tell func(admin.Step)) error {
	if r.isLeading() && r.keep.State().Epoch().Number == number {
		return nil
	}
	e := &election{former: make(map[string]bool)}
	p := &promotion{replica: r, report: report{tell: tell}, before: r.sec.Status(), elected: e}
	if err := p.allowed(); err != nil {
		return err
	}
	answers := p.ask(ctx, 0, p.others())
	if err := p.judge(answers); err != nil {
		return err
	}
	if top := highest(p.keep.State(), answers); top >= number {
		return fmt.Errorf("epoch %d cannot begin: members have heard of epoch %d", number, top)
	}
	return p.win(ctx, number, answers)
}
