package simdisk

import (
	"io/fs"
	"maps"
	"slices"
	"time"
)

// What survives one by one, and what a sync writes at a time.
const (
	sector = 512
	page   = 4096
)

// A node is a file or a folder. What is written and what is durable differ by what is pending, in order.
type node struct {
	mode fs.FileMode

	content, durable []byte
	writes           []change // in order; those that are lost stay until something is written over them

	names, durableNames map[string]*node // folders only
	renames             []*naming
}

// FileNode makes a node what vfs.SameFile compares.
func (n *node) FileNode() {}

// A change is a write, or, without data, a truncation.
type change struct {
	off  int64
	data []byte
	size int64
	cut  bool
	lost bool // a sync failed that should have written it, and no other will
}

// A naming is a change of the names in one or two folders: a rename between two is pending in both.
type naming struct {
	remove, add         *node // folders, nil for none
	removeName, addName string
	target              *node
	removed, added      bool // what is durable of it
}

func newFolder(mode fs.FileMode) *node {
	return &node{mode: fs.ModeDir | mode, names: map[string]*node{}, durableNames: map[string]*node{}}
}

func (n *node) isDir() bool { return n.mode.IsDir() }

func (n *node) write(b []byte, off int64) {
	n.apply(change{off: off, data: slices.Clone(b)})
}

func (n *node) truncate(size int64) {
	n.apply(change{size: size, cut: true})
}

func (n *node) apply(c change) {
	n.content = c.applyTo(n.content)
	n.writes = append(n.writes, c)
}

func (c change) applyTo(b []byte) []byte {
	if c.cut {
		return resize(b, c.size)
	}
	if end := c.off + int64(len(c.data)); end > int64(len(b)) {
		b = resize(b, end)
	}
	copy(b[c.off:], c.data)
	return b
}

func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size:size]
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

// dirty returns the pages that the next sync writes.
func (n *node) dirty() map[int64]bool {
	pages := map[int64]bool{}
	for _, w := range n.writes {
		if w.cut || w.lost {
			continue
		}
		for p := w.off / page; p*page < w.off+int64(len(w.data)); p++ {
			pages[p] = true
		}
	}
	return pages
}

// sync makes durable what was written since the last sync, by pages. What a sync before it failed to write is not
// among that.
func (n *node) sync() {
	var lost []change
	for _, w := range n.writes {
		switch {
		case w.cut:
			n.durable = resize(n.durable, w.size)
			lost = within(lost, w.size)
		case w.lost:
			lost = append(lost, w)
		}
	}
	size, dirty := int64(len(n.content)), n.dirty()
	n.durable = n.withDirty(n.durable, dirty)
	n.writes = slices.DeleteFunc(within(lost, size), func(w change) bool { return dirty[w.off/page] })
}

// withDirty returns b with the size of the content, and with its dirty pages.
func (n *node) withDirty(b []byte, dirty map[int64]bool) []byte {
	size := int64(len(n.content))
	b = resize(slices.Clone(b), size)
	for p := range dirty {
		if at := p * page; at < size {
			copy(b[at:], n.content[at:min(at+page, size)])
		}
	}
	return b
}

// within cuts writes off at size.
func within(writes []change, size int64) (left []change) {
	for _, w := range writes {
		if room := size - w.off; room > 0 {
			w.data = w.data[:min(int64(len(w.data)), room)]
			left = append(left, w)
		}
	}
	return left
}

// failSync marks what was written as lost, page by page: it can be read, it may be on the disk, and no sync writes it.
// A truncation stays pending.
func (n *node) failSync() {
	var writes []change
	for _, w := range n.writes {
		if w.cut || w.lost {
			writes = append(writes, w)
			continue
		}
		for off, b := w.off, w.data; len(b) > 0; {
			k := min(page-off%page, int64(len(b)))
			writes = append(writes, change{off: off, data: b[:k], lost: true})
			off, b = off+k, b[k:]
		}
	}
	n.writes = writes
}

// evict forgets pages that are clean: what they had comes from the disk again.
func (n *node) evict() {
	dirty := n.dirty()
	n.content = n.withDirty(n.durable, dirty)
	n.writes = slices.DeleteFunc(n.writes, func(w change) bool { return w.lost && !dirty[w.off/page] })
}

// name puts a change of names into effect and leaves it pending in its folders.
func (c *naming) name() {
	if c.remove != nil {
		delete(c.remove.names, c.removeName)
		c.remove.renames = append(c.remove.renames, c)
	}
	if c.add != nil {
		c.add.names[c.addName] = c.target
		if c.add != c.remove {
			c.add.renames = append(c.add.renames, c)
		}
	}
}

// settle makes a change durable in folder. A folder that forgets the old name of a rename makes the new one durable
// too.
func (c *naming) settle(folder *node) {
	if c.add != nil && !c.added {
		c.add.durableNames[c.addName] = c.target
		c.added = true
	}
	if c.remove == folder && !c.removed {
		delete(folder.durableNames, c.removeName)
		c.removed = true
	}
}

// syncNames makes the names in a folder durable.
func (n *node) syncNames() {
	for _, c := range n.renames {
		c.settle(n)
	}
	n.renames = nil
	n.durableNames = maps.Clone(n.names)
}

type info struct {
	name string
	n    *node
	size int64
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.n.mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.n.isDir() }
func (i info) Sys() any           { return i.n }
