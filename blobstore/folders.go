package blobstore

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/zrsd/zrsd/internal/vfs"
)

// maxDurable bounds how many folders are remembered as durable.
const maxDurable = 1 << 14

// folders makes the folders of a blob directory, and makes them durable. A folder is durable when its name has been
// synced in the one above it, up to the root; one that an earlier, interrupted commit made may exist without being
// durable. So all folders above a file are synced with it, except those known to have nothing new in them.
type folders struct {
	fs   vfs.FS
	root string

	mu      sync.Mutex
	durable map[string]bool     // folders of which all names are durable
	syncing map[string]*syncing // folders that are being synced
}

// A syncing is a folder that is being synced, by some at a time. Nobody waits for it who needs other folders.
type syncing struct {
	by      int
	changed bool // it got a new name meanwhile
}

func newFolders(disk vfs.FS, root string) *folders {
	return &folders{fs: disk, root: root, durable: map[string]bool{}, syncing: map[string]*syncing{}}
}

// makeRoot makes the root and what is missing above it, durably.
func (f *folders) makeRoot() error {
	changed, err := f.makeAll(f.root)
	for _, dir := range changed {
		err = errors.Join(err, f.fs.SyncDir(dir))
	}
	return err
}

// make makes dir and what is missing between the root and it. The root itself is there, or has been taken away, to come
// back: nothing may be in its place.
func (f *folders) make(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.fs.Stat(f.root); err != nil {
		return err
	}
	changed, err := f.makeAll(dir)
	for _, dir := range changed {
		delete(f.durable, dir)
		if s := f.syncing[dir]; s != nil {
			s.changed = true
		}
	}
	return err
}

// makeAll returns the folders that got a new name in them.
func (f *folders) makeAll(dir string) (changed []string, err error) {
	above := filepath.Dir(dir)
	made, err := f.makeOne(dir)
	if errors.Is(err, fs.ErrNotExist) && above != dir {
		if changed, err = f.makeAll(above); err != nil {
			return changed, err
		}
		made, err = f.makeOne(dir) // where that is not enough, as below a link to nothing, it never is
	}
	if made {
		changed = append(changed, above)
	}
	return changed, err
}

// makeOne reports whether a folder was made, and not there before.
func (f *folders) makeOne(dir string) (made bool, err error) {
	err = f.fs.Mkdir(dir, 0o777)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// foldersAbove returns the folders above dir up to root, the nearest first; none for root itself. There are as many as
// the relative path has parts, however root is spelled.
func foldersAbove(root, dir string) (list []string, err error) {
	below, err := filepath.Rel(root, dir)
	if err == nil && !filepath.IsLocal(below) {
		err = errors.New("it is outside")
	}
	if err != nil {
		return nil, fmt.Errorf("find the folders between %s and blob directory %s: %w", dir, root, err)
	}
	for below != "." {
		below = filepath.Dir(below)
		list = append(list, filepath.Join(root, below))
	}
	return list, nil
}

// sync makes the names in dir durable, and dir itself.
func (f *folders) sync(dir string) error {
	if err := f.fs.SyncDir(dir); err != nil {
		return err
	}
	above, err := foldersAbove(f.root, dir)
	if err != nil {
		return err
	}
	for _, dir := range above {
		if !f.begin(dir) {
			continue
		}
		err := f.fs.SyncDir(dir)
		f.end(dir, err == nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// begin reports whether a folder is to be synced, and notes that it is being.
func (f *folders) begin(dir string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.durable[dir] {
		return false
	}
	if f.syncing[dir] == nil {
		f.syncing[dir] = &syncing{}
	}
	f.syncing[dir].by++
	return true
}

// end notes what became of it. A name that came meanwhile may not have been synced.
func (f *folders) end(dir string, synced bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.syncing[dir]
	if s.by--; s.by == 0 {
		delete(f.syncing, dir)
	}
	if !synced || s.changed {
		return
	}
	if len(f.durable) == maxDurable {
		clear(f.durable)
	}
	f.durable[dir] = true
}
