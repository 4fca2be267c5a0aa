package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

// A Target is a node that clients can connect to.
type Target struct{ Node, Addr string }

// A Load is what clients do.
type Load struct {
	Targets []Target
	Objects []zodb.Oid // that they change
	Counter zodb.Oid
	Writers int // Readers there is one for each target
	Seed    uint64
	Clock   func() int64 // nanoseconds; the same for all
	Log     *consistency.Log

	Timeout time.Duration // of a call, and of connecting to one target
	Pause   time.Duration // between two transactions of a client, on average
}

// again is how long a client waits that could not connect.
const again = 20 * time.Millisecond

// all are the objects that readers look at.
func (l *Load) all() []zodb.Oid { return append([]zodb.Oid{l.Counter}, l.Objects...) }

// Setup makes the objects, in one transaction, as soon as some target takes it.
func (l *Load) Setup(ctx context.Context) error {
	w := newWriter(l, "setup", 0)
	return w.once(ctx, func(ctx context.Context) error { w.attempt(ctx, l.all(), nil); return w.conn.Err() })
}

// Run runs all clients until ctx ends.
func (l *Load) Run(ctx context.Context) {
	var clients sync.WaitGroup
	for i := range l.Writers {
		w := newWriter(l, fmt.Sprintf("w%d", i+1), uint64(i+1))
		clients.Go(func() { w.run(ctx, w.transaction) })
	}
	for i, t := range l.Targets {
		r := &reader{newActor(l, "r-"+t.Node, uint64(1000+i), []Target{t}, true)}
		clients.Go(func() { r.run(ctx, r.look) })
	}
	clients.Wait()
}

// An actor is a client, and the connection that it has.
type actor struct {
	*Load
	name     string
	rng      *rand.Rand
	targets  []Target
	readOnly bool

	conn  *client.Conn
	node  string // at the other side
	conns int    // that it had
}

func newActor(l *Load, name string, stream uint64, targets []Target, readOnly bool) actor {
	rng := rand.New(rand.NewPCG(l.Seed, stream)) //nolint:gosec // to be repeated, not to be secret
	return actor{Load: l, name: name, rng: rng, targets: targets, readOnly: readOnly}
}

// run acts until ctx ends, on one connection after the other.
func (a *actor) run(ctx context.Context, act func(ctx context.Context) error) {
	for ctx.Err() == nil {
		if err := a.connect(ctx); err != nil {
			pause.For(ctx, again)
			continue
		}
		for act(ctx) == nil && pause.For(ctx, time.Duration(a.rng.Int64N(2*int64(a.Pause)+1))) {
		}
		a.conn.Close()
	}
}

// connect finds a node.
func (a *actor) connect(ctx context.Context) error {
	var addrs []string
	for _, i := range a.rng.Perm(len(a.targets)) { // so that both sides of a partition have clients
		addrs = append(addrs, a.targets[i].Addr)
	}
	conn, err := client.Dial(ctx, addrs, client.Options{ReadOnly: a.readOnly, Timeout: a.Timeout})
	if err != nil {
		return err
	}
	a.conn = conn
	a.conns++
	for _, t := range a.targets {
		if t.Addr == conn.Addr() {
			a.node = t.Node
		}
	}
	return nil
}

// limited bounds a call.
func (a *actor) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.Timeout)
}

// begin begins an Op.
func (a *actor) begin(kind consistency.Kind) *consistency.Op {
	return &consistency.Op{
		Kind: kind, Client: a.name, Conn: a.conns, Node: a.node, Begin: a.Clock(),
		Read: map[zodb.Oid]consistency.Seen{},
	}
}

// end records it.
func (a *actor) end(op *consistency.Op) {
	op.End = a.Clock()
	a.Log.Add(op)
}

// objectClass is that of the objects. No application has it, so nobody resolves their conflicts.
var objectClass = pickle.Global{Module: "zrsd.drill", Name: "Register"}

var limits = pickle.Limits{Bytes: 1 << 16}

// record makes the record of a value.
func record(value string) ([]byte, error) { return pickle.DumpRecord(objectClass, value, limits) }

// value returns the value in a record, and whether it is one of a drill.
func value(record []byte) (value string, ours bool) {
	class, state, err := pickle.LoadRecord(record, limits)
	if err != nil || class != pickle.Value(objectClass) {
		return "", false
	}
	value, ours = state.(string)
	return value, ours
}

// valueOf is value for what should be one.
func valueOf(oid zodb.Oid, record []byte) (string, error) {
	value, ours := value(record)
	if !ours {
		return "", fmt.Errorf("oid %v has a record that is none of this drill: %.100q", oid, record)
	}
	return value, nil
}
