package node

import (
	"context"
	"fmt"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/heal"
	"github.com/zrsd/zrsd/internal/verify"
)

// A control does what operators ask of a process.
type control struct {
	members []*member
	front   front // nil: this process serves no ZEO clients
}

// Clients is admin.Control.
func (k *control) Clients(storage string) ([]admin.Client, error) {
	if k.front == nil {
		return nil, &admin.Refusal{Reason: admin.NotAllowed,
			Text: "this process serves no ZEO clients; zrsd status shows its secondaries"}
	}
	all := k.front.Clients()
	if storage == "" {
		return all, nil
	}
	if _, err := k.member(storage); err != nil {
		return nil, err
	}
	var list []admin.Client
	for _, c := range all {
		if c.Storage != nil && *c.Storage == storage {
			list = append(list, c)
		}
	}
	return list, nil
}

// Pack is admin.Control.
func (k *control) Pack(ctx context.Context, storage string, req admin.PackRequest, progress func(admin.PackProgress)) (
	admin.PackResult, error) {
	m, err := k.member(storage)
	if err != nil {
		return admin.PackResult{}, err
	}
	return m.c.pack(ctx, req, "zrsd pack", progress)
}

// Verify is admin.Control.
func (k *control) Verify(ctx context.Context, storage string, req admin.VerifyRequest,
	progress func(admin.VerifyProgress)) (verify.Pass, error) {
	m, err := k.member(storage)
	if err != nil {
		return verify.Pass{}, err
	}
	return m.c.verify(ctx, req, progress)
}

// Heal is admin.Control.
func (k *control) Heal(ctx context.Context, storage string, req admin.HealRequest,
	progress func(admin.VerifyProgress)) (heal.Report, error) {
	m, err := k.member(storage)
	if err != nil {
		return heal.Report{}, err
	}
	return m.c.healNow(ctx, req, progress)
}

// UndoLog is admin.Control.
func (k *control) UndoLog(ctx context.Context, storage string, q admin.UndoQuery) (list []admin.UndoEntry, err error) {
	m, err := k.member(storage)
	if err != nil {
		return nil, err
	}
	err = m.c.handle.use(ctx, func(ctx context.Context, st undoLister) error {
		if !q.Received {
			st = m.c.view(st)
		}
		list, err = UndoLog(ctx, st, q)
		return err
	})
	return list, err
}

// member returns the one with the storage of that name, or the only one.
func (k *control) member(storage string) (*member, error) {
	var names []string
	for _, m := range k.members {
		if m.storage == storage {
			return m, nil
		}
		names = append(names, m.storage)
	}
	switch {
	case storage == "" && len(k.members) == 1:
		return k.members[0], nil
	case storage == "":
		return nil, &admin.Refusal{Reason: admin.Invalid,
			Text: fmt.Sprintf("there are several storages: name one of %q with --storage", names)}
	case len(k.members) == 1 && names[0] == "":
		return nil, &admin.Refusal{Reason: admin.NoStorage,
			Text: "the only storage of this process has no name: leave out --storage"}
	}
	return nil, &admin.Refusal{Reason: admin.NoStorage,
		Text: fmt.Sprintf("there is no storage of that name: there are %q", names)}
}

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
