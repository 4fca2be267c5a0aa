package admin

import (
	"context"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// Roles changes which node is primary. Methods are called concurrently; of several changes to one storage all but one
// are refused as Busy. The context bounds the whole change; what has been done when it ends is undone, or named in the
// error. tell is called for each step as it happens, and must not wait. An error is a *Refusal, or what failed.
type Roles interface {
	// Promote makes a secondary the primary.
	Promote(ctx context.Context, storage string, req PromoteRequest, tell func(Step)) (Change, error)
	// Switchover makes a secondary of this primary the primary, with nothing lost.
	Switchover(ctx context.Context, storage string, req SwitchoverRequest, tell func(Step)) (Change, error)
	// Demote makes the node a secondary, or has a secondary follow others.
	Demote(ctx context.Context, storage string, req DemoteRequest, tell func(Step)) (Change, error)
	// Freeze keeps a primary from taking transactions, until Thaw.
	Freeze(ctx context.Context, storage string, req FreezeRequest, tell func(Step)) (Change, error)
	Thaw(ctx context.Context, storage string, req FreezeRequest, tell func(Step)) (Change, error)
}

// A PromoteRequest asks a secondary to become primary.
type PromoteRequest struct {
	DryRun bool // say what would be done, or why not
	Force  bool // also where transactions may be lost
}

// A SwitchoverRequest asks a primary to hand over.
type SwitchoverRequest struct {
	DryRun bool
	To     string // the secondary: its name or its node id, as the primary's status has it
}

// A DemoteRequest asks a node to become a secondary.
type DemoteRequest struct {
	DryRun bool
	Follow []string // addresses where it looks for its primary; at least one
}

// A FreezeRequest asks a primary to take no transactions, or to take them again.
type FreezeRequest struct{ DryRun bool }

// A Step is a part of a change that was done.
type Step struct {
	Time time.Time `json:"time"`
	Text string    `json:"text"`
}

// A Change is what became of a request, or on a dry run what would.
type Change struct {
	Done     bool      `json:"done"` // false: it was a dry run, and nothing was changed
	Role     string    `json:"role"` // of the node that was asked, afterwards
	Epoch    uint64    `json:"epoch"`
	LastTid  *zodb.Tid `json:"last_tid"`      // of that node; if it gave up its role, then
	Pause    *float64  `json:"pause_seconds"` // for which no transaction could be committed; nil: not measured
	Steps    []string  `json:"steps"`
	Warnings []string  `json:"warnings"`
}
