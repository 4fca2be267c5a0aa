package simdisk

import (
	"math/rand/v2"
	"slices"
)

// Crash returns the disk as it may be found after a power failure at this moment: what is durable, and a part of what
// is pending that follows from seed. Seed 0 keeps nothing that is pending, seed 1 all of it. The new disk has power, no
// locks, no rules and no limit, and the old one none of the power any more.
func (d *Disk) Crash(seed uint64) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
	c := crash{
		random:  rand.New(rand.NewPCG(seed, 0)), //nolint:gosec // the same seed has to give the same crash
		nodes:   map[*node]*node{},
		decided: map[*naming]bool{},
	}
	switch seed {
	case 0:
		c.keep = 0
	case 1:
		c.keep = 1
	default:
		c.keep = []float64{0.1, 0.5, 0.9}[c.random.IntN(3)]
	}
	after := New()
	after.root = c.node(d.root)
	return after
}

type crash struct {
	random  *rand.Rand
	keep    float64 // the part of what is pending that survives
	nodes   map[*node]*node
	decided map[*naming]bool
}

func (c *crash) survives() bool { return c.random.Float64() < c.keep }

// node returns what is left of n.
func (c *crash) node(n *node) *node {
	if left, ok := c.nodes[n]; ok {
		return left
	}
	left := &node{mode: n.mode}
	c.nodes[n] = left
	if n.isDir() {
		c.folder(n, left)
		return left
	}
	left.content = slices.Clone(n.durable)
	for _, w := range n.writes {
		c.write(left, w)
	}
	left.durable = slices.Clone(left.content)
	return left
}

func (c *crash) write(left *node, w change) {
	if w.cut {
		if c.survives() {
			left.content = w.applyTo(left.content)
		}
		return
	}
	for at := int64(0); at < int64(len(w.data)); {
		n := min(sector-(w.off+at)%sector, int64(len(w.data))-at)
		if c.survives() {
			left.content = change{off: w.off + at, data: w.data[at : at+n]}.applyTo(left.content)
		}
		at += n
	}
}

func (c *crash) folder(n, left *node) {
	names := map[string]*node{}
	for name, e := range n.durableNames {
		names[name] = e
	}
	for _, r := range n.renames {
		if !c.naming(r) {
			continue
		}
		if r.remove == n && !r.removed {
			delete(names, r.removeName)
		}
		if r.add == n && !r.added {
			names[r.addName] = r.target
		}
	}
	left.names, left.durableNames = map[string]*node{}, map[string]*node{}
	for _, name := range sorted(names) {
		e := c.node(names[name])
		left.names[name], left.durableNames[name] = e, e
	}
}

// naming decides once for both folders of a rename.
func (c *crash) naming(r *naming) bool {
	survives, ok := c.decided[r]
	if !ok {
		survives = c.survives()
		c.decided[r] = survives
	}
	return survives
}

func sorted(names map[string]*node) []string {
	keys := make([]string, 0, len(names))
	for name := range names {
		keys = append(keys, name)
	}
	slices.Sort(keys)
	return keys
}
