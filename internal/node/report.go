package node

import (
	"fmt"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
)

// A report collects what a change of roles does, and tells it as it happens.
type report struct {
	tell  func(admin.Step)
	dry   bool
	epoch uint64
	held  *float64 // seconds for which commits were held; nil: not measured

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

// outcome is the report of what was done to a replica.
func (p *report) outcome(r *replica) admin.Change {
	last := r.st.LastTid()
	c := admin.Change{
		Done: !p.dry, Role: r.roleName(), Epoch: p.epoch, LastTid: known(last), Pause: p.held,
		Steps: p.steps, Warnings: p.warnings,
	}
	if c.Epoch == 0 && r.keep.State() != nil {
		c.Epoch = r.keep.State().Epoch().Number
	}
	return c
}

// roleName is how status calls what the node is now.
func (r *replica) roleName() string {
	if r.isLeading() {
		return rolePrimary
	}
	return roleSecondary
}
