package blobstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// oldSuffix makes the path of the blobs before a pack out of that of the blob directory.
const oldSuffix = ".old"

// A RemovalError says which blobs that a pack has dropped are still there.
type RemovalError struct {
	Dir   string
	Left  int   // revisions
	First error // of the first one of them
}

func (e *RemovalError) Error() string {
	return fmt.Sprintf("%d dropped blobs could not be removed from %s: %v", e.Left, e.Dir, e.First)
}

func (e *RemovalError) Unwrap() error { return e.First }

// FinishRemoval carries out what PlanRemoval has planned, except for revisions that are still needed, and drops the
// plan. Folders that become empty are removed. Without a plan it does nothing. After an error, the context's cause
// included, a plan of the rest is still there, and the next call continues. A *RemovalError says that all was done
// except for some blobs.
//
// With keepOld, the directory with .old has the state before the pack: what was removed is moved there, the others get
// a second name there, as after a pack by ZODB. Its names are not synced. Those that can have no second name stay where
// they are, which is logged.
func (s *Store) FinishRemoval(ctx context.Context, needed func(zodb.Oid, zodb.Tid) (bool, error)) error {
	p, err := s.readPlan()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var left *RemovalError
	if err == nil {
		left, err = s.carryOut(ctx, p, needed)
	}
	switch {
	case err != nil:
		return fmt.Errorf("remove blobs from %s after a pack: %w", s.dir, err)
	case left != nil:
		return left
	}
	return s.CancelRemoval()
}

func (s *Store) carryOut(ctx context.Context, p *plan, needed func(zodb.Oid, zodb.Tid) (bool, error)) (
	*RemovalError, error) {
	end, err := s.keepLayout(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	keepOld := p.head != planRemove
	if keepOld {
		if err := s.makeOld(); err != nil {
			return nil, err
		}
	}
	changed := map[string]bool{}
	var left plan
	var first error
	for _, r := range p.revisions {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		keep, err := needed(r.oid, r.tid)
		if err != nil {
			return nil, err
		}
		if keep {
			continue
		}
		if err := s.retire(r, keepOld, changed); err != nil {
			left.revisions = append(left.revisions, r)
			first = cmp.Or(first, err)
		}
	}
	if err := s.syncChanged(changed); err != nil {
		return nil, err
	}
	if p.head == planKeep {
		if err := s.linkAllOld(ctx); err != nil {
			return nil, err
		}
		p.head = planRest
	}
	if first == nil {
		return nil, nil //nolint:nilnil // nothing is left
	}
	return &RemovalError{s.dir, len(left.revisions), first}, s.writePlan(left.all(), p.head)
}

// linkAllOld gives all blobs a second name in the directory with .old, as far as they can have one.
func (s *Store) linkAllOld(ctx context.Context) error {
	var failed int
	var first error
	note := func(err error) {
		if err != nil {
			failed, first = failed+1, cmp.Or(first, err)
		}
	}
	err := s.WalkPast(func(_ zodb.Oid, _ zodb.Tid, _ int64, path string) error {
		note(s.linkOld(path))
		return context.Cause(ctx)
	}, func(_ string, err error) error {
		note(err)
		return nil
	})
	if failed > 0 {
		s.log.Warn("some kept blobs could not be copied to the directory of old blobs; they are still in the blob "+
			"directory",
			"dir", s.dir, "old", s.dir+oldSuffix, "number", failed, "error", first, "warning", warning.CleanupLeft)
	}
	return err
}

// makeOld makes the directory with .old, and gives it the marker.
func (s *Store) makeOld() error {
	if err := s.fs.Mkdir(s.dir+oldSuffix, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.linkOld(filepath.Join(s.dir, markerName))
}

// old returns where a file below the blob directory belongs in the one with .old, and makes the folder for it.
func (s *Store) old(path string) (string, error) {
	below, err := filepath.Rel(s.dir, path)
	if err != nil {
		return "", err
	}
	to := filepath.Join(s.dir+oldSuffix, below)
	_, err = newFolders(s.fs, s.dir+oldSuffix).makeAll(filepath.Dir(to))
	return to, err
}

// linkOld gives a file a second name in the directory with .old. One that is gone meanwhile gets none.
func (s *Store) linkOld(path string) error {
	to, err := s.old(path)
	if err != nil {
		return err
	}
	err = s.fs.Link(path, to)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// syncChanged makes durable what went from the folders, as far as they are still there.
func (s *Store) syncChanged(changed map[string]bool) error {
	for dir := range changed {
		if err := s.fs.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// retire removes a blob, or moves it to the directory with .old, and notes the folders in which a name went. Where
// there is no such blob it does nothing.
func (s *Store) retire(r revision, keepOld bool, changed map[string]bool) error {
	folders, err := s.takeNames(r, keepOld)
	for _, dir := range folders {
		left, pruned := s.prune(dir)
		changed[left] = true
		err = errors.Join(err, pruned)
	}
	if err == nil {
		s.forget(r.oid, r.tid, false)
	}
	return err
}

// takeNames takes the names of a blob away, and returns the folders in which they were.
func (s *Store) takeNames(r revision, keepOld bool) (folders []string, err error) {
	s.publishing.RLock()
	defer s.publishing.RUnlock()
	path, second := s.names(r.oid, r.tid)
	for _, name := range []string{path, second} {
		if name == "" {
			continue
		}
		dir := filepath.Dir(name)
		if _, err := s.fs.Stat(name); errors.Is(err, fs.ErrNotExist) {
			if name == second { // a conversion may have removed it, not durably
				folders = append(folders, dir)
			}
			continue
		}
		if err := s.takeAway(name, keepOld && name == path); err != nil {
			return folders, err
		}
		folders = append(folders, dir)
	}
	return folders, nil
}

func (s *Store) takeAway(path string, keepOld bool) error {
	if !keepOld {
		return s.fs.Remove(path)
	}
	to, err := s.old(path)
	if err != nil {
		return err
	}
	return s.moveBlob(path, to)
}

// prune removes a folder if it is empty, and those above it that become so, and returns the first that is not. No blob
// is published meanwhile: its folder must stay from the moment when it is made to that when the blob is in it.
func (s *Store) prune(dir string) (string, error) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	above, err := foldersAbove(s.dir, dir)
	for _, next := range above {
		entries, err := s.fs.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) { // somebody else has removed it
			dir = next
			continue
		}
		if err != nil || !s.removeTries(dir, entries) {
			return dir, err
		}
		if err := s.fs.Remove(dir); err != nil {
			return dir, err
		}
		dir = next
	}
	return dir, err
}

// removeTries removes what a crash in a vote has left in a folder, and reports whether it is empty now. No vote tries
// anything meanwhile.
func (s *Store) removeTries(dir string, entries []fs.DirEntry) (empty bool) {
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tryPrefix) || s.fs.Remove(filepath.Join(dir, e.Name())) != nil {
			return false
		}
	}
	return true
}

// removeTree removes a folder and all that is in it; nothing where there is none.
func removeTree(disk vfs.FS, dir string) error {
	entries, err := disk.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			err = removeTree(disk, path)
		} else {
			err = disk.Remove(path)
		}
		if err != nil {
			return err
		}
	}
	return disk.Remove(dir)
}
