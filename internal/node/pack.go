package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/zodb"
)

// pack packs the storage of this node, as a command asks for it.
func (c *Config) pack(ctx context.Context, req admin.PackRequest, progress func(admin.PackProgress)) (
	result admin.PackResult, err error) {
	err = c.handle.use(ctx, func(ctx context.Context, st undoLister) error {
		own, ok := st.(*filestorage.Storage)
		if !ok {
			return &admin.Refusal{Reason: admin.NotAllowed,
				Text: "the storage belongs to the process that this one is attached to: pack it there"}
		}
		result, err = c.packStorage(ctx, own, req, progress)
		return err
	})
	return result, err
}

func (c *Config) packStorage(ctx context.Context, st *filestorage.Storage, req admin.PackRequest,
	progress func(admin.PackProgress)) (admin.PackResult, error) {
	begun := time.Now()
	if req.Until.IsZero() {
		req.Until = begun
	}
	stop, err := zodb.TidFromTime(req.Until)
	if err != nil {
		return admin.PackResult{}, &admin.Refusal{Reason: admin.Invalid, Text: fmt.Sprintf("packing until %v: %v",
			req.Until, err)}
	}
	opt := c.packOptions(req)
	opt.Progress = func(p filestorage.PackProgress) {
		progress(admin.PackProgress{Phase: p.Phase, Done: p.Done, Total: p.Total})
	}
	c.Logger.Info("pack started by zrsd pack", "until", stop, "gc", opt.GC, "keep_old", opt.KeepOld)
	r, err := st.Pack(ctx, stop, opt)
	if r.Packed && c.resized != nil {
		c.resized()
	}
	if err != nil {
		c.Logger.Error("pack failed", "error", err, "packed", r.Packed)
		return admin.PackResult{}, packError(r, err)
	}
	c.Logger.Info("pack done", "packed", r.Packed, "before", r.Before, "after", r.After, "pause", r.Pause,
		"duration", time.Since(begun))
	result := admin.PackResult{
		Packed: r.Packed, Before: r.Before, After: r.After, Objects: int64(r.Objects), Blobs: int64(r.Blobs),
		Pause: r.Pause.Seconds(), Duration: time.Since(begun).Seconds(),
	}
	if !r.Packed {
		result.Before, result.After, result.Objects = st.Size(), st.Size(), int64(st.Len())
	}
	return result, nil
}

// packOptions are how the storage is packed, for a command or for a ZEO client, whose request says nothing of it.
func (c *Config) packOptions(req admin.PackRequest) filestorage.PackOptions {
	return filestorage.PackOptions{GC: orElse(req.GC, !c.PackNoGC), KeepOld: orElse(req.KeepOld, !c.PackNoOld)}
}

func orElse(choice *bool, otherwise bool) bool {
	if choice != nil {
		return *choice
	}
	return otherwise
}

// packError puts into words why a pack failed.
func packError(r filestorage.PackResult, err error) error {
	switch {
	case errors.Is(err, filestorage.ErrPacking):
		return &admin.Refusal{Reason: admin.Busy, Text: err.Error()}
	case errors.Is(err, zodb.ErrReadOnly):
		return &admin.Refusal{Reason: admin.NotAllowed, Text: "the storage is open for reading only: pack it " +
			"in the process that writes it"}
	case r.Packed:
		return fmt.Errorf("the data file is packed; what is left to do for the blobs is tried again every minute: %w",
			err)
	}
	return err
}
