package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// oidGap is how many oids a new primary leaves out. The former one gave clients up to 100 oids each in advance; those
// that were not used by then are not known here, and must not be given to another client.
const oidGap = 1 << 20

// becomePrimary begins an epoch: this node is primary from here on. Nobody is followed at this time. The epoch is
// durable before the first transaction of it can begin. voters are those of protocol.Epoch.
func (n *Node) becomePrimary(epoch uint64, voters []string) error {
	last := n.st.LastTid()
	if err := n.beginEpoch(epoch, last, voters); err != nil {
		return err
	}
	n.conflictFound.Store(nil)
	n.st.SkipOids(oidGap)
	n.setPrimary(true)
	n.Renew() // before there is a transaction of the epoch: nobody gets that who does not know of it
	if err := n.writeFirst(n.life); err != nil {
		select {
		case n.ended <- err: // what can neither lead nor follow ends
		default: // it does so already
		}
		return err
	}
	n.applyAccess()
	select {
	case n.begun <- struct{}{}:
	default: // it is about to tell the others
	}
	n.opt.Logger.Info("this node is now the primary", "epoch", epoch, "last_tid", last)
	return nil
}

// beginEpoch writes down that this node is primary of an epoch from after a transaction on. What clients were told by
// a primary that goes on is part of what that notes of it already.
func (n *Node) beginEpoch(epoch uint64, last zodb.Tid, voters []string) error {
	others, goesOn := n.knownAddresses(), n.IsPrimary()
	return n.keep.Update(func(id *state.State) error {
		if epoch <= id.Latest() || epoch < id.MaxEpochSeen {
			return fmt.Errorf("epoch %d cannot begin: this node is in epoch %d and has seen epoch %d", epoch,
				id.Epoch().Number, id.Highest())
		}
		if id.Epoch().Begin > last {
			voters = nil // the epoch that they had is forgotten
		}
		id.BecomePrimary(protocol.Epoch{
			Number: epoch, Begin: last, By: n.opt.Name, At: time.Now().UTC().Format(time.RFC3339),
			Voters: voters,
		})
		if !goesOn {
			id.Waits = n.waitsFrom(id)
		}
		id.FollowFirst(others)
		return nil
	})
}

// Renew makes secondaries connect again, to hear what this node is now.
func (n *Node) Renew() {
	if n.replicationServer != nil {
		n.replicationServer.Renew()
	}
}

// knownAddresses returns where the other members can be reached, as far as the primary has told and as they connect
// here.
func (n *Node) knownAddresses() (list []string) {
	for _, m := range n.sec.Status().Roster {
		list = append(list, m.ReplicationAddr)
	}
	if n.replicationServer != nil {
		for _, m := range n.replicationServer.Status().Secondaries {
			list = append(list, m.ReplicationAddr)
		}
	}
	return slices.DeleteFunc(list, func(addr string) bool { return addr == "" || addr == n.opt.ReplicationAddr })
}

// fence ends this node's time as primary because of a higher epoch, one that has begun or one that was given to a node
// at an address. A secondary only notes it.
func (n *Node) fence(ctx context.Context, epoch uint64, begun bool, addr string) error {
	led := n.IsPrimary()
	err := n.keep.Update(func(id *state.State) error {
		id.ObserveEpoch(epoch)
		if begun {
			id.ObserveBegun(epoch)
		}
		if addr != "" {
			id.FollowFirst([]string{addr})
		}
		if led && (len(n.opt.ReplicateFrom) > 0 || len(id.Follow) > 0) { // it knows of another node
			id.BecomeSecondary()
		}
		return nil
	})
	if err != nil && led {
		n.noteUnwritten(epoch)
		n.applyAccess()
	}
	if err != nil || !led {
		return err
	}
	n.opt.Logger.Error("another node is now primary: this node takes no more transactions", "epoch",
		n.keep.State().Epoch().Number, "other_epoch", epoch, "warning", warning.Fenced)
	n.applyAccess()
	return n.stepDown(ctx, epoch)
}

// stepDown makes a primary that takes no transactions any more the secondary that its state file says it is.
func (n *Node) stepDown(ctx context.Context, epoch uint64) error {
	release, failed, err := n.holdCommits(ctx) // voted transactions are committed, or aborted with their connection
	if err != nil {
		return err
	}
	defer release()
	if n.role() != state.RoleSecondary {
		n.Renew()
		return nil
	}
	n.setPrimary(false)
	n.Renew()
	n.follow()
	n.opt.Logger.Info("this node is now a secondary", "epoch", epoch, "follows", n.addresses())
	n.endForReopening(failed)
	return nil
}

// tidGap is how many tids a new epoch leaves out, a second of them. Where clocks are behind the last tid, two nodes
// would otherwise give the same one to different transactions, and a client could not notice that the one it saw is
// lost.
const tidGap = 1 << 26

// heardAhead is how far ahead of the last transaction here, or of the clock, a tid from another node may be.
const heardAhead = time.Hour

// writeFirst writes the transaction with which an epoch begins: empty, durable before any client is admitted, and newer
// than anything that clients of the former primary may have seen and this node does not have. A ZEO client does not use
// a server whose last transaction is older than its cache; with this one it can, and learns that the end of its cache
// is of another history.
func (n *Node) writeFirst(ctx context.Context) error {
	id := n.keep.State()
	if err := n.writeEmpty(ctx, n.lastHeard(), openingText(id.Epoch().Number, n.opt.Name)); err != nil {
		return fmt.Errorf("beginning epoch %d: %w", id.Epoch().Number, err)
	}
	return nil
}

// writeEmpty commits a transaction without records that is later than another one, as far as that one is plausible.
func (n *Node) writeEmpty(ctx context.Context, after zodb.Tid, description []byte) error {
	if err := n.st.SkipTids(ctx, n.tidsToSkip(after)); err != nil {
		return fmt.Errorf("skipping tids: %w", err)
	}
	txn, err := n.st.Begin(ctx, &zodb.TxnMeta{Description: description})
	if err != nil {
		return fmt.Errorf("an empty transaction: %w", err)
	}
	if _, err := txn.Finish(ctx, nil); err != nil {
		return fmt.Errorf("an empty transaction: %w", errors.Join(err, txn.Abort()))
	}
	return nil
}

// openingText is the description of the first transaction of an epoch.
func openingText(epoch uint64, name string) []byte {
	return fmt.Appendf(nil, "zrsd: epoch %d begins, the primary is %.200s", epoch, name)
}

// openAgain writes that transaction at a start where a crash came before it. The first epoch of a storage has none: it
// follows nobody.
func (n *Node) openAgain(ctx context.Context) error {
	id := n.keep.State()
	if id == nil || n.Fenced() || len(id.Epochs) < 2 || n.st.LastTid() > id.Epoch().Begin {
		return nil
	}
	if err := n.writeFirst(ctx); err != nil {
		return &StartError{err}
	}
	return nil
}

// lastHeard is the last transaction that the former primary has reported.
func (n *Node) lastHeard() zodb.Tid {
	before := n.sec.Status()
	last := before.PrimaryLast
	for _, m := range before.Roster {
		last = max(last, m.Durable)
	}
	return last
}

// tidsToSkip is how many tids to leave out after the last transaction, to be later than one that was heard of.
func (n *Node) tidsToSkip(heard zodb.Tid) uint64 {
	last := n.st.LastTid()
	return uint64(min(max(last, heard), n.highestBelieved())-last) + tidGap
}

// highestBelieved is the highest tid that others may have told.
func (n *Node) highestBelieved() zodb.Tid {
	most := n.st.LastTid() + zodb.Tid(heardAhead/time.Second)*tidGap
	now, err := zodb.TidFromTime(time.Now().Add(heardAhead))
	if err != nil {
		return most
	}
	return max(now, most)
}

// higherEpochAfter is how many times in a row a primary has to hear of an epoch that got votes and has not begun before
// it begins a higher one. By then a promotion that was under way has ended.
const higherEpochAfter = 3

// tryHigherEpoch has a primary go on under a higher epoch. It returns why that cannot be; said is what it returned
// before, which is not logged again.
func (n *Node) tryHigherEpoch(ctx context.Context, said string) string {
	err := n.changeInTurn(ctx, n.beginHigherEpoch)
	if err == nil || ctx.Err() != nil {
		return ""
	}
	if err.Error() != said {
		n.opt.Logger.Error(
			"some nodes voted for an epoch that is not known to have begun, and do not follow this primary; it "+
				"cannot begin a higher epoch: start the nodes that do not answer, or promote the node that shall "+
				"be primary",
			"error",
			err, "warning", warning.ChangeFailed,
		)
	}
	return err.Error()
}

// beginHigherEpoch begins another epoch on a primary, when others have voted for a higher one of somebody who has not
// begun it: a promotion that was refused after all, or broken off. They follow this primary again when its epoch is
// above the one that they voted for. Commits are held while they are asked.
//
// It is a promotion of the node that leads, and takes what one takes: nobody that answers has begun a higher epoch or
// is further, and where commits wait for secondaries enough of them vote. Where commits do not wait, everybody has
// to answer: whoever does not could have begun the epoch.
func (n *Node) beginHigherEpoch(ctx context.Context) error {
	if !n.IsPrimary() || n.Fenced() {
		return nil
	}
	id, answers := n.keep.State(), n.askStatus(ctx, n.others())
	epoch := highest(id, answers) + 1
	switch {
	case latest(id, answers) > id.Latest():
		n.Outranked(latest(id, answers))
		return nil
	case epoch == id.Highest()+1:
		return nil // it has come right by itself
	}
	if err := n.oppositionOf(answers); err != nil {
		return err
	}
	release, err := n.st.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := n.oppositionOf(n.askVote(ctx, epoch, n.others())); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	last := n.st.LastTid()
	if err := n.beginEpoch(epoch, last, nil); err != nil {
		return err
	}
	n.opt.Logger.Info("this primary began a higher epoch, because nodes had voted for one that no node has begun",
		"epoch", epoch, "last_tid", last)
	release()
	if err := n.writeFirst(n.life); err != nil {
		n.opt.Logger.Error("cannot write the first transaction of the epoch", "error", err,
			"warning", warning.StorageFailed)
	}
	n.Renew()
	n.applyAccess()
	return nil
}

// oppositionOf says why the answers do not let the primary begin a higher epoch.
func (n *Node) oppositionOf(answers []answer) error {
	own := n.st.LastTid()
	var voters []voter
	var silent []string
	for _, a := range answers {
		switch {
		case a.status == nil:
			silent = append(silent, a.err.Error())
		case a.status.IsPrimary:
			return fmt.Errorf("%s is primary, too", a.status.Name)
		case a.status.LastTid > own:
			return errors.New(hasMore(a.status.Name, a.status.LastTid, own, 0))
		case !a.status.Learner:
			voters = append(voters, voter{a.status.Node, a.status.Name})
		}
	}
	rule := n.SyncRule()
	switch {
	case len(silent) == 0:
		return nil
	case rule.Required == 0 || len(rule.Names) == 0:
		return fmt.Errorf("not all nodes answer: %s", strings.Join(silent, "; "))
	}
	need := len(rule.Names) - rule.Required // beside this node
	if have := votes(rule.Names, voters); have < need {
		return fmt.Errorf("%d of %s have to answer, %d do: %s", need, strings.Join(rule.Names, ", "), have,
			strings.Join(silent, "; "))
	}
	return nil
}
