package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/state"
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
func (r *replica) toldRole() state.Role {
	if id := r.keep.State(); id != nil && id.Role != "" {
		return id.Role
	}
	return r.starts
}

// role is what the node is to be: what it was told, but primary only of an epoch that is its own.
func (r *replica) role() state.Role {
	if id := r.keep.State(); r.toldRole() == state.RolePrimary && id != nil && id.Own() {
		return state.RolePrimary
	}
	return state.RoleSecondary
}

// claim decides who the node is, as far as that can be decided before it is open.
func (r *replica) claim(ctx context.Context) error {
	switch {
	case r.c.NewIdentity:
		return r.renewIdentity(ctx)
	case r.c.AsItWas:
		return r.restoreIdentity()
	}
	return r.settle()
}

// settle does what needs no word of an operator.
func (r *replica) settle() error {
	id := r.keep.State()
	switch {
	case r.toldRole() != state.RolePrimary, id != nil && id.Own():
		return nil
	case id == nil && len(r.cfg.ReplicateFrom) == 0:
		return r.c.makeIdentity(r.keep)
	case id == nil:
		r.asksIdentity.Store(true)
		r.met.Store(&dispute{kind: conflictIdentity, text: "this node has no state file, and asks the other nodes " +
			"of --replicate-from whether they have one before it gives the storage an identity"})
		return nil
	case len(r.addresses()) == 0:
		r.begins = true
		return nil
	}
	c := r.notOwn(id)
	r.c.Logger.Error("conflict: "+c.text, "kind", c.kind)
	return nil
}

// renewIdentity does what --new-identity says.
func (r *replica) renewIdentity(ctx context.Context) error {
	id := r.keep.State()
	if id != nil && id.Was == "" {
		r.c.Logger.Warn("--new-identity has no effect: this node has its identity already; remove the option, or, "+
			"if this is to be another database, move the state file away", "file", id.Path(),
			"storage", id.StorageID)
		return r.settle()
	}
	for _, a := range r.request(ctx, &protocol.VoteRequest{}, r.addressesTold()) {
		if has := a.identity(); has != "" {
			return &StartError{fmt.Errorf("--new-identity: %s answers at %s and has the storage %s; where this node "+
				"is to be a database of its own, take that address out of --replicate-from; otherwise start it with "+
				"zrsd secondary", a.name(), a.addr, has)}
		}
	}
	if id == nil {
		return r.c.makeIdentity(r.keep)
	}
	if err := r.keep.Update(func(s *state.State) error { s.Renew(); return nil }); err != nil {
		return &StartError{err}
	}
	r.c.Logger.Warn("this storage has a new identity: it is now a separate database", "storage",
		r.keep.State().StorageID, "was",
		id.StorageID)
	return nil
}

// restoreIdentity does what --as-it-was says. A primary begins another epoch: it may have less than it once had.
func (r *replica) restoreIdentity() error {
	id := r.keep.State()
	if id == nil {
		return &StartError{fmt.Errorf("--as-it-was: there is no %s%s, and nothing else says what this node was: "+
			"restore it as well; or start the node with zrsd secondary, to follow a primary, or with --new-identity, "+
			"if this is a database of its own now", r.c.Data, state.Suffix)}
	}
	if id.Was == "" {
		r.c.Logger.Warn("--as-it-was has no effect: this node did not change; remove the option", "node", id.Node)
		return r.settle()
	}
	if err := r.keep.Update(func(s *state.State) error { s.Restore(); return nil }); err != nil {
		return &StartError{err}
	}
	r.c.Logger.Warn("this node keeps its identity and role", "node", r.keep.State().Node, "role", r.toldRole())
	if r.role() == state.RolePrimary {
		r.begins = true
		return nil
	}
	return r.settle()
}

// beginOwn makes this node, which is open and follows nobody, the primary of an epoch of its own, unless another node
// is primary.
func (r *replica) beginOwn(ctx context.Context) error {
	return r.changeInTurn(ctx, func(ctx context.Context) error {
		answers := r.ask(ctx, 0, r.others())
		for _, a := range answers {
			if a.status != nil && a.status.IsPrimary {
				r.c.Logger.Error("another node is primary: this node follows it", "primary", clean(a.status.Name),
					"address", a.addr, "epoch", a.status.Highest())
				return r.give(ctx, a.addr)
			}
		}
		return r.beginReign(highest(r.keep.State(), answers)+1, nil)
	})
}

// give makes this node a secondary, which leads nothing yet.
func (r *replica) give(_ context.Context, addr string) error {
	err := r.keep.Update(func(id *state.State) error {
		id.BecomeSecondary()
		id.FollowFirst([]string{addr})
		return nil
	})
	if err == nil {
		r.follow()
	}
	return err
}

// seek asks the others whether they have an identity, and makes one when all have answered that they have none.
func (r *replica) seek(ctx context.Context) error {
	var absent []string
	for _, a := range r.request(ctx, &protocol.VoteRequest{}, r.addressesTold()) {
		switch has := a.identity(); {
		case has != "":
			return r.waits(fmt.Sprintf("this node has no state file, and %s at %s has the storage %s: this node gets "+
				"no identity and takes no transactions. Start it with zrsd secondary, to make it a copy of that one; "+
				"where it is to be a database of its own, with --new-identity and without that address in "+
				"--replicate-from",
				a.name(), a.addr, has))
		case a.status == nil:
			absent = append(absent, a.addr)
		case a.status.AsksIdentity:
			return r.waits(fmt.Sprintf("this node has no state file, nor has %s at %s, and both were started as "+
				"primary: start one of them with zrsd secondary", a.name(), a.addr))
		}
	}
	if len(absent) > 0 {
		return r.waits(fmt.Sprintf("this node has no state file, and %s does not answer, which may know that this "+
			"storage has an identity, and another primary: this node takes no transactions until it does. Where the "+
			"storage is new, or nobody else has it any more, start this node once with --new-identity; where it was "+
			"restored, with zrsd secondary", strings.Join(absent, ", ")))
	}
	return r.changeInTurn(ctx, func(context.Context) error {
		if err := r.c.makeIdentity(r.keep); err != nil {
			return err
		}
		r.setLeads(true)
		if err := r.settleWaits(); err != nil {
			r.setLeads(false)
			return err
		}
		r.asksIdentity.Store(false)
		r.met.Store(nil)
		r.renew()
		r.applyAccess()
		return nil
	})
}

// waits says why the node has no identity yet.
func (r *replica) waits(why string) error {
	if before := r.met.Swap(&dispute{kind: conflictIdentity, text: why}); before == nil || before.text != why {
		r.c.Logger.Error("conflict: "+why, "kind", conflictIdentity)
	}
	return nil
}

// addressesTold are those of the command line.
func (r *replica) addressesTold() (list []string) {
	for _, e := range r.cfg.ReplicateFrom {
		if addr := e.String(); addr != r.replicationAddr {
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

// settleFile compares the data with what the state file knows of them. Where they lack what the node once had, they
// were replaced, and it is another copy now. upTo is the last transaction that is known to be as it was.
func (c *Config) settleFile(ctx context.Context, st past, keep *state.Keeper) (upTo zodb.Tid, err error) {
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
		"file", c.Data, "last_tid", st.LastTid(), "known_tid", id.Chain.Last().Tid)
	if err := keep.Settle(); err != nil {
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
		found, err := st.Find(ctx, at.Tid) // also behind the last one: tids may go down in a file
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

// ownEpoch is what a streamer of another process's files does in place of settle: where they are a copy, or older than
// its state file, it begins another epoch, so that secondaries which have more are known by that.
func (c *Config) ownEpoch(keep *state.Keeper, upTo zodb.Tid) error {
	id := keep.State()
	switch {
	case id == nil:
		return c.makeIdentity(keep)
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
			Number: s.Highest() + 1, Begin: upTo, By: c.name(), At: time.Now().UTC().Format(time.RFC3339),
		})
		return nil
	})
}
