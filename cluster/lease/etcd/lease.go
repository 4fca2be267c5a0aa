package etcd

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/zrsd/zrsd/cluster/lease"
)

// A lease is known by the revision that created the key of the lease: renewals keep it, and no other has it.
type heldLease struct {
	c       *Client
	created int64
}

// Acquire is part of lease.Coordinator.
func (c *Client) Acquire(ctx context.Context, seen lease.Record, claim lease.Claim) (lease.Lease, error) {
	var record lease.Record
	at, err := c.get(ctx, c.recordKey(), &record)
	if err != nil {
		return nil, err
	}
	if record != seen {
		return nil, lease.ErrTaken
	}
	done, err := c.takeLease(ctx, claim,
		clientv3.Compare(clientv3.CreateRevision(c.leaseKey()), "=", 0),
		clientv3.Compare(clientv3.ModRevision(c.recordKey()), "=", at))
	switch {
	case err != nil:
		return nil, err
	case !done.Succeeded:
		return nil, lease.ErrTaken
	}
	return &heldLease{c, done.Header.Revision}, nil
}

// Renew is part of lease.Lease.
func (t *heldLease) Renew(ctx context.Context, claim lease.Claim) error {
	done, err := t.c.takeLease(ctx, claim, t.mine())
	switch {
	case err != nil:
		return err
	case !done.Succeeded:
		return lease.ErrLost
	}
	return nil
}

// Resign is part of lease.Lease.
func (t *heldLease) Resign(ctx context.Context) error {
	_, err := t.c.etcd.Txn(ctx).If(t.mine()).Then(clientv3.OpDelete(t.c.leaseKey())).Commit()
	return t.c.wrap("resign", err)
}

func (t *heldLease) mine() clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(t.c.leaseKey()), "=", t.created)
}

// take puts the lease under a new lease, and replaces the record, if the conditions hold. A lease that comes to
// nothing runs out by itself.
func (c *Client) takeLease(ctx context.Context, claim lease.Claim, conditions ...clientv3.Cmp) (*clientv3.TxnResponse,
	error) {
	held, err := c.grantLease(ctx, claim.TTL)
	if err != nil {
		return nil, err
	}
	done, err := c.etcd.Txn(ctx).If(conditions...).Then(
		clientv3.OpPut(c.leaseKey(), encode(claim.Holder), clientv3.WithLease(held)),
		clientv3.OpPut(c.recordKey(), encode(claim.Record)),
	).Commit()
	return done, c.wrap("take the lease", err)
}
