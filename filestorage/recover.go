package filestorage

import (
	"context"
	"errors"
	"io/fs"
)

// readings is how often a file is read that does not stay what it is.
const readings = 3

// recover brings index and commit point to what the file says: it starts from the saved index where that is good, scans
// the rest, makes the end durable, and cuts off the tail of an interrupted commit.
func (s *Storage) recover(ctx context.Context, progress func(done, total int64)) error {
	for n := 1; ; n++ {
		err := s.recoverOnce(ctx, progress)
		if n == readings || !errors.Is(err, errChanged) {
			return err
		}
		s.log.Warn(
			"the end of the file on disk differs from what was read: reading it again",
			"file",
			s.path,
			"error",
			err,
		)
	}
}

func (s *Storage) recoverOnce(ctx context.Context, progress func(done, total int64)) error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	c := newScan(ctx, s.file, s.path, max(info.Size(), magicLen))
	indexed := s.startFromIndex(c)
	from := c.pos
	c.progress = progress
	if err := c.run(); err != nil {
		return err
	}
	s.warn(c, from)
	if !s.readOnly {
		if err := s.secure(c, from); err != nil {
			return err
		}
	}
	if c.pos < c.size && !s.readOnly {
		if err := s.cutTail(c); err != nil {
			return err
		}
	}
	s.index, s.commitPoint, s.saver.saved = c.index, newFrontier(c.pos, c.last), from
	if !indexed && !s.readOnly {
		s.saver.saved = c.pos
		s.saveIndexAt(c.pos)
	}
	return nil
}

// startFromIndex gives the scan the saved index and the position to go on from, and reports whether there was a good
// one. Without, the scan begins at the front.
func (s *Storage) startFromIndex(c *scan) bool {
	x, pos, err := loadIndex(s.fs, s.path+indexSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err == nil {
		err = c.accept(x, pos)
	}
	if err != nil {
		s.log.Warn("cannot use the saved index, scanning the file", "file", s.path+indexSuffix, "error", err)
	}
	return err == nil
}

// warn logs what a scan saw that is odd but does no harm.
func (s *Storage) warn(c *scan, from int64) {
	if c.strange > 0 {
		s.log.Warn("some records have a wrong pointer to their previous revision; current data are not affected",
			"file", s.path, "records", c.strange, "from", from)
	}
	if c.disorder > 0 {
		s.log.Warn(
			"some tids are not above the tid before them: a clock was wrong; transactions are served in file order",
			"file",
			s.path,
			"transactions",
			c.disorder,
			"from",
			from,
		)
	}
}
