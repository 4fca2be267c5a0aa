package client

import (
	"context"
	"fmt"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zodb"
)

// A Revision is one of an object.
type Revision struct {
	Data []byte
	Tid  zodb.Tid // of the transaction that wrote it
	Next zodb.Tid // of the one that replaced it; 0 for the current one
}

// Load returns the current revision of an object. The error is a *zodb.POSKeyError when there is none.
func (c *Conn) Load(ctx context.Context, oid zodb.Oid) (*Revision, error) {
	return c.LoadBefore(ctx, oid, zodb.MaxTid)
}

// LoadBefore returns the last revision of an object below a tid. The error is a *zodb.POSKeyError when there is none.
func (c *Conn) LoadBefore(ctx context.Context, oid zodb.Oid, before zodb.Tid) (*Revision, error) {
	v, err := c.call(ctx, "loadBefore", idValue(oid), idValue(before))
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, &zodb.POSKeyError{Oid: oid}
	}
	r, err := revision(v)
	if err != nil {
		return nil, fmt.Errorf("the answer to loadBefore of oid %v: %w", oid, err)
	}
	return r, nil
}

func revision(v pickle.Value) (r *Revision, err error) {
	t, _ := v.(pickle.Tuple)
	if len(t) != 3 {
		return nil, errReply
	}
	data, ok := t[0].(pickle.Bytes)
	if !ok {
		return nil, fmt.Errorf("a %T for the data: %w", t[0], errReply)
	}
	r = &Revision{Data: data}
	if r.Tid, err = tidOf(t[1]); err != nil {
		return nil, err
	}
	if t[2] != nil {
		r.Next, err = tidOf(t[2])
	}
	return r, err
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
