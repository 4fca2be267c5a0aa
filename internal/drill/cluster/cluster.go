package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/drill/network"
	"github.com/zrsd/zrsd/zodb"
)

// Clients is what the network knows this process as.
const Clients = "clients"

// Options of a cluster.
type Options struct {
	Binary string   // zrsd
	Dir    string   // of everything; a short path, because of the sockets
	Names  []string // of the nodes; the first one is primary at first
	Args   []string // for every node
}

// A Cluster is a primary and its secondaries.
type Cluster struct {
	Nodes []*Node
	Net   *network.Network
	Aside []string // Data.fs of nodes that were replaced, and fragments of those that were rewound

	// Remote clusters were there before: their processes, storages and network cannot be touched.
	Remote bool

	sockets string // folder
	opt     Options
}

// New makes folders, gates and an empty storage for the first primary. Nothing runs yet.
func New(ctx context.Context, opt Options) (_ *Cluster, err error) {
	if runtime.GOOS != "linux" {
		return nil, errors.New("a drill runs a cluster of its own on Linux only: it asks the system who has " +
			"connected, and limits files; on other systems it can use a cluster that is there, with --primary")
	}
	c := &Cluster{opt: opt, sockets: filepath.Join(opt.Dir, "net")}
	if err := os.MkdirAll(c.sockets, 0o700); err != nil {
		return nil, err
	}
	c.Net = network.New(c.sockets)
	c.Net.Name(os.Getpid(), Clients)
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Net.Close())
		}
	}()
	for i, name := range opt.Names {
		n := &Node{Name: name, dir: filepath.Join(opt.Dir, name), c: c, first: i == 0}
		n.dial = n.dialSocket
		if n.repl, err = c.Net.Gate(ctx, name, "repl", n.socket("repl")); err != nil {
			return nil, err
		}
		if n.ZEO, err = c.Net.Gate(ctx, name, "zeo", n.socket("zeo")); err != nil {
			return nil, err
		}
		c.Nodes = append(c.Nodes, n)
	}
	return c, c.create(ctx, c.Nodes[0])
}

// create makes an empty storage: a primary wants one that is there.
func (c *Cluster) create(ctx context.Context, n *Node) error {
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return err
	}
	st, err := filestorage.Open(ctx, n.Data(), filestorage.Options{})
	if err != nil {
		return fmt.Errorf("making the storage of the drill: %w", err)
	}
	return st.Close()
}

// Start starts all nodes and waits until every secondary has what the primary has.
func (c *Cluster) Start(ctx context.Context) error {
	for _, n := range c.Nodes {
		if err := n.Start(); err != nil {
			return err
		}
	}
	return c.redundant(ctx, c.Nodes[0])
}

// redundant waits until every other node is a secondary of the primary, and has all that the primary had when it was
// asked first.
func (c *Cluster) redundant(ctx context.Context, primary *Node) error {
	var st *admin.Status
	err := primary.Await(ctx, "is primary", func(now *admin.Status) bool { st = now; return now.Role == "primary" })
	if err != nil {
		return err
	}
	mark := st.LastTid()
	return primary.Await(ctx, "has secondaries with "+mark.String(), func(now *admin.Status) bool {
		return len(c.Missing(now, primary, mark)) == 0
	})
}

// Missing returns the nodes that are no secondaries of the primary with this status, or lack the transaction mark.
func (c *Cluster) Missing(st *admin.Status, primary *Node, mark zodb.Tid) (list []*Node) {
	for _, n := range c.Nodes {
		has := slices.ContainsFunc(st.Secondaries, func(s admin.Secondary) bool {
			return s.Name == n.Name && s.State == "live" && (mark == 0 || s.Durable != nil && *s.Durable >= mark)
		})
		if n != primary && !has {
			list = append(list, n)
		}
	}
	return list
}

// Replace gives a node that does not run a new, empty storage. The former one is set aside as a whole.
func (c *Cluster) Replace(n *Node) error {
	to := filepath.Join(c.opt.Dir, fmt.Sprintf("aside-%d", len(c.Aside)+1))
	if err := os.Rename(n.dir, to); err != nil {
		return fmt.Errorf("setting the storage of node %s aside: %w", n.Name, err)
	}
	for i, path := range c.Aside { // what was taken out of it before
		if filepath.Dir(path) == n.dir {
			c.Aside[i] = filepath.Join(to, filepath.Base(path))
		}
	}
	c.Aside = append(c.Aside, filepath.Join(to, "Data.fs"))
	n.first = false
	return nil
}

// stopTimeout is how long a node may take to come to its end.
const stopTimeout = time.Minute

// Stop ends all nodes in good order: secondaries last, so that they have everything.
func (c *Cluster) Stop(ctx context.Context, primary *Node) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	var errs []error
	order := append([]*Node{primary}, c.Nodes...)
	for _, n := range order {
		if n.Running() {
			errs = append(errs, n.Wake(), n.proc.End(ctx))
		}
	}
	return errors.Join(errs...)
}

// Close kills what still runs, and ends the network.
func (c *Cluster) Close() error {
	var errs []error
	for _, n := range c.Nodes {
		errs = append(errs, n.Kill())
	}
	if c.Net != nil {
		errs = append(errs, c.Net.Close())
	}
	return errors.Join(errs...)
}

// An Address has the addresses of a node of an existing cluster.
type Address struct {
	Admin admin.Dialer
	ZEO   string
}

// Join returns an existing cluster. The first place must be that of its primary.
func Join(ctx context.Context, places []Address) (*Cluster, error) {
	c := &Cluster{Remote: true}
	for i, p := range places {
		n := &Node{ZEO: p.ZEO, c: c, dial: p.Admin}
		st, err := n.Status(ctx)
		if err != nil {
			return nil, err
		}
		if primary := st.Role == "primary"; primary != (i == 0) {
			return nil, fmt.Errorf("node %s is %s: name the primary with --primary and its secondaries with "+
				"--secondary", st.Name, st.Role)
		}
		n.Name = st.Name
		c.Nodes = append(c.Nodes, n)
	}
	return c, nil
}
