package simdisk

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"

	"github.com/zrsd/zrsd/internal/vfs"
)

// A Disk implements vfs.FS. Paths are relative to its root, with or without a leading slash; the root exists.
type Disk struct {
	mu       sync.Mutex
	root     *node
	ops      []Op
	rules    []func(Op) error
	offAt    int
	killAt   int
	off      bool
	capacity int64
	oneByOne bool // it is no vfs.AllSyncer
	locks    map[*node]bool
}

// New returns an empty disk.
func New() *Disk {
	return &Disk{root: newFolder(0o777), locks: map[*node]bool{}}
}

func split(path string) []string {
	path = strings.Trim(filepath.Clean("/"+path), "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

func pathError(op, path string, err error) error {
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// find returns the node at path.
func (d *Disk) find(path string) (*node, error) {
	n := d.root
	for _, name := range split(path) {
		if !n.isDir() {
			return nil, syscall.ENOTDIR
		}
		if n = n.names[name]; n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

// place returns the folder that path is in, and its name there.
func (d *Disk) place(path string) (folder *node, name string, err error) {
	parts := split(path)
	if len(parts) == 0 {
		return nil, "", syscall.EINVAL
	}
	folder, err = d.find(filepath.Join(parts[:len(parts)-1]...))
	if err == nil && !folder.isDir() {
		err = syscall.ENOTDIR
	}
	return folder, parts[len(parts)-1], err
}

// change does one operation on names: check decides what changes, then the operation is numbered and may fail, then it
// happens.
func (d *Disk) change(op Op, check func() (*naming, error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.power(); err != nil {
		return pathError(string(op.Kind), op.Path, err)
	}
	c, err := check()
	if err == nil {
		err = d.begin(op)
	}
	if err != nil {
		return pathError(string(op.Kind), op.Path, err)
	}
	if c != nil {
		c.name()
	}
	return nil
}

// OpenFile is numbered only when it creates or empties a file.
func (d *Disk) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.open(path, flag, perm)
	if err != nil {
		return nil, pathError("open", path, err)
	}
	return &file{d: d, n: n, path: path, writable: flag&(os.O_WRONLY|os.O_RDWR) != 0}, nil
}

func (d *Disk) open(path string, flag int, perm fs.FileMode) (*node, error) {
	if err := d.power(); err != nil {
		return nil, err
	}
	folder, name, err := d.place(path)
	if err != nil {
		return nil, err
	}
	n := folder.names[name]
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, syscall.ENOENT
	case n == nil:
		if err := d.begin(Op{Kind: Create, Path: path}); err != nil {
			return nil, err
		}
		n = &node{mode: perm.Perm()}
		(&naming{add: folder, addName: name, target: n}).name()
	case flag&os.O_EXCL != 0:
		return nil, syscall.EEXIST
	case n.isDir() && flag&(os.O_WRONLY|os.O_RDWR) != 0:
		return nil, syscall.EISDIR
	case flag&os.O_TRUNC != 0 && len(n.content) > 0:
		if err := d.begin(Op{Kind: Truncate, Path: path}); err != nil {
			return nil, err
		}
		n.truncate(0)
	}
	return n, nil
}

// Stat returns a FileInfo that vfs.SameFile can compare.
func (d *Disk) Stat(path string) (fs.FileInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find(path)
	if d.off {
		err = ErrPowerLoss
	}
	if err != nil {
		return nil, pathError("stat", path, err)
	}
	return info{filepath.Base(path), n, int64(len(n.content))}, nil
}

// ReadDir returns the entries sorted by name.
func (d *Disk) ReadDir(path string) ([]fs.DirEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find(path)
	switch {
	case d.off:
		err = ErrPowerLoss
	case err == nil && !n.isDir():
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("readdir", path, err)
	}
	var entries []fs.DirEntry
	for name, e := range n.names {
		entries = append(entries, fs.FileInfoToDirEntry(info{name, e, int64(len(e.content))}))
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name() < entries[j].Name() })
	return entries, nil
}

// Mkdir creates one folder.
func (d *Disk) Mkdir(path string, perm fs.FileMode) error {
	return d.change(Op{Kind: Mkdir, Path: path}, func() (*naming, error) {
		folder, name, err := d.place(path)
		if err != nil {
			return nil, err
		}
		if folder.names[name] != nil {
			return nil, syscall.EEXIST
		}
		return &naming{add: folder, addName: name, target: newFolder(perm.Perm())}, nil
	})
}

// Rename replaces what has the new name.
func (d *Disk) Rename(oldPath, newPath string) error {
	return d.change(Op{Kind: Rename, Path: oldPath, To: newPath}, func() (*naming, error) {
		from, oldName, err := d.place(oldPath)
		if err != nil {
			return nil, err
		}
		to, newName, err := d.place(newPath)
		if err != nil {
			return nil, err
		}
		n := from.names[oldName]
		switch {
		case n == nil:
			return nil, syscall.ENOENT
		case n == to.names[newName]:
			return nil, nil
		case to.names[newName] != nil && to.names[newName].isDir():
			return nil, syscall.EISDIR
		}
		return &naming{remove: from, removeName: oldName, add: to, addName: newName, target: n}, nil
	})
}

// Link makes a second name for a file.
func (d *Disk) Link(oldPath, newPath string) error {
	return d.change(Op{Kind: Link, Path: oldPath, To: newPath}, func() (*naming, error) {
		n, err := d.find(oldPath)
		if err != nil {
			return nil, err
		}
		to, name, err := d.place(newPath)
		switch {
		case err != nil:
			return nil, err
		case to.names[name] != nil:
			return nil, syscall.EEXIST
		case n.isDir():
			return nil, syscall.EPERM
		}
		return &naming{add: to, addName: name, target: n}, nil
	})
}

// Remove removes a file or an empty folder.
func (d *Disk) Remove(path string) error {
	return d.change(Op{Kind: Remove, Path: path}, func() (*naming, error) {
		folder, name, err := d.place(path)
		if err != nil {
			return nil, err
		}
		n := folder.names[name]
		switch {
		case n == nil:
			return nil, syscall.ENOENT
		case len(n.names) > 0:
			return nil, syscall.ENOTEMPTY
		}
		return &naming{remove: folder, removeName: name}, nil
	})
}

// Chmod changes the permissions, at once and for good.
func (d *Disk) Chmod(path string, perm fs.FileMode) error {
	return d.change(Op{Kind: Chmod, Path: path}, func() (*naming, error) {
		n, err := d.find(path)
		if err != nil {
			return nil, err
		}
		n.mode = n.mode&fs.ModeType | perm.Perm()
		return nil, nil
	})
}

// SyncDir makes the names in a folder durable.
func (d *Disk) SyncDir(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find(path)
	if err == nil && !n.isDir() {
		err = syscall.ENOTDIR
	}
	if err == nil {
		err = d.begin(Op{Kind: SyncDir, Path: path})
	}
	if err != nil {
		return pathError("syncdir", path, err)
	}
	n.syncNames()
	return nil
}

// Lock is not numbered, and writes content at once and for good.
func (d *Disk) Lock(path, content string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.power(); err != nil {
		return nil, pathError("lock", path, err)
	}
	folder, name, err := d.place(path)
	if err != nil {
		return nil, pathError("lock", path, err)
	}
	n := folder.names[name]
	if n == nil {
		n = &node{mode: 0o666}
		folder.names[name], folder.durableNames[name] = n, n
	}
	if d.locks[n] {
		return nil, fmt.Errorf("lock %s: %w", path, vfs.ErrLocked)
	}
	d.locks[n] = true
	n.content, n.durable = []byte(content), []byte(content)
	return &lock{d, n, path}, nil
}

type lock struct {
	d    *Disk
	n    *node
	path string
}

// Stat returns which file is locked.
func (l *lock) Stat() (fs.FileInfo, error) {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	return info{filepath.Base(l.path), l.n, int64(len(l.n.content))}, nil
}

func (l *lock) Close() error {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	if !l.d.locks[l.n] {
		return fs.ErrClosed
	}
	delete(l.d.locks, l.n)
	return nil
}
