package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/zrsd/zrsd/cluster/lease"
)

// Read is part of lease.Coordinator.
func (c *Client) Read(ctx context.Context, other int64) (lease.View, error) {
	if other != 0 {
		if err := c.await(ctx, other); err != nil {
			return lease.View{}, c.wrap("watch", err)
		}
	}
	got, err := c.etcd.Get(ctx, c.prefix, clientv3.WithPrefix())
	if err != nil {
		return lease.View{}, c.wrap("read", err)
	}
	v := lease.View{Revision: got.Header.Revision}
	for _, kv := range got.Kvs {
		if err := c.addToView(&v, kv); err != nil {
			return lease.View{}, c.wrap("read", err)
		}
	}
	return v, nil
}

// await returns when something has changed after a revision, or may have.
func (c *Client) await(ctx context.Context, revision int64) error {
	watching, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	changes := c.etcd.Watch(watching, c.prefix, clientv3.WithPrefix(), clientv3.WithRev(revision+1))
	change, open := <-changes
	err := change.Err()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !open:
		return errors.New("the watch ended")
	case errors.Is(err, rpctypes.ErrCompacted):
		return nil
	}
	return err
}

// enter puts the value of one key into a view. Keys of others are left alone.
func (c *Client) addToView(v *lease.View, kv *mvccpb.KeyValue) error {
	key := string(kv.Key)
	switch key {
	case c.recordKey():
		return decode(kv, &v.Record)
	case c.maintenanceKey():
		return decode(kv, &v.Maintenance)
	case c.leaseKey():
		v.Holder = new(lease.MemberStatus)
		return decode(kv, v.Holder)
	}
	if !strings.HasPrefix(key, c.membersKey()) {
		return nil
	}
	m := lease.Member{Revision: kv.ModRevision}
	err := decode(kv, &m.MemberStatus)
	v.Members = append(v.Members, m)
	return err
}

// get reads one key, and returns the revision of its last change: 0, and the value as it was, when there is none.
func (c *Client) get(ctx context.Context, key string, value any) (int64, error) {
	got, err := c.etcd.Get(ctx, key)
	if err != nil {
		return 0, c.wrap("read", err)
	}
	if len(got.Kvs) == 0 {
		return 0, nil
	}
	return got.Kvs[0].ModRevision, c.wrap("read", decode(got.Kvs[0], value))
}

func decode(kv *mvccpb.KeyValue, value any) error {
	if err := json.Unmarshal(kv.Value, value); err != nil {
		return fmt.Errorf("key %s: %w: %w", kv.Key, errNotOurs, err)
	}
	return nil
}
