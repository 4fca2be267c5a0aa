package simdisk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/zrsd/zrsd/internal/vfs"
)

// A file is one opening of a node.
type file struct {
	d        *Disk
	n        *node
	path     string
	writable bool
	closed   bool
	claimed  bool
}

func (f *file) Name() string { return f.path }

// usable is called with the disk locked.
func (f *file) usable() error {
	if f.closed {
		return fs.ErrClosed
	}
	return f.d.power()
}

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.usable(); err != nil {
		return 0, pathError("read", f.path, err)
	}
	if off < 0 {
		return 0, pathError("read", f.path, syscall.EINVAL)
	}
	if len(b) == 0 { // as package os: not even at the end is it io.EOF
		return 0, nil
	}
	if off >= int64(len(f.n.content)) {
		return 0, io.EOF
	}
	n := copy(b, f.n.content[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	n, err := f.write(b, off)
	if err != nil {
		return n, pathError("write", f.path, err)
	}
	return n, nil
}

func (f *file) write(b []byte, off int64) (int, error) {
	if err := f.usable(); err != nil {
		return 0, err
	}
	if !f.writable {
		return 0, syscall.EBADF
	}
	if off < 0 {
		return 0, syscall.EINVAL
	}
	err := f.d.begin(Op{Kind: Write, Path: f.path, Off: off, Len: len(b)})
	n := len(b)
	if err != nil {
		torn, ok := err.(*tornError) //nolint:errorlint // a rule returns it as it is
		if !ok {
			return 0, err
		}
		n, err = min(torn.written, len(b)), torn.err
	}
	if room := f.d.room(f.n, off); int64(n) > room {
		n, err = int(room), syscall.ENOSPC
	}
	if n > 0 {
		f.n.write(b[:n], off)
	}
	return n, err
}

// room returns how many bytes fit at off.
func (d *Disk) room(n *node, off int64) int64 {
	if d.capacity == 0 {
		return 1 << 62
	}
	free := d.capacity - used(d.root, map[*node]bool{})
	return max(int64(len(n.content))+free-off, 0)
}

func used(n *node, seen map[*node]bool) int64 {
	if seen[n] {
		return 0
	}
	seen[n] = true
	sum := int64(len(n.content))
	for _, e := range n.names {
		sum += used(e, seen)
	}
	return sum
}

func (f *file) Truncate(size int64) error {
	return f.change(Op{Kind: Truncate, Path: f.path, Off: size}, func() { f.n.truncate(size) })
}

// Sync that fails leaves the pages clean, as Linux does.
func (f *file) Sync() error {
	err := f.change(Op{Kind: Sync, Path: f.path}, f.n.sync)
	if err != nil && !errors.Is(err, ErrKilled) && !errors.Is(err, ErrPowerLoss) && !errors.Is(err, fs.ErrClosed) {
		f.d.mu.Lock()
		defer f.d.mu.Unlock()
		f.n.failSync()
	}
	return err
}

// Chmod is Disk.Chmod of the file that was opened.
func (f *file) Chmod(perm fs.FileMode) error {
	return f.change(Op{Kind: Chmod, Path: f.path}, func() { f.n.mode = f.n.mode&fs.ModeType | perm.Perm() })
}

func (f *file) change(op Op, do func()) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	err := f.usable()
	if err == nil {
		err = f.d.begin(op)
	}
	if err != nil {
		return pathError(string(op.Kind), f.path, err)
	}
	do()
	return nil
}

// Claim takes the lock of the file itself, which is that of a lock file, too.
func (f *file) Claim() (io.Closer, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.usable(); err != nil {
		return nil, pathError("lock", f.path, err)
	}
	if f.d.locks[f.n] {
		return nil, fmt.Errorf("lock %s: %w", f.path, vfs.ErrLocked)
	}
	f.d.locks[f.n], f.claimed = true, true
	return claim{f}, nil
}

type claim struct{ f *file }

// Close does nothing to a file that is closed.
func (c claim) Close() error {
	c.f.d.mu.Lock()
	defer c.f.d.mu.Unlock()
	c.f.unclaim()
	return nil
}

func (f *file) unclaim() {
	if f.claimed {
		delete(f.d.locks, f.n)
		f.claimed = false
	}
}

func (f *file) Stat() (fs.FileInfo, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.usable(); err != nil {
		return nil, pathError("stat", f.path, err)
	}
	return info{filepath.Base(f.path), f.n, int64(len(f.n.content))}, nil
}

// Close succeeds without power too: the process that continues after a power failure exists only in tests.
func (f *file) Close() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.closed {
		return pathError("close", f.path, fs.ErrClosed)
	}
	f.closed = true
	f.unclaim()
	return nil
}
