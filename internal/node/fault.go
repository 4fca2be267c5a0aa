package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// faultReason returns why a primary takes no transactions although it leads; empty: it takes them, or does not lead.
// Its disk has failed or is full, or commits wait for secondaries that do not answer in time.
func (r *replica) faultReason() string {
	if r.now.Load() != r || !r.isLeading() || r.fenced() { // while it opens nobody has committed anything
		return ""
	}
	if err := r.st.Ailment(); err != nil {
		return err.Error()
	}
	return r.sync.stuck()
}

// full reports whether ails is about room on the disk.
func (r *replica) full() bool {
	var full *filestorage.FullError
	return r.faultReason() != "" && errors.As(r.st.Ailment(), &full)
}

// tries reports whether it is for this node to find out whether its transactions find room: nobody else does so while
// it is idle.
func (r *replica) tries() bool { return r.now.Load() == r && r.access() == zeo.Writable }

// needed is how many other nodes have to be well for one of them to be elected and to take transactions without this
// one, which ails.
func (r *replica) needed() int {
	rule := r.syncRule()
	if rule.Required == 0 {
		return 1
	}
	votesNeeded := len(rule.Names) - rule.Required + 1 // see promotion.missing
	if r.c.Sync.OnTimeout == SyncDegrade {
		return max(votesNeeded, 1)
	}
	return max(votesNeeded, rule.Required+1) // who leads, and for whom its commits wait
}

// told is the last transaction that clients may have been told of, as far as commits wait for secondaries.
func (r *replica) told() zodb.Tid {
	if r.now.Load() == r && r.isLeading() && r.c.Sync.Required > 0 && r.c.Sync.OnTimeout != SyncDegrade &&
		r.replicationServer != nil {
		return min(r.replicationServer.Synced(), r.st.LastTid())
	}
	return r.st.LastTid()
}

// gaveOut notes that this primary was told of a higher epoch and could not write that down. It takes no transactions
// all the same.
func (r *replica) gaveOut(epoch uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unwritten = max(r.unwritten, epoch)
}

// unwrittenEpoch is what gaveOut was told last, as long as it is not written down.
func (r *replica) unwrittenEpoch() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id := r.keep.State(); id == nil || r.unwritten <= id.Highest() {
		return 0
	}
	return r.unwritten
}

// reopens ends the session of a node that is a secondary now, if its storage has failed: opening it again is what may
// mend it.
func (r *replica) reopens(failed *filestorage.FailedError) {
	if failed == nil {
		return
	}
	select {
	case r.ended <- failed:
	default: // it ends already
	}
}

// stoppedBy is told that the storage takes no transactions any more, which was found while it was idle. A primary goes
// on being read, and says so; a secondary ends as if it had come upon it with a transaction.
func (r *replica) stoppedBy(failed *filestorage.FailedError) {
	if !r.isLeading() {
		r.reopens(failed)
	}
}

// halt waits for what is being committed and keeps anything else from that until release is called. A storage that has
// failed commits nothing any more; then failed says so, and nothing has to be released.
func (r *replica) halt(ctx context.Context) (release func(), failed *filestorage.FailedError, err error) {
	release, err = r.st.Hold(ctx)
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
