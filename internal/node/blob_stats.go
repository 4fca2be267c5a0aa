package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/blobtools"
	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/internal/priority"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A BlobCounting says which blobs CountBlobs counts. Data, Blobs, Progress and Logger are required.
type BlobCounting struct {
	FS       vfs.FS // nil: the real disk
	Data     string
	Blobs    *blobstore.Store
	Query    admin.StatsQuery
	Progress func(done, total int64)
	Yield    bool // go behind others, as in a process that serves clients
	Logger   hclog.Logger
}

// CountBlobs reads the storage from its file, for a command as for a node. It takes no lock.
func CountBlobs(ctx context.Context, c BlobCounting) (stats *blobtools.Stats, err error) {
	done := make(chan error, 1)
	go func() {
		if c.Yield {
			priority.Lower(priority.Background)
		}
		done <- recovered.Do(c.Logger, "counting blobs", func() (err error) {
			stats, err = c.count(ctx)
			return err
		})
	}()
	err = <-done
	return stats, err
}

func (c *BlobCounting) count(ctx context.Context) (stats *blobtools.Stats, err error) {
	st, err := filestorage.Open(ctx, c.Data, filestorage.Options{FS: c.FS, ReadOnly: true, MustExist: true,
		Progress: c.Progress})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	survey, err := inside.Take(ctx, st, inside.Options{FS: c.FS, Yield: c.Yield, Logger: c.Logger,
		Progress: c.Progress})
	if err != nil {
		return nil, err
	}
	now := time.Now()
	until, err := zodb.TidFromTime(now.AddDate(0, 0, -c.Query.Days))
	if err != nil {
		return nil, &admin.Refusal{Reason: admin.Invalid, Text: fmt.Sprintf("pack-days %d: %v", c.Query.Days, err)}
	}
	return blobtools.CountBlobs(ctx, blobtools.StatsOptions{
		FS: c.FS, Path: c.Data, Blobs: c.Blobs, Now: now, Progress: c.Progress,
		Owner: func(oid zodb.Oid) string {
			if class, ok := survey.Referrer(oid); ok {
				return class
			}
			return "(not reached from the root)"
		},
		Dropped: func(ctx context.Context, drop func(zodb.Oid, zodb.Tid)) error {
			return st.PlannedPack(ctx, until, filestorage.PackOptions{GC: c.Query.GC, Progress: func(
				p filestorage.PackProgress) {
				c.Progress(p.Done, p.Total)
			}}, drop)
		},
	})
}

// CountBlobs is admin.Control. It reads the file for itself, as a command beside the node does, and clients go first.
func (k *control) CountBlobs(ctx context.Context, storage string, q admin.StatsQuery,
	progress func(admin.VerifyProgress)) (stats *blobtools.Stats, err error) {
	m, err := k.member(storage)
	if err != nil {
		return nil, err
	}
	err = m.c.withBlobs(ctx, func(ctx context.Context, blobs *blobstore.Store, _ *blobPlaces) error {
		stats, err = CountBlobs(ctx, BlobCounting{
			FS: m.c.FS, Data: m.c.Data, Blobs: blobs, Query: q, Yield: true, Logger: m.c.Logger,
			Progress: func(done, total int64) { progress(admin.VerifyProgress{Done: done, Total: total}) },
		})
		return err
	})
	return stats, err
}
