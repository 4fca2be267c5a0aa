package etcd

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/zrsd/zrsd/cluster/lease"
)

// A tenure is known by the revision that created the key of the office: renewals keep it, and no other has it.
type tenure struct {
	c       *Client
	created int64
}

// Acquire is part of referee.Referee.
func (c *Client) Acquire(ctx context.Context, seen referee.Record, claim referee.Claim) (referee.Tenure, error) {
	var record referee.Record
	at, err := c.get(ctx, c.recordKey(), &record)
	if err != nil {
		return nil, err
	}
	if record != seen {
		return nil, referee.ErrTaken
	}
	done, err := c.take(ctx, claim,
		clientv3.Compare(clientv3.CreateRevision(c.officeKey()), "=", 0),
		clientv3.Compare(clientv3.ModRevision(c.recordKey()), "=", at))
	switch {
	case err != nil:
		return nil, err
	case !done.Succeeded:
		return nil, referee.ErrTaken
	}
	return &tenure{c, done.Header.Revision}, nil
}

// Renew is part of referee.Tenure.
func (t *tenure) Renew(ctx context.Context, claim referee.Claim) error {
	done, err := t.c.take(ctx, claim, t.mine())
	switch {
	case err != nil:
		return err
	case !done.Succeeded:
		return referee.ErrLost
	}
	return nil
}

// Resign is part of referee.Tenure.
func (t *tenure) Resign(ctx context.Context) error {
	_, err := t.c.etcd.Txn(ctx).If(t.mine()).Then(clientv3.OpDelete(t.c.officeKey())).Commit()
	return t.c.wrap("resign", err)
}

func (t *tenure) mine() clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(t.c.officeKey()), "=", t.created)
}

// take puts the office under a new lease, and replaces the record, if the conditions hold. A lease that comes to
// nothing runs out by itself.
func (c *Client) take(ctx context.Context, claim referee.Claim, conditions ...clientv3.Cmp) (*clientv3.TxnResponse,
	error) {
	lease, err := c.lease(ctx, claim.TTL)
	if err != nil {
		return nil, err
	}
	done, err := c.etcd.Txn(ctx).If(conditions...).Then(
		clientv3.OpPut(c.officeKey(), encode(claim.Holder), clientv3.WithLease(lease)),
		clientv3.OpPut(c.recordKey(), encode(claim.Record)),
	).Commit()
	return done, c.wrap("take the office", err)
}
