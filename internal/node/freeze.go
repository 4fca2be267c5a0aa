package node

import (
	"context"
	"fmt"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/state"
)

// Freeze keeps this primary from taking transactions; it is read, and streamed, as before. It stays so across restarts.
func (r *replica) Freeze(ctx context.Context, req admin.FreezeRequest, tell func(admin.Step)) (admin.Change, error) {
	return r.setFrozen(ctx, req, tell, true)
}

// Thaw lets it take transactions again.
func (r *replica) Thaw(ctx context.Context, req admin.FreezeRequest, tell func(admin.Step)) (admin.Change, error) {
	return r.setFrozen(ctx, req, tell, false)
}

func (r *replica) setFrozen(ctx context.Context, req admin.FreezeRequest, tell func(admin.Step), frozen bool) (
	out admin.Change, err error) {
	err = r.change(ctx, func(ctx context.Context) error {
		p := &report{tell: tell, dry: req.DryRun}
		if err := r.freeze(ctx, p, frozen); err != nil {
			return err
		}
		out = p.outcome(r)
		return nil
	})
	return out, err
}

func (r *replica) freeze(ctx context.Context, p *report, frozen bool) error {
	id := r.keep.State()
	switch {
	case !r.isLeading() || r.fenced():
		return &admin.Refusal{Reason: admin.NotAllowed, Text: "this node is not the primary: it takes no transactions"}
	case id.Frozen == frozen:
		p.warn("nothing to do: this is already the case")
		return nil
	case p.dry:
		p.step("%s", frozenText(frozen, "would take"))
		return nil
	}
	release, err := r.st.Hold(ctx)
	if err != nil {
		return fmt.Errorf("waiting for commits in progress: %w", err)
	}
	defer release()
	if err := r.keep.Update(func(id *state.State) error { id.Frozen = frozen; return nil }); err != nil {
		return err
	}
	r.applyAccess()
	p.step("%s", frozenText(frozen, "takes"))
	r.c.Logger.Warn("this primary "+frozenText(frozen, "takes"), "last_tid", r.st.LastTid())
	return nil
}

func frozenText(frozen bool, takes string) string {
	if frozen {
		return takes + " no transactions until it is thawed"
	}
	return takes + " transactions"
}
