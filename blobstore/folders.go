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
	durable map[string]bool // folders of which all names are durable
}

func newFolders(disk vfs.FS, root string) *folders {
	return &folders{fs: disk, root: root, durable: map[string]bool{}}
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
	}
	return err
}

// makeAll returns the folders that got a new name in them.
func (f *folders) makeAll(dir string) (changed []string, err error) {
	err = f.fs.Mkdir(dir, 0o777)
	above := filepath.Dir(dir)
	switch {
	case err == nil:
		return []string{above}, nil
	case errors.Is(err, fs.ErrExist):
		return nil, nil
	case !errors.Is(err, fs.ErrNotExist) || above == dir:
		return nil, err
	}
	if changed, err = f.makeAll(above); err != nil {
		return changed, err
	}
	more, err := f.makeAll(dir)
	return append(changed, more...), err
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
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fs.SyncDir(dir); err != nil {
		return err
	}
	above, err := foldersAbove(f.root, dir)
	if err != nil {
		return err
	}
	for _, dir := range above {
		if f.durable[dir] {
			continue
		}
		if err := f.fs.SyncDir(dir); err != nil {
			return err
		}
		if len(f.durable) == maxDurable {
			clear(f.durable)
		}
		f.durable[dir] = true
	}
	return nil
}
