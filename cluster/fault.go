package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// FaultReason returns why a primary takes no transactions although it leads; empty: it takes them, or does not lead.
// Its disk has failed or is full, or commits wait for secondaries that do not answer in time.
func (n *Node) FaultReason() string {
	if !n.entered.Load() || !n.IsPrimary() || n.Fenced() { // while it opens nobody has committed anything
		return ""
	}
	if err := n.st.Ailment(); err != nil {
		return err.Error()
	}
	return n.sync.overdueReason()
}

// diskFull reports whether the fault is about room on the disk.
func (n *Node) diskFull() bool {
	var full *filestorage.FullError
	return n.FaultReason() != "" && errors.As(n.st.Ailment(), &full)
}

// TriesRoom reports whether it is for this node to find out whether its transactions find room: nobody else does so
// while it is idle.
func (n *Node) TriesRoom() bool { return n.entered.Load() && n.Access() == zeo.Writable }

// nodesNeeded is how many other nodes have to be without a fault for one of them to be elected and to take
// transactions without this one, which has one.
func (n *Node) nodesNeeded() int {
	rule := n.SyncRule()
	if rule.Required == 0 {
		return 1
	}
	votesNeeded := len(rule.Names) - rule.Required + 1 // see promotion.missing
	if n.opt.Sync.OnTimeout == SyncDegrade {
		return max(votesNeeded, 1)
	}
	return max(votesNeeded, rule.Required+1) // the primary, and those for which its commits wait
}

// lastTold is the last transaction that clients may have seen, as far as commits wait for secondaries.
func (n *Node) lastTold() zodb.Tid {
	if n.entered.Load() && n.IsPrimary() && n.opt.Sync.Required > 0 && n.opt.Sync.OnTimeout != SyncDegrade &&
		n.replicationServer != nil {
		return min(n.replicationServer.Synced(), n.st.LastTid())
	}
	return n.st.LastTid()
}

// noteUnwritten notes that this primary heard of a higher epoch and could not save that. It takes no transactions all
// the same.
func (n *Node) noteUnwritten(epoch uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unwritten = max(n.unwritten, epoch)
}

// unwrittenEpoch is what noteUnwritten was told last, as long as it is not written down.
func (n *Node) unwrittenEpoch() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if id := n.keep.State(); id == nil || n.unwritten <= id.Highest() {
		return 0
	}
	return n.unwritten
}

// endForReopening ends the session of a node that is a secondary now, if its storage has failed: opening it again is
// what may mend it.
func (n *Node) endForReopening(failed *filestorage.FailedError) {
	if failed == nil {
		return
	}
	select {
	case n.ended <- failed:
	default: // it ends already
	}
}

// StorageFailed is called when an idle storage is found to take no more transactions. A primary still serves reads, and
// reports it; a secondary ends as after a failed transaction.
func (n *Node) StorageFailed(failed *filestorage.FailedError) {
	if !n.IsPrimary() {
		n.endForReopening(failed)
	}
}

// holdCommits waits for commits in progress and keeps others from beginning until release is called. A storage that has
// failed commits nothing any more; then failed is set, and nothing has to be released.
func (n *Node) holdCommits(ctx context.Context) (release func(), failed *filestorage.FailedError, err error) {
	release, err = n.st.Hold(ctx)
	if errors.As(err, &failed) {
		return func() {}, failed, nil
	}
	return release, nil, err
}

// faultOf says that the primary that answered cannot take transactions, so that it is no reason to refuse a promotion.
func faultOf(p *protocol.NodeStatus) string {
	if !p.IsPrimary || p.FaultReason == "" {
		return ""
	}
	return fmt.Sprintf("%s is primary of epoch %d and takes no transactions: %s", p.Name, p.Begun(), p.FaultReason)
}
