package objectstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
)

// A directory is a place of objects on a disk. gocloud.dev/fileblob is not used: it syncs nothing.
type directory struct {
	disk vfs.FS
	root string
	was  fs.FileInfo // the root when it was opened
	page int

	mu      sync.Mutex
	durable map[string]bool // folders whose names are known to be durable
}

const (
	incoming   = ".tmp"
	oldEnough  = 24 * time.Hour // for what a crash has left in it
	maxDurable = 1 << 14        // folders that are remembered
)

func openDirectory(disk vfs.FS, root string, page int) (*directory, error) {
	d := &directory{disk: disk, root: vfs.CleanPath(root), page: page, durable: map[string]bool{}}
	info, err := disk.Stat(d.root)
	if err == nil && !info.IsDir() {
		err = errors.New("it is no directory")
	}
	if err != nil {
		return nil, fmt.Errorf("make the directory, or mount it: %w", err)
	}
	d.was = info
	return d, d.removeOld()
}

// removeOld removes what a crash has left.
func (d *directory) removeOld() error {
	entries, err := d.disk.ReadDir(filepath.Join(d.root, incoming))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		info, gone := e.Info()
		if gone != nil || time.Since(info.ModTime()) < oldEnough {
			continue
		}
		err = errors.Join(err, vfs.RemoveIfThere(d.disk, filepath.Join(d.root, incoming, e.Name())))
	}
	return err
}

// here is ErrAway when the root is another one than it was: an unmounted file system leaves an empty folder.
func (d *directory) here() error {
	info, err := d.disk.Stat(d.root)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	if !vfs.SameFile(info, d.was) {
		return fmt.Errorf("%w: the directory was replaced: check that it is mounted; if you replaced it on purpose, "+
			"restart the process", ErrAway)
	}
	return nil
}

func (d *directory) path(key string) string { return filepath.Join(d.root, filepath.FromSlash(key)) }

// kind classifies an error of the disk.
func (d *directory) kind(err error) error {
	switch {
	case err == nil, isOne(err, kinds):
		return err
	case errors.Is(err, fs.ErrNotExist):
		if away := d.here(); away != nil {
			return away
		}
		return fmt.Errorf("%w (%w)", ErrNotExist, err)
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w (%w)", ErrExists, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (%w)", ErrPermission, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return fmt.Errorf("%w (%w)", ErrAway, err)
}

func (d *directory) put(_ context.Context, key string, c *checked) error {
	return d.kind(d.write(key, c))
}

// write has these points of durability: the content under a temporary name, then the name and the folders above it.
func (d *directory) write(key string, c *checked) (err error) {
	if err := d.here(); err != nil {
		return err
	}
	final := d.path(key)
	for _, folder := range []string{filepath.Join(d.root, incoming), filepath.Dir(final)} {
		if err := d.makeAll(folder); err != nil {
			return err
		}
	}
	temp := filepath.Join(d.root, incoming, rand.Text())
	defer func() { err = errors.Join(err, vfs.RemoveIfThere(d.disk, temp)) }()
	err = vfs.WriteNewFile(d.disk, temp, func(f vfs.File) error {
		n, err := io.CopyBuffer(io.NewOffsetWriter(f, 0), c, make([]byte, burst))
		if err == nil && n != c.size {
			err = fmt.Errorf("%w: %d bytes came of %d", ErrDamaged, n, c.size)
		}
		return err
	})
	if err != nil {
		return err
	}
	linked := d.disk.Link(temp, final)
	if linked != nil && !errors.Is(linked, fs.ErrExist) {
		return fmt.Errorf("give the object its name (the file system must have hard links): %w", linked)
	}
	if err := d.syncUp(filepath.Dir(final)); err != nil { // the one that exists may be ours, from before a crash
		return err
	}
	return linked
}

// makeAll makes a folder and those above it, below the root.
func (d *directory) makeAll(folder string) error {
	err := d.makeOne(folder)
	if errors.Is(err, fs.ErrNotExist) && folder != d.root {
		if err = d.makeAll(filepath.Dir(folder)); err == nil {
			err = d.makeOne(folder) // where that is not enough, as below a link to nothing, it never is
		}
	}
	return err
}

func (d *directory) makeOne(folder string) error {
	err := d.disk.Mkdir(folder, 0o777)
	if err == nil {
		d.forget(folder)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// syncUp makes the names in a folder durable, and the folder itself.
func (d *directory) syncUp(folder string) error {
	if err := d.disk.SyncDir(folder); err != nil {
		return err
	}
	for folder != d.root {
		above := filepath.Dir(folder)
		if !d.known(folder) {
			if err := d.disk.SyncDir(above); err != nil {
				return err
			}
			d.note(folder)
		}
		folder = above
	}
	return nil
}

func (d *directory) known(folder string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.durable[folder]
}

func (d *directory) forget(folder string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.durable, folder)
}

func (d *directory) note(folder string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.durable) == maxDurable {
		clear(d.durable)
	}
	d.durable[folder] = true
}

func (d *directory) stat(_ context.Context, key string) (Object, error) {
	info, err := d.disk.Stat(d.path(key))
	if err == nil && info.IsDir() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return Object{}, d.kind(err)
	}
	return Object{Key: key, Size: info.Size(), Changed: info.ModTime()}, nil
}

func (d *directory) read(_ context.Context, key string, from, length int64) (io.ReadCloser, int64, error) {
	f, err := vfs.OpenPlain(d.disk, d.path(key))
	if errors.Is(err, vfs.ErrNotPlain) {
		err = fmt.Errorf("%w (%w)", ErrNotExist, err)
	}
	if err != nil {
		return nil, 0, d.kind(err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(d.kind(err), f.Close())
	}
	left := max(info.Size()-from, 0)
	if length < 0 || length > left {
		length = left
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, from, length), f}, info.Size(), nil
}

func (d *directory) remove(_ context.Context, key string) error {
	path := d.path(key)
	err := d.disk.Remove(path)
	if err == nil {
		err = d.disk.SyncDir(filepath.Dir(path))
	}
	return d.kind(err)
}

// list returns a page of objects after the token, which is the last key of the page before.
func (d *directory) list(ctx context.Context, prefix string, token []byte) ([]Object, []byte, error) {
	if err := d.here(); err != nil {
		return nil, nil, err
	}
	l := &listing{d: d, ctx: ctx, prefix: prefix, after: string(token)}
	if err := l.folder(""); err != nil && !errors.Is(err, errPageFull) {
		return nil, nil, d.kind(err)
	}
	if len(l.page) < d.page {
		return l.page, nil, nil
	}
	return l.page, []byte(l.page[d.page-1].Key), nil
}

type listing struct {
	d      *directory
	ctx    context.Context
	prefix string
	after  string
	page   []Object
}

var errPageFull = errors.New("the page is full")

// folder lists a folder whose key ends with a slash, or is that of the root, in the order of keys: a folder is as its
// name with a slash.
func (l *listing) folder(base string) error {
	if err := l.ctx.Err(); err != nil {
		return context.Cause(l.ctx)
	}
	entries, err := l.d.disk.ReadDir(l.d.path(base))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && base != "" { // it has just gone
			return nil
		}
		return err
	}
	key := func(e fs.DirEntry) string {
		if e.IsDir() {
			return base + e.Name() + "/"
		}
		return base + e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(key(a), key(b)) })
	for _, e := range entries {
		if err := l.entry(e, key(e)); err != nil {
			return err
		}
	}
	return nil
}

func (l *listing) entry(e fs.DirEntry, key string) error {
	short := key[:min(len(key), len(l.prefix))]
	switch {
	case e.Name()[0] == '.', short != l.prefix[:len(short)]:
		return nil
	case e.IsDir():
		if l.after >= key && !strings.HasPrefix(l.after, key) {
			return nil
		}
		return l.folder(key)
	case len(key) < len(l.prefix), key <= l.after, !e.Type().IsRegular():
		return nil
	}
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	l.page = append(l.page, Object{Key: key, Size: info.Size(), Changed: info.ModTime()})
	if len(l.page) == l.d.page {
		return errPageFull
	}
	return nil
}

func (d *directory) close() error { return nil }
