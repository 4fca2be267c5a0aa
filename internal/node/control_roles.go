package node

import (
	"context"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/internal/admin"
)

// Promote is admin.Roles.
func (k *control) Promote(ctx context.Context, storage string, req admin.PromoteRequest, tell func(admin.Step)) (
	admin.Change, error) {
	return k.withRoles(storage, func(n *cluster.Node) (admin.Change, error) { return n.Promote(ctx, req, tell) })
}

// Switchover is admin.Roles.
func (k *control) Switchover(ctx context.Context, storage string, req admin.SwitchoverRequest,
	tell func(admin.Step)) (admin.Change, error) {
	return k.withRoles(storage, func(n *cluster.Node) (admin.Change, error) { return n.Switchover(ctx, req, tell) })
}

// Demote is admin.Roles.
func (k *control) Demote(ctx context.Context, storage string, req admin.DemoteRequest, tell func(admin.Step)) (
	admin.Change, error) {
	return k.withRoles(storage, func(n *cluster.Node) (admin.Change, error) { return n.Demote(ctx, req, tell) })
}

// Freeze is admin.Roles.
func (k *control) Freeze(ctx context.Context, storage string, req admin.FreezeRequest, tell func(admin.Step)) (
	admin.Change, error) {
	return k.withRoles(storage, func(n *cluster.Node) (admin.Change, error) { return n.Freeze(ctx, req, tell) })
}

// Thaw is admin.Roles.
func (k *control) Thaw(ctx context.Context, storage string, req admin.FreezeRequest, tell func(admin.Step)) (
	admin.Change, error) {
	return k.withRoles(storage, func(n *cluster.Node) (admin.Change, error) { return n.Thaw(ctx, req, tell) })
}

// withRoles has f change the role of a storage, if it has one that can change.
func (k *control) withRoles(storage string, f func(*cluster.Node) (admin.Change, error)) (admin.Change, error) {
	m, err := k.member(storage)
	if err != nil {
		return admin.Change{}, err
	}
	if m.now == nil {
		return admin.Change{}, &admin.Refusal{Reason: admin.NotAllowed, Text: "this storage is not replicated by " +
			"this process, or belongs to another one (--attach): it has no role that could change"}
	}
	s := m.now.Load()
	if s == nil {
		return admin.Change{}, &admin.Refusal{Reason: admin.Unavailable, Text: "the storage is not open now: zrsd " +
			"status says why"}
	}
	return f(s.node)
}
