package simdisk

import (
	"io/fs"
	"maps"
	"slices"
	"time"
)

const sector = 512

// A node is a file or a folder. What is written and what is durable differ by what is pending, in order.
type node struct {
	mode fs.FileMode

	content, durable []byte
	writes           []change

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

// sync makes the content durable.
func (n *node) sync() {
	n.durable = slices.Clone(n.content)
	n.writes = nil
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
