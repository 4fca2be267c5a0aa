package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/zodb"
)

// A node is one node of a cluster, which can be started again and again.
type node struct {
	binary string
	data   string
	role   string
	args   []string

	to, zeo, control string // its addresses
	*daemon.Process
}

// newNodes makes nodes, each with a folder of its name and addresses, none of them started. The first has an empty
// storage.
func (b *bench) newNodes(ctx context.Context, dir string, names ...string) (list []*node, err error) {
	for _, name := range names {
		s := &node{binary: b.zrsd, data: filepath.Join(dir, name, "Data.fs")}
		for _, addr := range []*string{&s.to, &s.zeo, &s.control} {
			if *addr, err = endpoint.FreeAddress(ctx); err != nil {
				return nil, err
			}
		}
		if err := os.Mkdir(filepath.Dir(s.data), 0o755); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	st, err := filestorage.Open(ctx, list[0].data, filestorage.Options{})
	if err != nil {
		return nil, err
	}
	return list, st.Close()
}

// twoNodes makes two nodes, a primary and a secondary, that know each other. Further arguments are for both.
func (b *bench) twoNodes(ctx context.Context, dir string, args ...string) (list []*node, err error) {
	roles := []string{"primary", "secondary"}
	if list, err = b.newNodes(ctx, dir, roles...); err != nil {
		return nil, err
	}
	for i, s := range list {
		s.role = roles[i]
	}
	for i, s := range list {
		s.args = append([]string{"--replicate-from", list[1-i].to, "--name", s.role}, args...)
		if i == 0 { // the other one is started when this one is ready
			s.args = append(s.args, "--new-identity")
		}
		if err := s.start(ctx); err != nil {
			return nil, errors.Join(err, stopAll(list))
		}
	}
	return list, nil
}

// start runs the node, and returns when it is ready.
func (s *node) start(ctx context.Context) (err error) {
	args := append([]string{s.role, "--data", s.data, "--replicate-to", s.to, "--zeo", s.zeo}, s.args...)
	if s.Process, err = daemon.Start(s.binary, s.control, nil, args...); err != nil {
		return err
	}
	_, err = s.Await(ctx, "it is ready", func(st *admin.Status) bool { return st.Ready })
	return err
}

func stopAll(list []*node) (err error) {
	for _, s := range list {
		if s.Process != nil {
			err = errors.Join(err, s.Kill())
		}
	}
	return err
}

func (s *node) dial() admin.Dialer {
	e, err := endpoint.Parse(s.control)
	if err != nil {
		panic(err) // FreeAddress made it
	}
	return e.Dial
}

func ignored([]byte, *admin.Step) error { return nil }

// switchTo hands over to another node.
func (s *node) switchTo(ctx context.Context, other *node) (*admin.Change, error) {
	st, err := other.Status(ctx)
	if err != nil {
		return nil, err
	}
	if st.NodeID == nil {
		return nil, fmt.Errorf("the node at %s has no id", other.control)
	}
	return admin.AskSwitchover(ctx, s.dial(), admin.ChangeOptions{}, *st.NodeID, ignored)
}

// promote makes the node primary, and returns how long that took.
func (s *node) promote(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	_, err := admin.AskPromote(ctx, s.dial(), admin.ChangeOptions{}, false, ignored)
	return time.Since(begin), err
}

// has returns the tids of all transactions of the node's file, which must not be in use.
func (s *node) has(ctx context.Context) (map[zodb.Tid]bool, error) {
	st, err := filestorage.Open(ctx, s.data, filestorage.Options{ReadOnly: true, MustExist: true})
	if err != nil {
		return nil, err
	}
	defer st.Close() //nolint:errcheck // read only
	tids := make(map[zodb.Tid]bool)
	for txn, err := range st.Transactions(ctx, 0) {
		if err != nil {
			return nil, err
		}
		tids[txn.Meta().Tid] = true
	}
	return tids, nil
}
