package rewind

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A Primary is the node that a storage is to follow.
type Primary interface {
	// Status returns its status, and changes nothing.
	Status(ctx context.Context) (*protocol.NodeStatus, error)
	// Has reports whether a transaction is part of its history.
	Has(ctx context.Context, at protocol.Position) (bool, error)
}

// A Refusal says why a storage is not rewound, and what to do instead.
type Refusal struct{ text string }

func (e *Refusal) Error() string { return e.text }

func refuse(format string, args ...any) error { return &Refusal{fmt.Sprintf(format, args...)} }

// Common finds the last transaction that a storage shares with a primary, and returns how to rewind to it. When there
// is nothing to be taken out, First is 0. id is the state of the storage. Errors are a *Refusal, those of the primary,
// and those of reading the storage.
func Common(ctx context.Context, st *filestorage.Storage, id *state.State, p Primary) (*state.Rewind, error) {
	theirs, err := p.Status(ctx)
	if err != nil {
		return nil, err
	}
	last := st.LastTid()
	switch {
	case theirs.StorageID != id.StorageID:
		return nil, refuse("%s has the storage %s, this one is %s: check the address", theirs.Name, theirs.StorageID,
			id.StorageID)
	case !theirs.IsPrimary:
		return nil, refuse("%s is not primary (epoch %d, last transaction %v): name the node that is", theirs.Name,
			theirs.Highest(), theirs.LastTid)
	case theirs.Highest() < id.Epoch().Number:
		return nil, refuse("this storage is of epoch %d, %s only of epoch %d: that node must follow this one",
			id.Epoch().Number, theirs.Name, theirs.Highest())
	case last == 0:
		return &state.Rewind{Epochs: shared(id.Epochs, theirs.Epochs, 0)}, nil
	}
	b := &bisection{ctx: ctx, st: st, p: p}
	common, err := b.search(candidate(id, theirs, last))
	if err != nil {
		return nil, err
	}
	if common == 0 {
		return nil, refuse("this storage and %s have no transaction in common: their histories differ from the "+
			"start; give this node an empty Data.fs", theirs.Name)
	}
	plan := &state.Rewind{
		Last: common, Epochs: shared(id.Epochs, theirs.Epochs, common), Begun: theirs.Begun(),
	}
	if common == last {
		return plan, nil
	}
	plan.Until = last
	plan.First, err = firstAfter(ctx, st, common)
	return plan, err
}

// candidate is the latest place up to which histories can be the same: where an epoch began that only one side knows,
// and where either ends.
func candidate(id *state.State, theirs *protocol.NodeStatus, last zodb.Tid) zodb.Tid {
	at := min(last, theirs.LastTid)
	if parts, parted := protocol.Part(id.Epochs, theirs.Epochs); parted {
		at = min(at, parts)
	}
	return at
}

// shared returns the epochs that both know, up to a transaction.
func shared(ours, theirs []protocol.Epoch, upTo zodb.Tid) (list []protocol.Epoch) {
	for i, e := range ours {
		if i >= len(theirs) || !e.Same(theirs[i]) || e.Begin > upTo {
			break
		}
		list = append(list, theirs[i])
	}
	if len(list) == 0 {
		list = []protocol.Epoch{theirs[0]} // an epoch of its own number; the primary gives the rest
	}
	return list
}

// firstAfter returns the first transaction after tid.
func firstAfter(ctx context.Context, st *filestorage.Storage, tid zodb.Tid) (zodb.Tid, error) {
	it, err := st.Iterate(tid, false)
	if err != nil {
		return 0, err
	}
	defer it.Close() //nolint:errcheck // read only
	txn, err := it.Next(ctx)
	if err != nil {
		return 0, err
	}
	return txn.Meta().Tid, nil
}

// A bisection looks for the last transaction of a storage that is part of the history of another one.
type bisection struct {
	ctx       context.Context //nolint:containedctx // of one search
	st        *filestorage.Storage
	p         Primary
	questions int
}

// search returns it, 0 when there is none, if it is not after at. Nearly always it is the last one up to there.
func (b *bisection) search(at zodb.Tid) (zodb.Tid, error) {
	high, err := b.upTo(at)
	if err != nil || high == 0 {
		return 0, err
	}
	has, err := b.has(high)
	if err != nil || has {
		return high, err
	}
	common, low := zodb.Tid(0), zodb.Tid(0) // common is shared, and nothing of ours lies between it and low
	for low < high-1 {
		middle := low + (high-low)/2
		tid, err := b.upTo(middle)
		if err != nil {
			return 0, err
		}
		if tid <= common {
			low = middle
			continue
		}
		has, err := b.has(tid)
		switch {
		case err != nil:
			return 0, err
		case has:
			common, low = tid, middle
		default:
			high = tid
		}
	}
	return common, nil
}

// upTo returns the last transaction of the storage up to a tid, 0 when there is none.
func (b *bisection) upTo(tid zodb.Tid) (zodb.Tid, error) {
	found, err := b.st.Find(b.ctx, tid)
	if errors.Is(err, zodb.ErrNoTid) {
		return found.Before.Tid, nil
	}
	return tid, err
}

func (b *bisection) has(tid zodb.Tid) (bool, error) {
	found, err := b.st.Find(b.ctx, tid)
	if err != nil {
		return false, err
	}
	b.questions++
	return b.p.Has(b.ctx, protocol.Position{Tid: tid, Status: found.Status, Digest: found.Digest})
}

// A Remote is the Primary at an address.
type Remote struct {
	Dial   func(ctx context.Context) (net.Conn, error)
	Secret protocol.Secret
	State  *state.State // of the storage that asks
	Magic  zodb.Magic   // of the storage that asks
	Name   string       // by which this node is known there

	epochs []protocol.Epoch // the primary's
}

// Status is Primary.
func (r *Remote) Status(ctx context.Context) (*protocol.NodeStatus, error) {
	msg, err := r.ask(ctx, &protocol.StatusRequest{
		Version: protocol.MessageVersion, StorageID: r.State.StorageID, Node: r.State.Node, Name: r.Name,
	})
	if err != nil {
		return nil, err
	}
	p, ok := msg.(*protocol.NodeStatus)
	if !ok || len(p.Epochs) == 0 {
		return nil, fmt.Errorf("asked for its status, the primary answered with a %T", msg)
	}
	r.epochs = p.Epochs
	return p, nil
}

// Epochs returns those of the primary, as of Status.
func (r *Remote) Epochs() []protocol.Epoch { return r.epochs }

// Has is Primary. It must be called after Status: a secondary that named epochs which the primary does not know would
// make the primary step down.
func (r *Remote) Has(ctx context.Context, at protocol.Position) (bool, error) {
	_, err := r.ask(ctx, &protocol.Hello{
		Version: protocol.MessageVersion, StorageID: r.State.StorageID, Epochs: r.epochs, Last: at, Magic: r.Magic,
		Blobs: true, Name: r.Name, Node: r.State.Node,
	})
	var refusal *protocol.Refusal
	if errors.As(err, &refusal) && (refusal.Code == protocol.CodeDiverged || refusal.Code == protocol.CodeAhead) {
		return false, nil
	}
	return err == nil, err
}

// ask sends one message, on a connection of its own, and returns the answer. A refusal is an error.
func (r *Remote) ask(ctx context.Context, question any) (any, error) {
	return protocol.Ask(ctx, r.Dial, r.Secret, question, protocol.SessionOptions{})
}
