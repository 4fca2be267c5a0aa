package node

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
)

// The kinds of conflicts, as status and metrics name them.
const (
	conflictIdentity = "identity" // started as primary, without a state file: the members are asked first
	conflictCopy     = "copy"     // its files are a copy of another node's, or older than its state file
	conflictRole     = "role"     // started as primary, but another node began the last epoch
	conflictEpoch    = "epoch"    // another node is primary of an epoch of the same number
	conflictNode     = "node"     // another process is primary with the id of this node
	conflictStorage  = "storage"  // a member is primary of another storage
)

// A dispute is why a node does not lead that was told to, or takes no transactions while it leads, and what to do.
type dispute struct {
	kind, text string
	addr       string // of who answered so; empty: nobody did
	harmless   bool   // this node goes on, and the other one does not
}

// conflict returns what stands between this node and its work as primary, nil when nothing does.
func (r *replica) conflict() *dispute {
	id := r.keep.State()
	switch met := r.met.Load(); {
	case met != nil && (r.isLeading() || r.asksIdentity.Load()): // whoever leads no more disputes nothing
		return met
	case id == nil:
		return nil
	case r.isLeading():
		if id.Rival == "" || r.fenced() {
			return nil
		}
		return &dispute{kind: conflictEpoch, text: fmt.Sprintf("node %s was also primary of epoch %d when it last "+
			"answered; this node takes no transactions; %s", id.Rival, id.Epoch().Number, promoteOne)}
	case r.toldRole() == state.RolePrimary && !r.sec.Status().Connected:
		return r.notOwn(id)
	}
	return nil
}

// notOwn says why the last epoch is not for this node to lead; nil: it is.
func (r *replica) notOwn(id *state.State) *dispute {
	epoch := id.Epoch()
	switch {
	case id.Was != "":
		return &dispute{kind: conflictCopy, text: fmt.Sprintf("the files of this node are a copy: %s says that it "+
			"belongs to another file, or knows of transactions that %s has not (node %s). A copy does not lead: this "+
			"node looks for the primary and follows it. Where the files were moved, or all nodes were restored from "+
			"a backup, and no other node is primary, start it once with --as-it-was; where it is to be a database "+
			"of its own, with --new-identity and without the addresses of the others", id.Path(), r.c.Data, id.Was)}
	case !id.Own():
		return &dispute{kind: conflictRole, text: fmt.Sprintf("this node was started as primary, and epoch %d, the "+
			"last one that it knows, is that of node %s %s: it looks for the primary and follows it. To make it the "+
			"primary, use zrsd promote", epoch.Number, epoch.Node, epoch.By)}
	}
	return nil
}

// promoteOne says how two primaries of one epoch become one.
const promoteOne = "decide which node stays primary, and run zrsd promote there; then set aside the other node's " +
	"transactions of this epoch with zrsd rewind"

// stopped reports whether a primary takes no transactions because of a conflict.
func (r *replica) stopped() bool {
	if id := r.keep.State(); id == nil || id.Rival != "" {
		return true
	}
	met := r.met.Load()
	return met != nil && !met.harmless
}

// A verdict is what a primary concludes from what the others have answered.
type verdict struct {
	rival string   // goes before this node; empty: nobody
	met   *dispute // nil: none
}

// judgeOthers compares a primary with the primaries among the others. Who did not answer is as it was before.
func (r *replica) judgeOthers(id *state.State, answers []answer) (v verdict) {
	v.rival = id.Rival
	before, gone := r.met.Load(), false
	for _, a := range answers {
		if a.status != nil && a.status.Node == id.Rival && !rivals(id, a.status) {
			v.rival = ""
		}
		if before != nil && a.addr == before.addr && (a.status != nil || a.otherStorage != nil) {
			gone = true
		}
		c := r.meets(id, &a)
		if c == nil {
			continue
		}
		v.met = c
		if c.kind == conflictEpoch && !c.harmless {
			v.rival = a.status.Node
		}
		if !c.harmless {
			return v
		}
	}
	if v.met == nil && !gone {
		v.met = before
	}
	return v
}

// rivals reports whether a node is primary of an epoch of the same number.
func rivals(id *state.State, p *protocol.NodeStatus) bool {
	return p.IsPrimary && len(p.Epochs) > 0 && p.Epochs[len(p.Epochs)-1].Number == id.Epoch().Number
}

// meets judges one answer; nil: nothing is wrong with it.
func (r *replica) meets(id *state.State, a *answer) *dispute {
	p := a.status
	switch {
	case a.otherStorage != nil && a.otherStorage.IsPrimary:
		return &dispute{kind: conflictStorage, addr: a.addr, text: fmt.Sprintf("%s at %s is primary of another "+
			"storage (%s, here it is %s) and a member of this node's cluster: this node takes no transactions. Where "+
			"these are two databases, take the address out of --replicate-from on both; otherwise stop the node that "+
			"should be a copy, move its Data.fs.zrsd away, and start it with zrsd secondary", clean(a.otherStorage.Name),
			a.addr, clean(a.otherStorage.StorageID), id.StorageID)}
	case p == nil || !rivals(id, p):
		return nil
	case p.Node == id.Node:
		return &dispute{kind: conflictNode, addr: a.addr, text: fmt.Sprintf("another process at %s has the id of "+
			"this node, %s, and is primary, too: one is a copy of the other's whole disk. Neither takes "+
			"transactions. Stop one of them, move its Data.fs.zrsd away, and start it with zrsd secondary", a.addr,
			id.Node)}
	}
	theirs := p.Epochs[len(p.Epochs)-1]
	c := &dispute{kind: conflictEpoch, addr: a.addr, harmless: !r.yieldsTo(id, p)}
	does := "takes no transactions"
	if c.harmless {
		does = "stays primary, and the other one stops when it hears of this"
	}
	c.text = fmt.Sprintf("%s at %s is also primary of epoch %d, from after %v, and this node from after %v: two "+
		"nodes became primary without reaching each other. This node %s; %s", clean(p.Name), a.addr, theirs.Number,
		theirs.Begin,
		id.Epoch().Begin, does, promoteOne)
	return c
}

// yieldsTo reports whether, of two primaries of one epoch, the other one goes on: the one that had more when it began,
// or has the higher id. Both come to the same result. With a coordinator who is in its lease goes on.
func (r *replica) yieldsTo(id *state.State, p *protocol.NodeStatus) bool {
	if r.failover != nil && r.failover.clear() {
		return false
	}
	theirs, own := p.Epochs[len(p.Epochs)-1], id.Epoch()
	return cmp.Or(cmp.Compare(theirs.Begin, own.Begin), strings.Compare(p.Node, id.Node)) > 0
}

// conclude acts upon a verdict. The role is not changed meanwhile.
func (r *replica) conclude(v verdict) error {
	was := r.stopped()
	if v.rival != r.keep.State().Rival {
		if err := r.keep.Update(func(id *state.State) error { id.Rival = v.rival; return nil }); err != nil {
			return err
		}
	}
	before := r.met.Swap(v.met)
	switch {
	case v.met != nil && (before == nil || before.text != v.met.text):
		r.c.Logger.Error("conflict: "+v.met.text, "kind", v.met.kind)
	case v.met == nil && before != nil:
		r.c.Logger.Warn("the conflict is resolved", "kind", before.kind)
	}
	if was != r.stopped() && r.sync != nil {
		r.applyAccess()
		r.renew()
	}
	return nil
}

// showConflict fills in what has to be settled.
func (r *replica) showConflict(st *admin.Status) {
	c := r.conflict()
	if c == nil {
		return
	}
	st.Conflict = &admin.Conflict{Kind: c.kind, Text: c.text}
	if r.asksIdentity.Load() {
		st.Storage.ID = new(string)
	}
	if !c.harmless {
		st.NotReady, st.Ready = admin.Known(c.kind+" conflict: "+c.text), false
	}
}

// quiet lets a primary that is promoted out of a conflict take no transactions meanwhile. When it is not promoted after
// all, the next look at the others decides again.
func (r *replica) quiet(ctx context.Context) error {
	c := r.conflict()
	if c == nil || !r.isLeading() {
		return nil
	}
	still := *c
	still.harmless = false
	r.met.Store(&still)
	r.applyAccess()
	release, err := r.st.Hold(ctx) // what was voted is in, or has been given up with its connection
	if err == nil {
		release()
	}
	return err
}
