package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// Who a node is at its start, when its state file does not say so beyond doubt: there is none, it is a copy, or the
// Data.fs is older than it. Then the node leads nothing by itself that another node could lead.
//
//	no state file      no members are known     it gets an identity
//	                   members are known        it waits until all have said that they have none; then it gets one
//	a copy             no members are known     it begins an epoch of its own
//	                   members are known        it looks for the primary and follows it
//
// --new-identity and --as-it-was say otherwise, for one start.

// toldRole is the role that the state file, or else the command line, gives the node.
func (n *Node) toldRole() state.Role {
	if id := n.keep.State(); id != nil && id.Role != "" {
		return id.Role
	}
	return n.opt.Starts
}

// role is what the node is to be: what it was told, but primary only of an epoch that is its own.
func (n *Node) role() state.Role {
	if id := n.keep.State(); n.toldRole() == state.RolePrimary && id != nil && id.Own() {
		return state.RolePrimary
	}
	return state.RoleSecondary
}

// Claim decides who the node is, as far as that can be decided before it is open. It comes first after New.
func (n *Node) Claim(ctx context.Context) error {
	switch {
	case n.opt.NewIdentity:
		return n.renewIdentity(ctx)
	case n.opt.AsItWas:
		return n.restoreIdentity()
	}
	return n.claimByState()
}

// An Identity is what a node finds out with who it is. All fields but the last two are required.
type Identity struct {
	FS     vfs.FS
	Data   string // path of the Data.fs
	Name   string // how others call this node
	Logger hclog.Logger

	// NewIdentity makes the storage a database of its own where it has no state file, or a copy of one. AsItWas makes a
	// copy the node again that it is a copy of. Both are for one start.
	NewIdentity, AsItWas bool
}

// Load reads the state file, which may not be there yet.
func (c *Identity) Load() (*state.Keeper, error) {
	keep, err := state.Open(c.FS, c.Data)
	if err != nil {
		return nil, &StartError{err}
	}
	if id := keep.State(); id != nil && id.Copied {
		c.Logger.Warn("the state file is a copy, or was moved to another disk: this node has a new node id", "file",
			id.Path(), "storage", id.StorageID, "node", id.Node, "was", id.Was, "warning", warning.CopyChanged)
	}
	if err := c.forgetImpossible(keep); err != nil {
		return nil, &StartError{err}
	}
	return keep, nil
}

// forgetImpossible drops a vote for an implausible epoch. Versions that accepted any number saved it, and then no node
// could be promoted any more.
func (c *Identity) forgetImpossible(keep *state.Keeper) error {
	id := keep.State()
	if id == nil {
		return nil
	}
	err := state.Believe(id.Highest(), id.Epoch().Number)
	if err == nil {
		return nil
	}
	c.Logger.Info("the state file has a vote for an implausible epoch: the vote is dropped", "file", id.Path(),
		"error", err)
	return keep.Update(func(id *state.State) error {
		id.MaxEpochSeen, id.MaxEpochBegun = 0, 0
		return nil
	})
}

// create gives the storage an identity, if it has none: at the first start of a primary.
func (c *Identity) create(keep *state.Keeper) error {
	if keep.State() != nil {
		return nil
	}
	if err := keep.Create(); err != nil {
		return &StartError{err}
	}
	id := keep.State()
	c.Logger.Info("gave the storage an identity", "storage", id.StorageID, "file", id.Path())
	return nil
}

// claimByState does what needs no word of an operator.
func (n *Node) claimByState() error {
	id := n.keep.State()
	switch {
	case n.toldRole() != state.RolePrimary, id != nil && id.Own():
		return nil
	case id == nil && len(n.opt.ReplicateFrom) == 0:
		return n.opt.create(n.keep)
	case id == nil:
		n.asksIdentity.Store(true)
		n.conflictFound.Store(&Conflict{Kind: ConflictIdentity, Text: "this node has no state file, and asks the " +
			"other nodes of --replicate-from whether they have one before it gives the storage an identity"})
		return nil
	case len(n.addresses()) == 0:
		n.startsEpoch = true
		return nil
	}
	c := n.notOwn(id)
	n.opt.Logger.Error("conflict: "+c.Text, "kind", c.Kind, "warning", warning.Conflict)
	return nil
}

// renewIdentity does what --new-identity says.
func (n *Node) renewIdentity(ctx context.Context) error {
	id := n.keep.State()
	if id != nil && id.Was == "" {
		n.opt.Logger.Warn("--new-identity has no effect: this node has its identity already; remove the option, or, "+
			"if this is to be another database, move the state file away", "file", id.Path(),
			"storage", id.StorageID, "warning", warning.OptionLeft)
		return n.claimByState()
	}
	for _, a := range n.askIdentity(ctx, n.addressesTold()) {
		if has := a.identity(); has != "" {
			return &StartError{fmt.Errorf("--new-identity: %s answers at %s and has the storage %s; where this node "+
				"is to be a database of its own, take that address out of --replicate-from; otherwise start it with "+
				"zrsd secondary", a.name(), a.addr, has)}
		}
	}
	if id == nil {
		return n.opt.create(n.keep)
	}
	if err := n.keep.Update(func(s *state.State) error { s.Renew(); return nil }); err != nil {
		return &StartError{err}
	}
	n.opt.Logger.Info("this storage has a new identity: it is now a separate database", "storage",
		n.keep.State().StorageID, "was",
		id.StorageID)
	return nil
}

// restoreIdentity does what --as-it-was says. A primary begins another epoch: it may have less than it once had.
func (n *Node) restoreIdentity() error {
	id := n.keep.State()
	if id == nil {
		return &StartError{fmt.Errorf("--as-it-was: there is no %s%s, and nothing else says what this node was: "+
			"restore it as well; or start the node with zrsd secondary, to follow a primary, or with --new-identity, "+
			"if this is a database of its own now", n.opt.Data, state.Suffix)}
	}
	if id.Was == "" {
		n.opt.Logger.Warn("--as-it-was has no effect: this node did not change; remove the option", "node", id.Node,
			"warning", warning.OptionLeft)
		return n.claimByState()
	}
	if err := n.keep.Update(func(s *state.State) error { s.Restore(); return nil }); err != nil {
		return &StartError{err}
	}
	n.opt.Logger.Info("this node keeps its identity and role", "node", n.keep.State().Node, "role", n.toldRole())
	if n.role() == state.RolePrimary {
		n.startsEpoch = true
		return nil
	}
	return n.claimByState()
}

// AsksIdentity reports whether this node asks the others for an identity of the storage before it makes one.
func (n *Node) AsksIdentity() bool { return n.asksIdentity.Load() }

// beginOwnEpoch makes this node, which is open and follows nobody, the primary of an epoch of its own, unless another
// node is primary.
func (n *Node) beginOwnEpoch(ctx context.Context) error {
	return n.changeInTurn(ctx, func(ctx context.Context) error {
		answers := n.askStatus(ctx, n.others())
		for _, a := range answers {
			if a.status != nil && a.status.IsPrimary {
				n.opt.Logger.Info("another node is primary: this node follows it", "primary", clean(a.status.Name),
					"address", a.addr, "epoch", a.status.Highest())
				return n.yieldTo(ctx, a.addr)
			}
		}
		return n.becomePrimary(highest(n.keep.State(), answers)+1, nil)
	})
}

// yieldTo makes this node a secondary, which leads nothing yet.
func (n *Node) yieldTo(_ context.Context, addr string) error {
	err := n.keep.Update(func(id *state.State) error {
		id.BecomeSecondary()
		id.FollowFirst([]string{addr})
		return nil
	})
	if err == nil {
		n.follow()
	}
	return err
}

// askForIdentity asks the others whether they have an identity, and makes one when all have answered that they have
// none.
func (n *Node) askForIdentity(ctx context.Context) error {
	var absent []string
	for _, a := range n.askIdentity(ctx, n.addressesTold()) {
		switch has := a.identity(); {
		case has != "":
			return n.noteIdentityConflict(fmt.Sprintf("this node has no state file, and %s at %s has the storage "+
				"%s: this node gets no identity and takes no transactions. Start it with zrsd secondary, to make it "+
				"a copy of that one; where it is to be a database of its own, with --new-identity and without that "+
				"address in --replicate-from",
				a.name(), a.addr, has))
		case a.status == nil:
			absent = append(absent, a.addr)
		case a.status.AsksIdentity:
			return n.noteIdentityConflict(fmt.Sprintf("this node has no state file, nor has %s at %s, and both were "+
				"started as primary: start one of them with zrsd secondary", a.name(), a.addr))
		}
	}
	if len(absent) > 0 {
		return n.noteIdentityConflict(fmt.Sprintf("this node has no state file, and %s does not answer, which may "+
			"know that this storage has an identity, and another primary: this node takes no transactions until it "+
			"does. Where the storage is new, or nobody else has it any more, start this node once with "+
			"--new-identity; where it was restored, with zrsd secondary", strings.Join(absent, ", ")))
	}
	return n.changeInTurn(ctx, func(context.Context) error {
		if err := n.opt.create(n.keep); err != nil {
			return err
		}
		n.setPrimary(true)
		if err := n.settleWaits(); err != nil {
			n.setPrimary(false)
			return err
		}
		n.asksIdentity.Store(false)
		n.conflictFound.Store(nil)
		n.Renew()
		n.applyAccess()
		return nil
	})
}

// noteIdentityConflict says why the node has no identity yet.
func (n *Node) noteIdentityConflict(why string) error {
	before := n.conflictFound.Swap(&Conflict{Kind: ConflictIdentity, Text: why})
	if before == nil || before.Text != why {
		n.opt.Logger.Error("conflict: "+why, "kind", ConflictIdentity, "warning", warning.Conflict)
	}
	return nil
}

// addressesTold are those of the command line.
func (n *Node) addressesTold() (list []string) {
	for _, e := range n.opt.ReplicateFrom {
		if addr := e.String(); addr != n.opt.ReplicationAddr {
			list = append(list, addr)
		}
	}
	return list
}

// A past is a storage that may be another one than its state file was kept with.
type past interface {
	LastTid() zodb.Tid
	Find(ctx context.Context, tid zodb.Tid) (filestorage.Found, error)
}

// Compare compares the data with what the state file knows of them. Where they lack what the node once had, they
// were replaced, and it is another copy now. upTo is the last transaction that is known to be as it was.
func (c *Identity) Compare(ctx context.Context, st past, keep *state.Keeper) (upTo zodb.Tid, err error) {
	id := keep.State()
	if id == nil || len(id.Chain.Checkpoints) == 0 {
		return st.LastTid(), nil
	}
	upTo, same, err := checkpointInFile(ctx, st, id)
	if err != nil {
		return 0, &StartError{fmt.Errorf("comparing %s with its state file: %w", c.Data, err)}
	}
	if same || id.Was != "" {
		return upTo, nil
	}
	c.Logger.Warn("the state file has seen transactions that the data file lacks: the data file was replaced, for "+
		"example by an older copy",
		"file", c.Data, "last_tid", st.LastTid(), "known_tid", id.Chain.Last().Tid, "warning", warning.CopyChanged)
	if err := keep.SettleBehind(); err != nil {
		return 0, &StartError{err}
	}
	return upTo, nil
}

// checkpointInFile looks for the newest checkpoint that is in the storage; its digest may be another one where
// transactions came over another protocol. same: it is the newest one of all, or a pack may have taken that away.
func checkpointInFile(ctx context.Context, st past, id *state.State) (upTo zodb.Tid, same bool, err error) {
	chain := &id.Chain
	last := st.LastTid()
	newest := chain.Last().Tid
	for i := len(chain.Checkpoints) - 1; i >= 0; i-- {
		at := chain.Checkpoints[i]
		found, err := st.Find(ctx, at.Tid) // also after the last one: tids may go down in a file
		packed := found.Status == zodb.StatusPacked
		switch {
		case errors.Is(err, zodb.ErrNoTid):
			packed = at.Tid < last && found.After.Status == zodb.StatusPacked
		case err != nil:
			return 0, false, err
		}
		if packed || err == nil && (id.ExternalHistory || found.Digest == at.Digest) {
			if at.Tid == newest {
				return last, true, nil
			}
			return at.Tid, false, nil
		}
	}
	return 0, false, nil
}

// BeginOwnEpoch is for a node that only streams the files of another process, and so has no role to claim. Where they
// are a copy, or older than its state file, it begins another epoch, so that secondaries which have more are known by
// that.
func (c *Identity) BeginOwnEpoch(keep *state.Keeper, upTo zodb.Tid) error {
	id := keep.State()
	switch {
	case id == nil:
		return c.create(keep)
	case c.NewIdentity && id.Was != "":
		return keep.Update(func(s *state.State) error { s.Renew(); return nil })
	case id.Was == "":
		return nil
	}
	return keep.Update(func(s *state.State) error {
		if c.AsItWas {
			s.Restore()
		}
		s.BeginEpoch(protocol.Epoch{
			Number: s.Highest() + 1, Begin: upTo, By: c.Name, At: time.Now().UTC().Format(time.RFC3339),
		})
		return nil
	})
}

// A StartError says that something which a node needs could not be opened or written at its start. Nothing has been
// served.
type StartError struct{ Err error }

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }
