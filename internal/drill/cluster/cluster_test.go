//go:build linux

package cluster

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newCluster makes a cluster of a and b, whose program is a shell script.
func newCluster(t *testing.T, script string) *Cluster {
	t.Helper()
	dir, err := os.MkdirTemp("", "cluster") //nolint:usetesting // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	binary := filepath.Join(dir, "zrsd")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := New(t.Context(), Options{Binary: binary, Dir: dir, Names: []string{"a", "b"}, Args: []string{"--more"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func start(t *testing.T, n *Node) {
	t.Helper()
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
}

func TestAFrozenProcessCanBeKilled(t *testing.T) {
	n := newCluster(t, "exec sleep 1000").Nodes[0]
	if n.Running() {
		t.Fatal("it runs before it was started")
	}
	start(t, n)
	if err := n.Start(); err == nil {
		t.Error("it was started twice")
	}
	if err := n.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.Kill(); err != nil || n.Running() {
		t.Fatalf("killed: %v, it runs: %v", err, n.Running())
	}
	start(t, n)
}

func TestAProcessThatDoesNotEndIsKilled(t *testing.T) {
	c := newCluster(t, "trap '' TERM; echo ready; while :; do sleep 0.1; done")
	n := c.Nodes[0]
	start(t, n)
	for { // until it ignores SIGTERM
		log, err := os.ReadFile(filepath.Join(n.dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(log), "ready") {
			break
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Stop(ctx, n); err == nil || n.Running() {
		t.Errorf("stopped: %v, it runs: %v", err, n.Running())
	}
}

func TestEveryNodeKnowsTheAddressesOfTheOthers(t *testing.T) {
	c := newCluster(t, "echo \"$@\"")
	start(t, c.Nodes[1])
	<-c.Nodes[1].proc.Exited()
	log, err := os.ReadFile(filepath.Join(c.Nodes[1].dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"secondary ", "--name b", "--replicate-from " + c.Nodes[0].repl, "--more"} {
		if !strings.Contains(string(log), want) {
			t.Errorf("it was not started with %q: %s", want, log)
		}
	}
	err = c.Nodes[1].Await(t.Context(), "answers", func(*admin.Status) bool { return true })
	if err == nil || !strings.Contains(err.Error(), "zrsd has ended; its log is") {
		t.Errorf("waiting for a process that has ended: %v", err)
	}
}

func TestAReplacedNodeLeavesItsStorageAside(t *testing.T) {
	c := newCluster(t, "exec sleep 1000")
	if err := c.Replace(c.Nodes[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.Aside[0]); err != nil || len(c.Aside) != 1 {
		t.Errorf("set aside: %v, %v", c.Aside, err)
	}
	if args := c.Nodes[0].args(); args[0] != "secondary" {
		t.Errorf("it starts again as %v", args)
	}
}

func TestAFileThatGrowsBeyondTheLimitCannotBeWritten(t *testing.T) {
	n := newCluster(t, "trap '' XFSZ; while [ ! -e "+"\"$(dirname \"$3\")\""+"/full ]; do sleep 0.01; done\n"+
		"head -c 100000 /dev/zero > \"$(dirname \"$3\")\"/big; echo over").Nodes[0]
	start(t, n)
	if err := n.FillDisk(1000); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.dir, "full"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	<-n.proc.Exited()
	info, err := os.Stat(filepath.Join(n.dir, "big"))
	if err != nil || info.Size() > 2000 {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
}

func TestNodesAreMissingUntilTheyAreLiveAndHaveEverything(t *testing.T) {
	c := &Cluster{}
	for _, name := range []string{"a", "b"} {
		c.Nodes = append(c.Nodes, &Node{Name: name, c: c})
	}
	for name, s := range map[string]struct {
		secondaries []admin.Secondary
		missing     int
	}{
		"nobody":      {nil, 1},
		"somebody":    {[]admin.Secondary{{Name: "x", State: "live", Durable: admin.Known(zodb.Tid(7))}}, 1},
		"behind":      {[]admin.Secondary{{Name: "b", State: "live", Durable: admin.Known(zodb.Tid(6))}}, 1},
		"catching up": {[]admin.Secondary{{Name: "b", State: "history", Durable: admin.Known(zodb.Tid(7))}}, 1},
		"there":       {[]admin.Secondary{{Name: "b", State: "live", Durable: admin.Known(zodb.Tid(7))}}, 0},
	} {
		if list := c.Missing(&admin.Status{Secondaries: s.secondaries}, c.Nodes[0], 7); len(list) != s.missing {
			t.Errorf("%s: %d nodes are missing", name, len(list))
		}
	}
}

func TestAClusterThatIsThereHasThePrimaryFirst(t *testing.T) {
	place := func(role string) Address {
		return Address{ZEO: "zeo of " + role, Admin: answering(t, `{"role": "`+role+`", "name": "the `+role+`"}`)}
	}
	c, err := Join(t.Context(), []Address{place("primary"), place("secondary")})
	if err != nil || len(c.Nodes) != 2 || c.Nodes[1].Name != "the secondary" || !c.Remote {
		t.Fatalf("%+v, %v", c, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for _, wrong := range [][]Address{
		{place("secondary"), place("primary")}, {place("primary"), place("primary")},
		{{Admin: func(context.Context) (net.Conn, error) { return nil, net.ErrClosed }}},
	} {
		if _, err := Join(t.Context(), wrong); err == nil {
			t.Error("joined without a primary, or with two")
		}
	}
}

// answering is an admin server that says the same whenever it is asked.
func answering(t *testing.T, status string) admin.Dialer {
	t.Helper()
	return func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			if _, err := far.Read(make([]byte, 4096)); err != nil {
				return
			}
			_, _ = far.Write([]byte("HTTP/1.0 200 OK\r\n\r\n" + status)) // who has gone does not hear it
		}()
		return near, nil
	}
}
