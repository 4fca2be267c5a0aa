package filestorage

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// OpenMoment opens a storage read-only, as it was after the last transaction whose tid is not above tid: that is its
// last one, for all methods. zodb.MaxTid: as it is now. It makes an index of then, by a scan of the file up to there; a
// *MomentPackedError says that the state of then is not in the file any more.
func OpenMoment(ctx context.Context, path string, tid zodb.Tid, opt Options) (*Storage, error) {
	opt.ReadOnly, opt.MustExist = true, true
	s, err := Open(ctx, path, opt)
	if err != nil || tid == zodb.MaxTid {
		return s, err
	}
	m, err := s.MomentAt(ctx, tid)
	if err == nil && m.Size < s.Size() {
		err = s.endAt(ctx, m.Size, opt.Progress)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// endAt makes a storage that was just opened one that ends at an offset.
func (s *Storage) endAt(ctx context.Context, size int64, progress func(done, total int64)) error {
	c := newScan(ctx, s.file, s.path, size)
	c.progress = progress
	if err := c.run(); err != nil {
		return fmt.Errorf("scan %s up to offset %d: %w", s.path, size, err)
	}
	s.index, s.commitPoint = c.index, newCommitPoint(c.pos, c.last)
	return nil
}
