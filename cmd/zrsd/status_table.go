package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
)

// maxAsked is how many nodes are asked at a time.
const maxAsked = 16

// table shows all nodes in one table for each storage: those at the given addresses, or those of this machine, or, with
// --cluster, those that the node at the one address knows.
func (opt statusOptions) table(ctx context.Context, args []string, out io.Writer) error {
	clusters, raw, err := opt.clusters(ctx, args)
	if err != nil {
		return err
	}
	switch {
	case opt.json && raw != nil:
		_, err = out.Write(raw)
	case opt.json:
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err = e.Encode(map[string][]admin.Cluster{"clusters": clusters})
	default:
		err = writeClusters(out, clusters)
	}
	if err != nil {
		return err
	}
	var all admin.Health
	for i := range clusters {
		h := clusters[i].Health()
		all.Wrong, all.Silent = all.Wrong || h.Wrong, all.Silent || h.Silent
	}
	switch {
	case all.Wrong:
		return errFound
	case all.Silent:
		return coded(exitUnreachable, errTold)
	}
	return nil
}

func writeClusters(out io.Writer, clusters []admin.Cluster) error {
	for i := range clusters {
		if i > 0 {
			fmt.Fprintln(out)
		}
		if name := clusters[i].Storage; name != "" {
			fmt.Fprintf(out, "storage %s\n", name)
		}
		if err := admin.WriteCluster(out, &clusters[i]); err != nil {
			return err
		}
	}
	return nil
}

// clusters returns what is to be shown, and as it came where one node has told it.
func (opt statusOptions) clusters(ctx context.Context, args []string) (list []admin.Cluster, raw []byte, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, statusTimeout, fmt.Errorf("no answer within %v", statusTimeout))
	defer cancel()
	if opt.cluster {
		addr, dial, err := opt.connect(ctx, args[0])
		if err != nil {
			return nil, nil, err
		}
		raw, c, err := admin.FetchCluster(ctx, dial, opt.storage)
		if err != nil {
			return nil, nil, unreachable(fmt.Errorf("the cluster of %v: %w", addr, err))
		}
		return []admin.Cluster{*c}, raw, nil
	}
	if len(args) > 0 {
		return join(opt.askAll(ctx, args), func(n *askedNode) string { return n.member }), nil, nil
	}
	local, err := localNodes()
	if err != nil {
		return nil, nil, err
	}
	for _, n := range local {
		if n.err == nil {
			args = append(args, n.addr)
		}
	}
	if len(args) == 0 {
		return nil, nil, noNodes(local)
	}
	return join(opt.askAll(ctx, args), func(n *askedNode) string { return cmp.Or(n.Storage, n.Name) }), nil, nil
}

// An askedNode is a node that was asked, with the name of the storage where its process has several.
type askedNode struct {
	admin.ClusterNode
	member string
}

// askAll asks all at the same time, and returns them in the order of their addresses.
func (opt statusOptions) askAll(ctx context.Context, addresses []string) (all []askedNode) {
	answers := make([][]askedNode, len(addresses))
	slots := make(chan struct{}, maxAsked)
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			answers[i] = opt.askOne(ctx, address)
		})
	}
	asking.Wait()
	return slices.Concat(answers...)
}

// askOne returns the node at an address, one for each of its storages.
func (opt statusOptions) askOne(ctx context.Context, address string) (list []askedNode) {
	failed := func(err error) []askedNode {
		text := err.Error()
		return []askedNode{{admin.ClusterNode{Address: address, Source: "nothing", Error: &text}, opt.storage}}
	}
	_, dial, err := opt.connect(ctx, address)
	if err != nil {
		return failed(err)
	}
	_, st, err := admin.Fetch(ctx, dial, opt.storage)
	if err != nil {
		return failed(err)
	}
	members := []admin.Member{{Name: opt.storage}}
	if len(st.Storages) > 0 {
		members = st.Storages
	}
	for _, m := range members {
		if len(st.Storages) > 0 {
			if _, st, err = admin.Fetch(ctx, dial, m.Name); err != nil {
				return append(list, failed(err)...)
			}
		}
		n := admin.NodeOf(st)
		n.Address, n.Source, n.Run = address, "answer", st.Started.String()
		list = append(list, askedNode{n, m.Name})
	}
	return list
}

// join puts those together that are of one storage. Those that did not answer are in the only one, or by themselves.
func join(all []askedNode, key func(*askedNode) string) (list []admin.Cluster) {
	now := time.Now().UTC()
	groups := map[string][]admin.ClusterNode{}
	var silent []admin.ClusterNode
	for i := range all {
		if all[i].Error != nil {
			silent = append(silent, all[i].ClusterNode)
			continue
		}
		groups[key(&all[i])] = append(groups[key(&all[i])], all[i].ClusterNode)
	}
	names := slices.Sorted(maps.Keys(groups))
	if len(names) != 1 { // of which storage they are is not known
		names = append(names, "not known")
	}
	last := names[len(names)-1]
	if groups[last] = append(groups[last], silent...); len(groups[last]) == 0 {
		names = names[:len(names)-1]
	}
	for _, name := range names {
		c := admin.Join(now, groups[name])
		if len(names) > 1 {
			c.Storage = name
		}
		list = append(list, c)
	}
	return list
}
