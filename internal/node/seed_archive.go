package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/zrsd/zrsd/internal/archive"
	"github.com/zrsd/zrsd/internal/objectstore"
)

// archiveAtOnce is how many objects of an archive are read at a time to fill a copy.
const archiveAtOnce = 4

// seedFromArchive fills a copy that has no data file from an archive. Whatever comes of that, the rest comes from the
// primary; what was interrupted is gone on with at the next start.
func (s *session) seedFromArchive(ctx context.Context) {
	if s.cfg.SeedArchive == "" {
		return
	}
	if _, err := s.c.FS.Stat(s.c.Data); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	s.status.waits("filling the storage from the archive " + s.cfg.SeedArchive)
	r, err := s.restoreLatest(ctx)
	if err != nil {
		s.c.Logger.Info("the storage cannot be filled from the archive; everything comes from the primary", "archive",
			s.cfg.SeedArchive, "error", err)
		return
	}
	s.c.Logger.Info(
		"the storage was filled from the archive",
		"archive",
		s.cfg.SeedArchive,
		"last",
		r.Tid,
		"size",
		r.Size,
		"blobs",
		r.Blobs,
	)
}

func (s *session) restoreLatest(ctx context.Context) (*archive.RestoreReport, error) {
	url, err := ArchiveURL(s.cfg.SeedArchive)
	if err != nil {
		return nil, err
	}
	store, err := objectstore.Open(ctx, url, objectstore.Options{AtOnce: archiveAtOnce})
	if err != nil {
		return nil, err
	}
	defer store.Close() //nolint:errcheck // only read
	a, err := archive.Open(ctx, store, archive.Keys{})
	if err != nil {
		return nil, err
	}
	m, err := a.Unfinished(ctx, s.c.FS, s.c.Data)
	if m == nil && err == nil {
		m, err = a.Moment(ctx, archive.Latest, false)
	}
	if err != nil {
		return nil, err
	}
	opt := archive.RestoreOptions{FS: s.c.FS, Data: s.c.Data, AtOnce: archiveAtOnce}
	if !s.c.SharedBlobs {
		opt.Blobs = s.c.Blobs
	}
	show := s.c.tellProgress(s.status, "filling the storage from the archive")
	opt.Tell = func(r archive.RestoreReport) { show(r.Done, r.Size) }
	r, err := m.Restore(ctx, opt)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return r, nil
}
