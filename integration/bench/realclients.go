package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zrsd/zrsd/integration/grave"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/drill/zeoclients"
)

// realPause is between two commits of a real client.
const realPause = 50 * time.Millisecond

// realClients kills the primary of three nodes under clients of ZEO, promotes another one, and measures how long after
// that each client commits again. The former primary stays away.
func (b *bench) realClients(ctx context.Context, dir string) error {
	pythons := slices.DeleteFunc([]string{b.zeo, b.zeo5}, func(path string) bool { return path == "" })
	if len(pythons) == 0 {
		return nil
	}
	deaths := map[string]func(context.Context, string) (*grave.Grave, error){
		"refuses": nil, "is silent": grave.Silent, "closes": grave.Closing,
	}
	for _, name := range slices.Sorted(maps.Keys(deaths)) {
		for _, encoding := range []string{"pickle", "msgpack"} {
			at, err := os.MkdirTemp(dir, "")
			if err != nil {
				return err
			}
			took, err := b.realFailover(ctx, at, pythons, encoding == "msgpack", deaths[name])
			if err != nil {
				return fmt.Errorf("the dead address %s, %s: %w", name, encoding, err)
			}
			for _, version := range slices.Sorted(maps.Keys(took)) {
				what := fmt.Sprintf("dead address %s, %s: the last client of ZEO %s commits after the promotion", name,
					encoding, version)
				b.report.atMost(what, ms(took[version]), "ms", 3000)
			}
		}
	}
	return nil
}

// realFailover returns how long after the promotion the last client of each version commits.
func (b *bench) realFailover(ctx context.Context, dir string, pythons []string, msgpack bool,
	death func(context.Context, string) (*grave.Grave, error)) (took map[string]time.Duration, err error) {
	nodes, err := b.realNodes(ctx, dir, msgpack)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stopAll(nodes)) }()
	var clients []*zeoclients.Clients
	defer func() {
		for _, c := range clients {
			err = errors.Join(err, c.Close())
		}
	}()
	for _, python := range pythons {
		c, err := zeoclients.Start(python, realPause, nodes[0].zeo, nodes[1].zeo, nodes[2].zeo)
		if err != nil {
			return nil, err
		}
		clients = append(clients, c)
	}
	if err := allCommit(ctx, clients, time.Now()); err != nil {
		return nil, err
	}
	if err := nodes[0].Kill(); err != nil {
		return nil, err
	}
	for _, addr := range []string{nodes[0].zeo, nodes[0].to} {
		if death == nil {
			break
		}
		g, err := death(ctx, addr)
		if err != nil {
			return nil, err
		}
		defer g.Close() //nolint:errcheck // the figure is there
	}
	if _, err := admin.AskPromote(ctx, nodes[1].dial(), admin.ChangeOptions{}, true, ignored); err != nil {
		return nil, err
	}
	promoted := time.Now()
	if err := allCommit(ctx, clients, promoted); err != nil {
		return nil, err
	}
	took = make(map[string]time.Duration)
	for _, c := range clients {
		took[c.Version] = slices.Max(slices.Collect(maps.Values(c.First(promoted))))
	}
	return took, nil
}

// allCommit waits until each client has committed after a time.
func allCommit(ctx context.Context, all []*zeoclients.Clients, after time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, c := range all {
		if err := c.AwaitAll(ctx, after); err != nil {
			return err
		}
	}
	return nil
}

// startTimeout is how long nodes may take until they are ready. One whose address somebody else has taken never is.
const startTimeout = 2 * time.Minute

// realNodes are a primary and two secondaries with configuration files, which choose the encoding.
func (b *bench) realNodes(ctx context.Context, dir string, msgpack bool) (list []*node, err error) {
	if list, err = b.newNodes(ctx, dir, "0", "1", "2"); err != nil {
		return nil, err
	}
	for i, s := range list {
		if err := s.startConfigured(i, list, msgpack); err != nil {
			return nil, errors.Join(err, stopAll(list))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, s := range slices.Backward(list) { // the first takes transactions when it has heard of the others
		if _, err := s.Await(ctx, "it is ready", func(st *admin.Status) bool { return st.Ready }); err != nil {
			return nil, errors.Join(err, stopAll(list))
		}
	}
	return list, nil
}

func (s *node) startConfigured(i int, all []*node, msgpack bool) (err error) {
	var others []string
	for _, o := range all {
		if o != s {
			others = append(others, o.to)
		}
	}
	where := "replicate-from"
	if i == 0 {
		where = "members"
	}
	conf := filepath.Join(filepath.Dir(s.data), "zrsd.conf")
	text := fmt.Sprintf("<zeo>\naddress %s\nmsgpack %v\n</zeo>\n<admin>\naddress %s\n</admin>\n<zrs 1>\nname %c\n"+
		"replicate-to %s\n%s %s\n<filestorage>\npath %s\n</filestorage>\n</zrs>\n", s.zeo, msgpack, s.control, 'a'+i,
		s.to, where, strings.Join(others, ","), s.data)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return err
	}
	s.Process, err = daemon.StartConfigured(s.binary, s.control, nil, "serve", "-C", conf)
	return err
}
