package blobstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// An OldError says that the blobs before a pack cannot be kept beside the directory.
type OldError struct {
	Dir string
	Err error
}

func (e *OldError) Error() string {
	return fmt.Sprintf(
		"the old blobs cannot be kept in %s: %v: nothing was changed; put that folder on the file system of %s and "+
			"make it writable for this process, or pack without keeping the old file and blobs (zrsd pack "+
			"--no-keep-old, pack-keep-old false)",
		e.Dir+oldSuffix,
		e.Err,
		e.Dir,
	)
}

func (e *OldError) Unwrap() error { return e.Err }

// TryRemoval finds out, before a pack begins, whether PlanRemoval and FinishRemoval can do their work, and leaves
// everything as it was. *OldError: they could without keepOld.
func (s *Store) TryRemoval(keepOld bool) error {
	if s.readOnly {
		return zodb.ErrReadOnly
	}
	if _, err := s.readPlan(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	probe := filepath.Join(s.dir, planName+".try")
	err := s.tryPlan(probe)
	if err == nil && keepOld {
		err = s.tryOld(probe)
	}
	return errors.Join(err, vfs.RemoveIfThere(s.fs, probe))
}

func (s *Store) tryPlan(probe string) error {
	f, err := s.fs.OpenFile(probe, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o666)
	if err != nil {
		return fmt.Errorf(
			"plan the removal of blobs from %s: %w: give the user of this process write permission there",
			s.dir,
			err,
		)
	}
	return f.Close()
}

// tryOld gives a file a second name where the directory with .old will be, for a moment.
func (s *Store) tryOld(probe string) error {
	to := s.dir + oldSuffix + ".try"
	err := s.fs.Link(probe, to)
	if err == nil || errors.Is(err, fs.ErrExist) { // of a process that crashed
		err = s.fs.Remove(to)
	}
	if err != nil {
		return &OldError{s.dir, err}
	}
	return nil
}
