package node

import (
	"context"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/blobtools"
)

// AuditBlobs is admin.Control.
func (k *control) AuditBlobs(ctx context.Context, storage string, found func(*blobtools.Finding) error,
	progress func(admin.VerifyProgress)) (*blobtools.Summary, error) {
	m, err := k.member(storage)
	if err != nil {
		return nil, err
	}
	var sum *blobtools.Summary
	err = m.c.withBlobs(ctx, func(ctx context.Context, blobs *blobstore.Store, places *blobPlaces) error {
		opt := blobtools.AuditOptions{FS: m.c.FS, Path: m.c.Data, Blobs: blobs, Report: found,
			Progress: func(done, total int64) { progress(admin.VerifyProgress{Done: done, Total: total}) }}
		if places != nil && places.objects != nil {
			opt.Store = places.objects
		}
		if places != nil && places.cache != nil {
			opt.Ask = places.cache.Where
		}
		sum, err = blobtools.Audit(ctx, opt)
		return err
	})
	return sum, err
}

// withBlobs has a command work with the blob directory of the open storage.
func (c *Config) withBlobs(ctx context.Context,
	command func(context.Context, *blobstore.Store, *blobPlaces) error) error {
	return c.handle.use(ctx, func(ctx context.Context, _ undoLister) error {
		v := c.verifiable.Load()
		switch {
		case v == nil:
			return errNotOpen
		case v.blobs.shared != nil:
			return &admin.Refusal{Reason: admin.NotAllowed,
				Text: "the blob directory is the primary's own: ask that node"}
		case v.blobs.own == nil:
			return &admin.Refusal{Reason: admin.NotAllowed, Text: "the storage has no blob directory"}
		}
		if err := v.blobs.own.Here(); err != nil {
			return err
		}
		return command(ctx, v.blobs.own, v.blobs.places)
	})
}
