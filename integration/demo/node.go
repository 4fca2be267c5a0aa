package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/zodb"
)

// A node is one storage in a folder of its own and, at times, the zrsd process that works on it.
type node struct {
	binary  string
	data    string
	blobs   string
	addr    string // where it streams to others
	admin   string
	process *daemon.Process // nil while none runs
}

func newNode(ctx context.Context, binary, dir string) (*node, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	addr, err := endpoint.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	return &node{
		binary: binary,
		data:   filepath.Join(dir, "Data.fs"),
		blobs:  filepath.Join(dir, "blobs"),
		addr:   addr,
		admin:  filepath.Join(dir, "admin"),
	}, nil
}

// start runs zrsd in the role on this node's storage.
func (n *node) start(role string, flags ...string) (err error) {
	args := append([]string{role, "--data", n.data, "--blobs", n.blobs, "--replicate-to", n.addr}, flags...)
	n.process, err = daemon.Start(n.binary, n.admin, nil, args...)
	return err
}

func (n *node) pid() int { return n.process.Pid() }

func (n *node) reached(ctx context.Context, tid zodb.Tid) error { return n.process.Reached(ctx, tid) }

func (n *node) kill() error {
	if n.process == nil {
		return nil
	}
	defer func() { n.process = nil }()
	return n.process.Kill()
}

func (n *node) stop(ctx context.Context) error {
	code, err := n.process.Stop(ctx)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("zrsd ended with exit code %d\n%s", code, n.process.Log().Tail())
	}
	n.process = nil
	return nil
}

// makeEmpty makes a database without anything in it.
func (n *node) makeEmpty(ctx context.Context) error {
	storage, err := workload.Open(ctx, n.data, n.blobs)
	if err != nil {
		return err
	}
	return storage.Close()
}

// mustHave looks for transactions in the file.
func (n *node) mustHave(ctx context.Context, tids []zodb.Tid) (err error) {
	storage, err := filestorage.Open(ctx, n.data, filestorage.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, storage.Close()) }()
	for _, tid := range tids {
		if _, err := storage.Find(ctx, tid); err != nil {
			return fmt.Errorf("a commit that was acknowledged is not in %s: %w", n.data, err)
		}
	}
	return nil
}

// compare runs zrsd compare, blobs included, and shows what it says.
func compare(ctx context.Context, binary string, a, b *node) error {
	args := []string{"compare", a.data, b.data, "--blobs-a", a.blobs, "--blobs-b", b.blobs}
	note("$ zrsd %s", strings.Join(args, " "))
	out, err := exec.CommandContext(ctx, binary, args...).CombinedOutput()
	fmt.Printf("%s", out)
	if err != nil {
		return fmt.Errorf("comparing %s with %s: %w", a.data, b.data, err)
	}
	return nil
}
