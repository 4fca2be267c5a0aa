package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"
)

// A Network is the gates and links of a cluster. Its methods may be called concurrently.
type Network struct {
	dir string // of the sockets

	mu      sync.Mutex
	names   map[int]string // of processes
	named   chan struct{}  // closed, and replaced, when there is another one
	links   map[pair]*link
	gates   []net.Listener
	carried map[*carrier]struct{}
	closed  bool

	work sync.WaitGroup
}

// A pair is two members, in the order of their names.
type pair struct{ a, b string }

func pairOf(a, b string) pair { return pair{min(a, b), max(a, b)} }

// New returns a network with its sockets in dir.
func New(dir string) *Network {
	return &Network{
		dir: dir, names: map[int]string{}, named: make(chan struct{}), links: map[pair]*link{},
		carried: map[*carrier]struct{}{},
	}
}

// Name says that a process is, or belongs to, a member. Connections of other processes are refused.
func (n *Network) Name(pid int, member string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[pid] = member
	close(n.named)
	n.named = make(chan struct{})
}

// Set changes the link between two members, for connections that exist and for new ones.
func (n *Network) Set(a, b string, c Condition, delay time.Duration) {
	n.link(a, b).set(c, delay)
	if c != Cut {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for k := range n.carried {
		if k.between == pairOf(a, b) {
			k.end()
		}
	}
}

func (n *Network) link(a, b string) *link {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.links[pairOf(a, b)]
	if l == nil {
		l = newLink()
		n.links[pairOf(a, b)] = l
	}
	return l
}

// Gate lets others reach the Unix socket target, of a member, at the address that it returns.
func (n *Network) Gate(ctx context.Context, member, port, target string) (addr string, err error) {
	addr = filepath.Join(n.dir, member+"-"+port+".gate")
	l, err := new(net.ListenConfig).Listen(ctx, "unix", addr)
	if err != nil {
		return "", fmt.Errorf("opening the proxy of %s: %w", member, err)
	}
	n.mu.Lock()
	n.gates = append(n.gates, l)
	n.mu.Unlock()
	n.work.Go(func() { n.admit(l, member, target) })
	return addr, nil
}

// admit takes what connects to a gate, until it is closed.
func (n *Network) admit(l net.Listener, member, target string) {
	for {
		near, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the one that came is gone already
		}
		n.work.Go(func() { n.carry(near, member, target) })
	}
}

// carry takes one connection to its target.
func (n *Network) carry(near net.Conn, member, target string) {
	defer near.Close() //nolint:errcheck // over
	from, err := n.peer(near)
	if err != nil {
		return
	}
	l := n.link(from, member)
	far, err := new(net.Dialer).DialContext(context.Background(), "unix", target)
	if err != nil {
		return // nobody listens there now
	}
	defer far.Close() //nolint:errcheck // over
	k := &carrier{between: pairOf(from, member), link: l, near: near, far: far, closed: make(chan struct{})}
	if !n.keep(k) {
		return
	}
	defer n.drop(k)
	if c, _, _ := l.now(); c != Cut { // from now on a cut ends it
		k.run()
	}
}

// acquaintance is how long it may take until a process that was started, and connects at once, has its name.
const acquaintance = time.Second

// peer returns which member has connected.
func (n *Network) peer(conn net.Conn) (string, error) {
	pid, err := processOf(conn)
	if err != nil {
		return "", err
	}
	for enough := time.After(acquaintance); ; {
		name, known, named := n.nameOf(pid)
		if known {
			return name, nil
		}
		select {
		case <-named:
		case <-enough:
			return "", fmt.Errorf("process %d is no member", pid)
		}
	}
}

// nameOf returns the name of a process, if it has one, and what is closed when some process gets one.
func (n *Network) nameOf(pid int) (name string, known bool, named <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name, known = n.names[pid]
	return name, known, n.named
}

func (n *Network) keep(k *carrier) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed {
		n.carried[k] = struct{}{}
	}
	return !n.closed
}

func (n *Network) drop(k *carrier) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.carried, k)
}

// Close ends all connections and gates.
func (n *Network) Close() error {
	n.mu.Lock()
	n.closed = true
	var errs []error
	for _, l := range n.gates {
		errs = append(errs, l.Close())
	}
	for k := range n.carried {
		k.end()
	}
	n.mu.Unlock()
	n.work.Wait()
	return errors.Join(errs...)
}
