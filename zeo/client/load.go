package client

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/record"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// A Revision is one of an object.
type Revision struct {
	Data []byte
	Tid  zodb.Tid // of the transaction that wrote it
	Next zodb.Tid // of the one that replaced it; 0 for the current one
}

// Class returns the class of the object, as module.name; empty where its record does not name it plainly.
func (r *Revision) Class() string { return record.ClassOf(r.Data) }

// Load returns the current revision of an object. The error is a *zodb.POSKeyError when there is none.
func (c *Conn) Load(ctx context.Context, oid zodb.Oid) (*Revision, error) {
	return c.LoadBefore(ctx, oid, zodb.MaxTid)
}

// LoadBefore returns the last revision of an object below a tid. The error is a *zodb.POSKeyError when there is none.
func (c *Conn) LoadBefore(ctx context.Context, oid zodb.Oid, before zodb.Tid) (*Revision, error) {
	defer c.until(ctx)()
	answer := make(chan reply, 1)
	got := func(_ zodb.Oid, r Revision, err error) {
		r.Data = bytes.Clone(r.Data)
		answer <- reply{&r, err}
	}
	c.writing.Lock()
	c.mu.Lock()
	c.out = c.ask(c.out, wire.Load{Oid: oid, Before: before}, got)
	c.mu.Unlock()
	err := c.flush()
	c.writing.Unlock()
	if err != nil {
		return nil, fmt.Errorf("loadBefore of oid %v: %w", oid, err)
	}
	r := c.await(answer, "loadBefore")
	if r.err != nil {
		return nil, r.err
	}
	return r.value.(*Revision), nil //nolint:forcetypeassert // of got
}

// A loadFunc takes what a load has found. The goroutine that reads calls it; Data is valid as long as the call.
type loadFunc func(oid zodb.Oid, r Revision, err error)

// A loadQueue has the callers that wait for the answers to equal loads, in their order.
type loadQueue struct {
	first loadFunc
	more  []loadFunc
}

// ask appends a load to out. Its id is the pair of its arguments, as with ZEO's own client, for which servers have a
// shorter way. mu is locked.
func (c *Conn) ask(out []byte, l wire.Load, got loadFunc) []byte {
	q, same := c.loads[l]
	if same {
		q.more = append(q.more, got)
	} else {
		q.first = got
	}
	c.loads[l] = q
	return c.codec.AppendLoad(out, l)
}

// loaded gives the answer to a load to the caller that has waited for it longest.
func (c *Conn) loaded(l wire.Load, r Revision, err error) {
	c.mu.Lock()
	q := c.loads[l]
	if len(q.more) == 0 {
		delete(c.loads, l)
	} else {
		c.loads[l] = loadQueue{q.more[0], q.more[1:]}
	}
	c.mu.Unlock()
	if q.first != nil {
		q.first(l.Oid, r, err)
	}
}

// loadOf reads the id of a load.
func loadOf(id pickle.Value) (l wire.Load, ok bool) {
	t, _ := id.(pickle.Tuple)
	if len(t) != 2 {
		return l, false
	}
	oid, err := idOf(t[0])
	if err != nil {
		return l, false
	}
	before, err := tidOf(t[1])
	return wire.Load{Oid: zodb.Oid(oid), Before: before}, err == nil
}

// revision reads the answer to a load that is not of the usual form.
func revision(l wire.Load, answer reply) (r Revision, err error) {
	wrong := func(err error) (Revision, error) {
		return Revision{}, fmt.Errorf("the answer to loadBefore of oid %v: %w", l.Oid, err)
	}
	if answer.err != nil {
		return r, fmt.Errorf("loadBefore: %w", answer.err)
	}
	if answer.value == nil {
		return r, &zodb.POSKeyError{Oid: l.Oid}
	}
	t, _ := answer.value.(pickle.Tuple)
	if len(t) != 3 {
		return wrong(errReply)
	}
	data, ok := t[0].(pickle.Bytes)
	if !ok {
		return wrong(fmt.Errorf("a %T for the data: %w", t[0], errReply))
	}
	r.Data = data
	if r.Tid, err = tidOf(t[1]); err != nil {
		return wrong(err)
	}
	if t[2] != nil {
		if r.Next, err = tidOf(t[2]); err != nil {
			return wrong(err)
		}
	}
	return r, nil
}

// LastTransaction returns the tid of the last transaction that the server shows, 0 for an empty storage.
func (c *Conn) LastTransaction(ctx context.Context) (zodb.Tid, error) {
	v, err := c.call(ctx, "lastTransaction")
	if err != nil || v == nil {
		return 0, err
	}
	return tidOf(v)
}

// NewOids returns oids that the storage has never given away: 100 with most servers.
func (c *Conn) NewOids(ctx context.Context) ([]zodb.Oid, error) {
	v, err := c.call(ctx, "new_oids")
	if err != nil {
		return nil, err
	}
	return oidsOf(v)
}

// Pack removes the revisions that were replaced before a time, and what nothing refers to, if the server is configured
// so. It returns when that is done.
func (c *Conn) Pack(ctx context.Context, before time.Time) error {
	const second = 1e6 // in microseconds
	_, err := c.call(ctx, "pack", float64(before.UnixMicro())/second, true)
	return err
}
