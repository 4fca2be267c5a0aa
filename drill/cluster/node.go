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

	"github.com/zrsd/zrsd/admin"
	"github.com/zrsd/zrsd/zodb"
)

// A Node is a member of a cluster.
type Node struct {
	Name string
	Dir  string // of its storage
	ZEO  string // where clients reach it

	c     *Cluster
	dial  admin.Dialer
	repl  string // gate for secondaries
	first bool   // it was the first primary
	proc  *process
}

// Data is the path of the node's Data.fs.
func (n *Node) Data() string { return filepath.Join(n.Dir, "Data.fs") }

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
		"--data", n.Data(), "--blobs", filepath.Join(n.Dir, "blobs"), "--name", n.Name,
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
	if err := os.MkdirAll(n.Dir, 0o700); err != nil {
		return err
	}
	p, err := launch(n.c.opt.Binary, filepath.Join(n.Dir, "log"), n.args())
	if err != nil {
		return err
	}
	n.c.Net.Name(p.cmd.Process.Pid, n.Name)
	n.proc = p
	return nil
}

// Running reports whether the process is there, frozen or not.
func (n *Node) Running() bool {
	if n.proc == nil {
		return false
	}
	select {
	case <-n.proc.exited:
		return false
	default:
		return true
	}
}

// Kill ends the process with SIGKILL.
func (n *Node) Kill() error {
	if n.proc == nil {
		return nil
	}
	return n.proc.kill()
}

// Freeze stops the process with SIGSTOP: it is there and does nothing, until Wake. It returns when no thread runs any
// more: one that is busy takes the signal only when it is scheduled.
func (n *Node) Freeze(ctx context.Context) error {
	if err := n.proc.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for n.Running() && !stopped(n.proc.cmd.Process.Pid) {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("freezing node %s: %w", n.Name, context.Cause(ctx))
		}
	}
	return nil
}

// Wake lets a frozen process go on.
func (n *Node) Wake() error { return n.proc.signal(syscall.SIGCONT) }

// Dial connects to the node's admin server.
func (n *Node) Dial(ctx context.Context) (net.Conn, error) { return n.dial(ctx) }

func (n *Node) dialSocket(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", n.socket("admin"))
}

// statusTimeout is how long a node may take to say how it is.
const statusTimeout = 5 * time.Second

// Status asks the node how it is.
func (n *Node) Status(ctx context.Context) (*admin.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	_, st, err := admin.Fetch(ctx, n.Dial, "")
	return st, err
}

// LastTid returns the last transaction that a status has, 0 for none.
func LastTid(st *admin.Status) zodb.Tid {
	if st.Storage.LastTid == nil {
		return 0
	}
	return *st.Storage.LastTid
}

// poll is how often it is asked for what is waited for.
const poll = 10 * time.Millisecond

// Await asks the node until cond holds.
func (n *Node) Await(ctx context.Context, what string, cond func(*admin.Status) bool) error {
	var last error
	for {
		st, err := n.Status(ctx)
		switch {
		case err == nil && cond(st):
			return nil
		case err != nil && ctx.Err() == nil:
			last = err
		case err == nil:
			last = errors.New(Describe(st))
		}
		if !n.c.Remote && !n.Running() {
			return fmt.Errorf("waiting until node %s %s: it has ended; its log is %s", n.Name, what,
				filepath.Join(n.Dir, "log"))
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return fmt.Errorf("waiting until node %s %s: %w; the last answer was: %w", n.Name, what,
				context.Cause(ctx), last)
		}
	}
}

// Describe is a status in a few words.
func Describe(st *admin.Status) string {
	text := fmt.Sprintf("%s, ready %v, last %v", st.Role, st.Ready, LastTid(st))
	if st.NotReady != nil {
		text += " (" + *st.NotReady + ")"
	}
	if u := st.Upstream; u != nil {
		text += ", upstream " + u.State
		if u.LastError != nil {
			text += " (" + *u.LastError + ")"
		}
	}
	for i := range st.Secondaries {
		text += fmt.Sprintf(", feeds %s: %s", st.Secondaries[i].Name, st.Secondaries[i].State)
	}
	return text
}
