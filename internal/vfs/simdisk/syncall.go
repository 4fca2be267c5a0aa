package simdisk

import (
	"errors"
	"syscall"

	"github.com/zrsd/zrsd/internal/vfs"
)

// SyncsAll makes a Disk a vfs.AllSyncer.
func (d *Disk) SyncsAll(vfs.File) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.oneByOne
}

// SyncsOneByOne makes it a disk that is no vfs.AllSyncer.
func (d *Disk) SyncsOneByOne() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.oneByOne = true
}

// SyncAll makes all files and names durable. One that fails leaves all pages clean, as Sync does.
func (d *Disk) SyncAll(folder vfs.File) error {
	f, ok := folder.(*file)
	if !ok || f.d != d {
		return pathError("syncall", folder.Name(), syscall.EINVAL)
	}
	sync := func(n *node) {
		if n.isDir() {
			n.syncNames()
		} else {
			n.sync()
		}
	}
	err := f.change(Op{Kind: SyncAll, Path: f.path}, func() { each(d.root, map[*node]bool{}, sync) })
	if err != nil && !errors.Is(err, ErrKilled) && !errors.Is(err, ErrPowerLoss) {
		d.mu.Lock()
		defer d.mu.Unlock()
		each(d.root, map[*node]bool{}, func(n *node) {
			if !n.isDir() {
				n.failSync()
			}
		})
	}
	return err
}

// each calls do with a node and all below it.
func each(n *node, seen map[*node]bool, do func(*node)) {
	if seen[n] {
		return
	}
	seen[n] = true
	do(n)
	for _, below := range n.names {
		each(below, seen, do)
	}
}
