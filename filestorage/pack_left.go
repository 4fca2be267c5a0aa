package filestorage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/zrsd/zrsd/vfs"
)

// finishPack clears up after a pack that was interrupted, by a crash or in Python. A new file that is still there did
// not come to replace the old one and is removed, with the plan for its blobs; a plan without it is carried out.
func (s *Storage) finishPack(ctx context.Context) error {
	blobs, ok := s.blobs.(BlobPacker)
	if !ok {
		blobs = nil
	}
	_, err := s.fs.Stat(s.path + packSuffix)
	switch {
	case err == nil:
		s.log.Warn("removing what an interrupted pack has left", "file", s.path+packSuffix)
		if blobs != nil {
			if err := blobs.CancelRemoval(); err != nil {
				return err
			}
		}
		if err := s.fs.Remove(s.path + packSuffix); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case blobs != nil:
		if err := blobs.FinishRemoval(ctx, s.hasRevision); err != nil {
			return fmt.Errorf("finish an interrupted pack: %w", err)
		}
	}
	return s.removeSecondName()
}

// removeSecondName removes a Data.fs.old that is the Data.fs.
func (s *Storage) removeSecondName() error {
	old, err := s.fs.Stat(s.path + oldSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	now, err := s.file.Stat()
	if err != nil || !vfs.SameFile(old, now) {
		return err
	}
	return s.fs.Remove(s.path + oldSuffix)
}
