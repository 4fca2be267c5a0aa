package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/pause"
)

// A Node is a member of a cluster.
type Node struct {
	Name string
	dir  string // of its storage
	ZEO  string // where clients reach it

	c     *Cluster
	dial  admin.Dialer
	repl  string // gate for secondaries
	first bool   // it was the first primary
	proc  *daemon.Child
}

// Data is the path of the node's Data.fs.
func (n *Node) Data() string { return filepath.Join(n.dir, "Data.fs") }

// socket is where the node listens.
func (n *Node) socket(port string) string { return filepath.Join(n.c.sockets, n.Name+"-"+port) }

// args are the command line of the node.
func (n *Node) args() []string {
	role := []string{"secondary", "--protocol", "native"} // a gate before its node listens is like a zc.zrs
	if n.first {
		role = []string{"primary"}
	}
	var others []string
	for _, o := range n.c.Nodes {
		if o != n {
			others = append(others, o.repl)
		}
	}
	args := append(role,
		"--data", n.Data(), "--blobs", filepath.Join(n.dir, "blobs"), "--name", n.Name,
		"--replicate-to", n.socket("repl"), "--advertise", n.repl, "--replicate-from", strings.Join(others, ","),
		"--zeo", n.socket("zeo"), "--admin", n.socket("admin"), "--log-level", "debug",
		"--heartbeat", "500ms", "--idle-timeout", "5s", "--handshake-timeout", "5s", "--drain-timeout", "10s",
	)
	return append(args, n.c.opt.Args...)
}

// Start starts the process. It does not wait until that answers.
func (n *Node) Start() error {
	if n.Running() {
		return fmt.Errorf("node %s runs already", n.Name)
	}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return err
	}
	p, err := daemon.RunLogged(filepath.Join(n.dir, "log"), n.c.opt.Binary, n.args()...)
	if err != nil {
		return err
	}
	n.c.Net.Name(p.Pid(), n.Name)
	n.proc = p
	return nil
}

// Running reports whether the process runs, frozen or not.
func (n *Node) Running() bool { return n.proc != nil && n.proc.Running() }

// Kill ends the process with SIGKILL.
func (n *Node) Kill() error {
	if n.proc == nil {
		return nil
	}
	return n.proc.Kill()
}

// Freeze stops the process with SIGSTOP: it does nothing until Wake. It returns when no thread runs any
// more: one that is busy takes the signal only when it is scheduled.
func (n *Node) Freeze(ctx context.Context) error {
	if err := n.proc.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for n.Running() && !stopped(n.proc.Pid()) {
		if !pause.For(ctx, time.Millisecond) {
			return fmt.Errorf("freezing node %s: %w", n.Name, context.Cause(ctx))
		}
	}
	return nil
}

// Wake continues a frozen process.
func (n *Node) Wake() error { return n.proc.Signal(syscall.SIGCONT) }

func (n *Node) dialSocket(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", n.socket("admin"))
}

// statusTimeout is how long a node may take to answer with its status.
const statusTimeout = 5 * time.Second

// Status asks the node for its status.
func (n *Node) Status(ctx context.Context) (*admin.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	_, st, err := admin.Fetch(ctx, n.dial, "")
	return st, err
}

// Await asks the node until cond holds.
func (n *Node) Await(ctx context.Context, what string, cond func(*admin.Status) bool) error {
	var exited <-chan struct{}
	switch {
	case n.proc != nil:
		exited = n.proc.Exited()
	case !n.c.Remote:
		return fmt.Errorf("waiting until node %s %s: it was not started", n.Name, what)
	}
	_, err := daemon.Await(ctx, n.Status, exited, cond)
	switch {
	case errors.Is(err, daemon.ErrExited):
		return fmt.Errorf("waiting until node %s %s: %w; its log is %s", n.Name, what, err,
			filepath.Join(n.dir, "log"))
	case err != nil:
		return fmt.Errorf("waiting until node %s %s: %w", n.Name, what, err)
	}
	return nil
}

// changeTimeout is how long a change of roles may take.
const changeTimeout = 20 * time.Second

func changing() admin.ChangeOptions { return admin.ChangeOptions{Timeout: changeTimeout} }

// silently ignores the steps of a change.
func silently([]byte, *admin.Step) error { return nil }

// Promote makes a secondary the primary.
func (n *Node) Promote(ctx context.Context) (*admin.Change, error) {
	return admin.AskPromote(ctx, n.dial, changing(), false, silently)
}

// Switchover has a primary hand over.
func (n *Node) Switchover(ctx context.Context, to *Node) (*admin.Change, error) {
	return admin.AskSwitchover(ctx, n.dial, changing(), to.Name, silently)
}

// Halt has a primary take no transactions, until Resume.
func (n *Node) Halt(ctx context.Context) error {
	_, err := admin.AskFreeze(ctx, n.dial, changing(), silently)
	return err
}

// Resume has it take them again.
func (n *Node) Resume(ctx context.Context) error {
	_, err := admin.AskThaw(ctx, n.dial, changing(), silently)
	return err
}

// Pack packs the storage as of a time, now for zero. Garbage is left: nothing refers to the objects of a drill.
func (n *Node) Pack(ctx context.Context, until time.Time) error {
	garbage := false
	req := admin.PackRequest{Until: until, GC: &garbage}
	_, err := admin.AskPack(ctx, n.dial, "", req, func([]byte, *admin.PackProgress) error { return nil })
	return err
}
