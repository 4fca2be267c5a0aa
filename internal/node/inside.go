package node

import (
	"context"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/inside"
)

// Inside is admin.Control. It reads the file for itself, as a command beside the node does, and clients go first.
func (k *control) Inside(ctx context.Context, storage string, q inside.Question,
	progress func(admin.VerifyProgress)) (answer any, err error) {
	m, err := k.member(storage)
	if err != nil {
		return nil, err
	}
	err = m.c.handle.use(ctx, func(ctx context.Context, _ undoLister) error {
		answer, err = inside.Answer(ctx, m.c.Data, q, inside.Options{
			FS: m.c.FS, Yield: true, Logger: m.c.Logger,
			Progress: func(done, total int64) { progress(admin.VerifyProgress{Done: done, Total: total}) },
		})
		return err
	})
	return answer, err
}
