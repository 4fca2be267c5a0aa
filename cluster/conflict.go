package cluster

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/protocol"
)

// The kinds of conflicts, as status and metrics name them.
const (
	ConflictIdentity = "identity" // started as primary, without a state file: the members are asked first
	ConflictCopy     = "copy"     // its files are a copy of another node's, or older than its state file
	ConflictRole     = "role"     // started as primary, but another node began the last epoch
	ConflictEpoch    = "epoch"    // another node is primary of an epoch of the same number
	ConflictNode     = "node"     // another process is primary with the id of this node
	ConflictStorage  = "storage"  // a member is primary of another storage
)

// A Conflict is why a node does not lead that was told to, or takes no transactions while it leads, and what to do.
type Conflict struct {
	Kind, Text string
	Harmless   bool // this node goes on, and the other one does not

	addr string // of who answered so; empty: nobody did
}

// Conflict returns what stands between this node and its work as primary, nil when nothing does.
func (n *Node) Conflict() *Conflict {
	id := n.keep.State()
	switch met := n.conflictFound.Load(); {
	case met != nil && (n.IsPrimary() || n.asksIdentity.Load()): // a node that is no longer primary has no conflict
		return met
	case id == nil:
		return nil
	case n.IsPrimary():
		if id.Rival == "" || n.Fenced() {
			return nil
		}
		return &Conflict{Kind: ConflictEpoch, Text: fmt.Sprintf("node %s was also primary of epoch %d when it last "+
			"answered; this node takes no transactions; %s", id.Rival, id.Epoch().Number, promoteOne)}
	case n.toldRole() == state.RolePrimary && !n.sec.Status().Connected:
		return n.notOwn(id)
	}
	return nil
}

// notOwn says why the last epoch is not for this node to lead; nil: it is.
func (n *Node) notOwn(id *state.State) *Conflict {
	epoch := id.Epoch()
	switch {
	case id.Was != "":
		return &Conflict{Kind: ConflictCopy, Text: fmt.Sprintf("the files of this node are a copy: %s says that it "+
			"belongs to another file, or knows of transactions that %s has not (node %s). A copy does not lead: this "+
			"node looks for the primary and follows it. Where the files were moved, or all nodes were restored from "+
			"a backup, and no other node is primary, start it once with --as-it-was; where it is to be a database "+
			"of its own, with --new-identity and without the addresses of the others", id.Path(), n.opt.Data, id.Was)}
	case !id.Own():
		return &Conflict{Kind: ConflictRole, Text: fmt.Sprintf("this node was started as primary, and epoch "+
			"%d, the last one that it knows, is that of node %s %s: it looks for the primary and follows it. To "+
			"make it the primary, use zrsd promote", epoch.Number, epoch.Node, epoch.By)}
	}
	return nil
}

// promoteOne says how two primaries of one epoch become one.
const promoteOne = "decide which node stays primary, and run zrsd promote there; then set aside the other node's " +
	"transactions of this epoch with zrsd rewind"

// stopped reports whether a primary takes no transactions because of a conflict.
func (n *Node) stopped() bool {
	if id := n.keep.State(); id == nil || id.Rival != "" {
		return true
	}
	met := n.conflictFound.Load()
	return met != nil && !met.Harmless
}

// A verdict is what a primary concludes from what the others have answered.
type verdict struct {
	rival    string    // goes before this node; empty: nobody
	conflict *Conflict // nil: none
}

// judgeOthers compares a primary with the primaries among the others. Who did not answer is as it was before.
func (n *Node) judgeOthers(id *state.State, answers []answer) (v verdict) {
	v.rival = id.Rival
	before, gone := n.conflictFound.Load(), false
	for _, a := range answers {
		if a.status != nil && a.status.Node == id.Rival && gaveUp(id, a.status) {
			v.rival = ""
		}
		if before != nil && a.addr == before.addr && (a.status != nil || a.otherStorage != nil) {
			gone = true
		}
		c := n.conflictWith(id, &a)
		if c == nil {
			continue
		}
		v.conflict = c
		if c.Kind == ConflictEpoch && !c.Harmless {
			v.rival = a.status.Node
		}
		if !c.Harmless {
			return v
		}
	}
	if v.conflict == nil && !gone {
		v.conflict = before
	}
	return v
}

// gaveUp reports whether a former rival is none any more: it has a later epoch, or follows another node. One that is
// not primary at the moment may be stopping, and is primary again after its next start.
func gaveUp(id *state.State, p *protocol.NodeStatus) bool {
	return !sameEpoch(id, p) || !p.IsPrimary && p.UpstreamAddr != ""
}

// rivals reports whether a node is primary of an epoch of the same number.
func rivals(id *state.State, p *protocol.NodeStatus) bool {
	return p.IsPrimary && sameEpoch(id, p)
}

// sameEpoch reports whether the last epoch of a node has the number of this node's.
func sameEpoch(id *state.State, p *protocol.NodeStatus) bool {
	return len(p.Epochs) > 0 && p.Epochs[len(p.Epochs)-1].Number == id.Epoch().Number
}

// conflictWith judges one answer; nil: nothing is wrong with it.
func (n *Node) conflictWith(id *state.State, a *answer) *Conflict {
	p := a.status
	switch {
	case a.otherStorage != nil && a.otherStorage.IsPrimary:
		return &Conflict{Kind: ConflictStorage, addr: a.addr, Text: fmt.Sprintf("%s at %s is primary of another "+
			"storage (%s, here it is %s) and a member of this node's cluster: this node takes no transactions. Where "+
			"these are two databases, take the address out of --replicate-from on both; otherwise stop the node that "+
			"should be a copy, move its Data.fs.zrsd away, and start it with zrsd secondary",
			clean(a.otherStorage.Name),
			a.addr, clean(a.otherStorage.StorageID), id.StorageID)}
	case p == nil || !rivals(id, p):
		return nil
	case p.Node == id.Node:
		return &Conflict{Kind: ConflictNode, addr: a.addr, Text: fmt.Sprintf("another process at %s has the id of "+
			"this node, %s, and is primary, too: one is a copy of the other's whole disk. Neither takes "+
			"transactions. Stop one of them, move its Data.fs.zrsd away, and start it with zrsd secondary", a.addr,
			id.Node)}
	}
	theirs := p.Epochs[len(p.Epochs)-1]
	c := &Conflict{Kind: ConflictEpoch, addr: a.addr, Harmless: !n.yieldsTo(id, p)}
	does := "takes no transactions"
	if c.Harmless {
		does = "stays primary, and the other one stops when it hears of this"
	}
	c.Text = fmt.Sprintf("%s at %s is also primary of epoch %d, from after %v, and this node from after %v: two "+
		"nodes became primary without reaching each other. This node %s; %s", clean(p.Name), a.addr, theirs.Number,
		theirs.Begin,
		id.Epoch().Begin, does, promoteOne)
	return c
}

// yieldsTo reports whether, of two primaries of one epoch number, the other one continues: the one that had more when
// it began, or has the higher id. Both come to the same result. With a coordinator the one with a valid lease
// continues.
func (n *Node) yieldsTo(id *state.State, p *protocol.NodeStatus) bool {
	if n.failover != nil && n.failover.mayTell() {
		return false
	}
	theirs, own := p.Epochs[len(p.Epochs)-1], id.Epoch()
	return cmp.Or(cmp.Compare(theirs.Begin, own.Begin), strings.Compare(p.Node, id.Node)) > 0
}

// conclude acts upon a verdict. The role is not changed meanwhile.
func (n *Node) conclude(v verdict) error {
	was := n.stopped()
	if v.rival != n.keep.State().Rival {
		if err := n.keep.Update(func(id *state.State) error { id.Rival = v.rival; return nil }); err != nil {
			return err
		}
	}
	before := n.conflictFound.Swap(v.conflict)
	switch {
	case v.conflict != nil && (before == nil || before.Text != v.conflict.Text):
		n.opt.Logger.Error("conflict: "+v.conflict.Text, "kind", v.conflict.Kind, "warning", warning.Conflict)
	case v.conflict == nil && before != nil:
		n.opt.Logger.Info("the conflict is resolved", "kind", before.Kind)
	}
	if was != n.stopped() && n.entered.Load() {
		n.applyAccess()
		n.Renew()
	}
	return nil
}

// stopTransactions lets a primary that is promoted out of a conflict take no transactions meanwhile. When it is not
// promoted after all, the next look at the others decides again.
func (n *Node) stopTransactions(ctx context.Context) error {
	c := n.Conflict()
	if c == nil || !n.IsPrimary() {
		return nil
	}
	still := *c
	still.Harmless = false
	n.conflictFound.Store(&still)
	n.applyAccess()
	release, err := n.st.Hold(ctx) // voted transactions are committed, or aborted with their connection
	if err == nil {
		release()
	}
	return err
}
