package filestorage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/zrsd/zrsd/internal/vfs"
)

// finishOpen clears up after a crash, as far as that is possible: what is not is left for later. The error is that of
// ctx.
func (s *Storage) finishOpen(ctx context.Context) error {
	err := s.finishPack(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if lost := s.left.aside; len(lost) > 0 {
		err = errors.Join(err, lostAsideError(len(lost), lost[0], s.left.first))
	}
	s.leave(err)
	return nil
}

// setAside moves the blob of a lost transaction out of the way. Where that is impossible it stays for now: nothing
// leads to it, and should the transaction come again, its blob takes its place. A disk that fails is another matter.
func (s *Storage) setAside(b lostBlob) error {
	err := s.blobs.SetAside(b.oid, b.tid, b.label)
	if err == nil || errors.Is(err, syscall.EIO) {
		return err
	}
	s.left.lost(b, err)
	return nil
}

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
		s.log.Warn("removing files of an interrupted pack", "file", s.path+packSuffix)
		if blobs != nil {
			err = blobs.CancelRemoval()
		}
		if err == nil {
			err = s.fs.Remove(s.path + packSuffix)
		}
	case errors.Is(err, fs.ErrNotExist) && blobs != nil:
		err = blobs.FinishRemoval(ctx, s.hasRevision)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if err = errors.Join(err, s.removeSecondName()); err != nil {
		return fmt.Errorf("finish an interrupted pack: %w", err)
	}
	return nil
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
