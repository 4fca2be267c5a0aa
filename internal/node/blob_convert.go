package node

import (
	"context"
	"errors"

	"golang.org/x/time/rate"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/zodb"
)

// ConvertBlobs is admin.Control. It runs at the priority of the process, since commits wait for each of its steps.
func (k *control) ConvertBlobs(ctx context.Context, storage string, q admin.ConvertQuery,
	progress func(blobstore.Conversion)) (did blobstore.Conversion, err error) {
	m, err := k.member(storage)
	if err != nil {
		return did, err
	}
	err = m.c.withBlobs(ctx, func(ctx context.Context, blobs *blobstore.Store, _ *blobPlaces) error {
		if q.Dry {
			would, err := blobs.WouldConvert(ctx, q.To, !q.Finish)
			if err == nil {
				did = *would
			}
			return err
		}
		m.c.Logger.Info("converting the layout of the blob directory", "dir", blobs.Dir(), "from", blobs.Layout(),
			"to", q.To, "finish", q.Finish)
		done, err := blobs.ConvertBeside(ctx, q.To, blobstore.BesideOptions{
			OldNames: !q.Finish, Pace: rate.NewLimiter(rate.Limit(q.Rate), 1).Wait, Progress: progress,
		})
		if done != nil {
			did = *done
		}
		m.c.Logger.Info("the conversion of the blob directory has ended", "dir", blobs.Dir(), "layout",
			blobs.Layout(), "blobs", did.Blobs, "removed", did.Removed, "left", did.Left, "error", err)
		return convertRefusal(err)
	})
	return did, err
}

// convertRefusal says why a conversion was not done.
func convertRefusal(err error) error {
	switch {
	case errors.Is(err, blobstore.ErrConverting):
		return &admin.Refusal{Reason: admin.Busy, Text: err.Error()}
	case errors.Is(err, zodb.ErrReadOnly):
		return &admin.Refusal{Reason: admin.NotAllowed, Text: "this node only reads the blob directory: ask the one " +
			"that writes it"}
	}
	return err
}
