package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// oidGap is how many oids a new primary leaves out. The one before gave clients up to 100 oids each in advance; those
// that were not used by then are not known here, and must not be given to somebody else.
const oidGap = 1 << 20

// beginReign begins an epoch: this node is primary from here on. Nobody is followed at this time. The epoch is durable
// before the first transaction of it can begin. voters are those of protocol.Epoch.
func (r *replica) beginReign(epoch uint64, voters []string) error {
	last := r.st.LastTid()
	if err := r.beginEpoch(epoch, last, voters); err != nil {
		return err
	}
	r.met.Store(nil)
	r.st.SkipOids(oidGap)
	r.setLeads(true)
	r.renew() // before there is a transaction of the epoch: nobody gets that who does not know of it
	if err := r.open(r.life); err != nil {
		select {
		case r.ended <- err: // what can neither lead nor follow ends
		default: // it does so already
		}
		return err
	}
	r.applyAccess()
	select {
	case r.begun <- struct{}{}:
	default: // it is about to tell the others
	}
	r.c.Logger.Warn("this node is now the primary", "epoch", epoch, "last_tid", last)
	return nil
}

// beginEpoch writes down that this node is primary of an epoch from behind a transaction on. What clients were told by
// a primary that goes on is part of what that notes of it already.
func (r *replica) beginEpoch(epoch uint64, last zodb.Tid, voters []string) error {
	others, goesOn := r.known(), r.isLeading()
	return r.keep.Update(func(id *state.State) error {
		if epoch <= id.Latest() || epoch < id.MaxEpochSeen {
			return fmt.Errorf("epoch %d cannot begin: this node is in epoch %d and has seen epoch %d", epoch,
				id.Epoch().Number, id.Highest())
		}
		if id.Epoch().Begin > last {
			voters = nil // the epoch that they had is forgotten
		}
		id.BecomePrimary(protocol.Epoch{
			Number: epoch, Begin: last, By: r.status.base.Name, At: time.Now().UTC().Format(time.RFC3339),
			Voters: voters,
		})
		if !goesOn {
			id.Waits = r.waitsFrom(id)
		}
		id.FollowFirst(others)
		return nil
	})
}

// renew makes secondaries connect again, to hear what this node is now.
func (r *replica) renew() {
	if r.replicationServer != nil {
		r.replicationServer.Renew()
	}
}

// known returns where the other members can be reached, as far as the primary has told and as they connect here.
func (r *replica) known() (list []string) {
	for _, m := range r.sec.Status().Roster {
		list = append(list, m.ReplicationAddr)
	}
	if r.replicationServer != nil {
		for _, m := range r.replicationServer.Status().Secondaries {
			list = append(list, m.ReplicationAddr)
		}
	}
	return slices.DeleteFunc(list, func(addr string) bool { return addr == "" || addr == r.replicationAddr })
}

// succeed makes this node primary after the former one has stepped down for it. It is idempotent: the former primary
// tells it again for as long as it hears nothing of the new epoch.
func (r *replica) succeed(h *successor) error {
	id := r.keep.State()
	switch {
	case id == nil || r.isLeading() || h.epoch <= id.Epoch().Number:
		return nil // it has been done
	case state.Believe(h.epoch, id.Highest()) != nil:
		return state.Believe(h.epoch, id.Highest())
	case h.epoch == id.MaxEpochSeen && id.VotedFor != "" && id.VotedFor != id.Node:
		return fmt.Errorf("it is for epoch %d, and this node has voted for node %s there", h.epoch, id.VotedFor)
	case h.epoch < id.MaxEpochSeen:
		return fmt.Errorf("it is for epoch %d, and this node has since seen epoch %d", h.epoch, id.MaxEpochSeen)
	}
	r.stopFollowing()
	if last := r.st.LastTid(); last != h.last {
		r.follow()
		return fmt.Errorf("the last transaction here is %v, the former primary's is %v", last, h.last)
	}
	if err := r.beginReign(h.epoch, nil); err != nil {
		r.follow()
		return err
	}
	return nil
}

// fence ends this node's time as primary because of a higher epoch, one that has begun or one that was given to a node
// at an address. A secondary only notes it.
func (r *replica) fence(ctx context.Context, epoch uint64, begun bool, addr string) error {
	led := r.isLeading()
	err := r.keep.Update(func(id *state.State) error {
		id.ObserveEpoch(epoch)
		if begun {
			id.ObserveBegun(epoch)
		}
		if addr != "" {
			id.FollowFirst([]string{addr})
		}
		if led && (len(r.cfg.ReplicateFrom) > 0 || len(id.Follow) > 0) { // it knows of another node
			id.BecomeSecondary()
		}
		return nil
	})
	if err != nil && led {
		r.gaveOut(epoch)
		r.applyAccess()
	}
	if err != nil || !led {
		return err
	}
	r.c.Logger.Error("another node is now primary: this node takes no more transactions", "epoch",
		r.keep.State().Epoch().Number, "other_epoch", epoch)
	r.applyAccess()
	return r.stepDown(ctx, epoch)
}

// stepDown makes a primary that takes no transactions any more the secondary that its state file says it is.
func (r *replica) stepDown(ctx context.Context, epoch uint64) error {
	release, failed, err := r.halt(ctx) // what was voted is in, or has been given up with its connection
	if err != nil {
		return err
	}
	defer release()
	if r.role() != state.RoleSecondary {
		r.renew()
		return nil
	}
	r.setLeads(false)
	r.renew()
	r.follow()
	r.c.Logger.Warn("this node is now a secondary", "epoch", epoch, "follows", r.addresses())
	r.reopens(failed)
	return nil
}

// CheckHandover is secondary.Successor.
func (r *replica) CheckHandover(p *protocol.HandoverCheck) error {
	id := r.keep.State()
	switch {
	case id == nil:
		return state.ErrNoState
	case state.Believe(p.Epoch, id.Highest()) != nil:
		return state.Believe(p.Epoch, id.Highest())
	case p.Epoch <= id.Highest():
		return fmt.Errorf("this node has seen epoch %d, so it cannot begin epoch %d", id.Highest(), p.Epoch)
	case r.st.LastTid() != p.Last:
		return fmt.Errorf("the last transaction here is %v, not %v", r.st.LastTid(), p.Last)
	}
	return nil
}
