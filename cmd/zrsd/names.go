package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/config"
	"github.com/zrsd/zrsd/internal/endpoint"
)

// nameTimeout is how long the nodes of this machine may take to say who they and the others are.
const nameTimeout = 5 * time.Second

// A namedNode is a node that a command can be given by its name.
type namedNode struct {
	name string
	id   string
	addr string // of its admin server; empty: others cannot reach it
}

// mayBeName reports whether an argument may be the name of a node: it is no address and no file. The name that a node
// has by default is its host and its data file.
func mayBeName(arg string) bool {
	if _, err := os.Lstat(arg); err == nil || strings.HasSuffix(arg, ".fs") && !strings.Contains(arg, ":/") {
		return false
	}
	_, err := endpoint.Parse(arg)
	return arg != "" && (err != nil && !strings.ContainsAny(arg, "[]*") || strings.Contains(arg, ":/"))
}

// byName returns the admin address of the node with a name: one of this machine, or one that a node of this machine
// knows.
func (f *tlsFlags) byName(ctx context.Context, name string) (endpoint.Endpoint, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, nameTimeout, fmt.Errorf("no answer within %v", nameTimeout))
	defer cancel()
	known := f.namedNodes(ctx)
	found := slices.DeleteFunc(slices.Clone(known), func(n namedNode) bool { return n.name != name })
	if len(found) == 0 { // the host of a name that was not given
		found = slices.DeleteFunc(slices.Clone(known), func(n namedNode) bool {
			return !strings.HasPrefix(n.name, name+":/")
		})
	}
	switch {
	case len(found) == 0:
		return endpoint.Endpoint{}, fmt.Errorf("%q is no address, no file, and no name of a node that is known here: "+
			"write host:port, :port or a path with a slash%s", name, listedNodes(known))
	case len(found) > 1:
		return endpoint.Endpoint{}, fmt.Errorf("the name %q means several nodes: give the address of one%s", name,
			listedNodes(found))
	case found[0].addr == "":
		return endpoint.Endpoint{}, unreachable(fmt.Errorf("node %s has no admin address that other machines can "+
			"reach: call zrsd there, or give it one with --admin", found[0].name))
	}
	return endpoint.Parse(found[0].addr)
}

// listedNodes says which nodes are known.
func listedNodes(nodes []namedNode) string {
	if len(nodes) == 0 {
		return ". No nodes are known by name: none of this user runs on this machine, or none answers"
	}
	var b strings.Builder
	b.WriteString(". These are known:")
	for _, n := range nodes {
		at := n.addr
		if at == "" {
			at = "with an admin address of its own machine only"
		}
		fmt.Fprintf(&b, "\n  %s  %s", n.name, at)
	}
	return b.String()
}

// namedNodes are the nodes of this machine, and those that they know. Where a node answers here, that counts.
func (f *tlsFlags) namedNodes(ctx context.Context) (list []namedNode) {
	local, err := localNodes()
	if err != nil {
		return nil
	}
	own, others := make([][]namedNode, len(local)), make([][]namedNode, len(local))
	slots := make(chan struct{}, maxAsked)
	var asking sync.WaitGroup
	for i, n := range local {
		if n.err != nil {
			continue
		}
		asking.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			own[i], others[i] = f.namesAt(ctx, n.addr)
		})
	}
	asking.Wait()
	list = slices.Concat(own...)
	for _, o := range slices.Concat(others...) {
		if !slices.ContainsFunc(list, func(n namedNode) bool { return n.name == o.name && n.id == o.id }) {
			list = append(list, o)
		}
	}
	return list
}

// namesAt asks one node of this machine for its storages, and for the others of each.
func (f *tlsFlags) namesAt(ctx context.Context, address string) (own, others []namedNode) {
	addr, err := endpoint.Parse(address)
	if err != nil {
		return nil, nil
	}
	dial, err := f.dialer(addr)
	if err != nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, fmt.Errorf("no answer within %v", probeTimeout))
	defer cancel()
	_, st, err := admin.Fetch(ctx, dial, "")
	if err != nil {
		return nil, nil
	}
	storages := []string{""}
	if len(st.Storages) > 0 {
		storages = nil
		for _, m := range st.Storages {
			storages = append(storages, m.Name)
		}
	}
	for _, storage := range storages {
		_, c, err := admin.FetchCluster(ctx, dial, storage)
		if err != nil || len(c.Nodes) == 0 {
			continue
		}
		own = append(own, namedNode{c.Nodes[0].Name, c.Nodes[0].NodeID, address})
		for _, n := range c.Nodes[1:] {
			if n.Name != "" {
				others = append(others, namedNode{n.Name, n.NodeID, n.AdminAddr})
			}
		}
	}
	return own, others
}

// ofFile returns where the process of a configuration file has its admin server.
func ofFile(path string) (endpoint.Endpoint, error) {
	cfg, err := (config.CommandLine{File: path}).Load()
	if err != nil {
		return endpoint.Endpoint{}, fmt.Errorf("%s does not say where the admin server is: %w", path, err)
	}
	if cfg.Admin != nil && !cfg.Admin.Address.V.IsZero() {
		return onHost(cfg.Admin.Address.V, "127.0.0.1"), nil
	}
	return endpoint.BesideData(cfg.Path())
}

// isConfiguration reports whether a file is one of a server, by its name.
func isConfiguration(path string, info fs.FileInfo) bool {
	return info.Mode().IsRegular() && filepath.Ext(path) == ".conf"
}
