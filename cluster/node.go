package cluster

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/watchdog"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// Options are the configuration of a node, and what it works with. Storage, State, Dial, Watch and the Logger are
// required.
type Options struct {
	Identity

	Starts          state.Role          // the role while the state file says nothing else
	ReplicateFrom   []endpoint.Endpoint // the other nodes of its configuration
	ReplicationAddr string              // where others connect to this node, as they reach it; empty: nowhere
	AdminAddr       string              // of its admin server, for the coordinator's list
	Blobs           string              // path of the blob directory; empty: none
	ReseedAuto      bool                // its data file may be set aside as a whole, without an operator
	SharedBlobs     bool                // it is the primary's own, so that this node cannot be primary
	ReadyLag        time.Duration       // how far behind a node may be that is elected
	Sync            SyncConfig          // for how many secondaries commits of clients wait
	Coordinator     *CoordinatorOptions // who decides which node leads; nil: operators do
	SpareAfter      time.Duration       // a spare takes the place of a node that is out for so long; 0: it is no spare
	ApplyDelay      time.Duration       // how much later its readers see what it receives, as a secondary; 0: at once
	Shown           func() zodb.Tid     // with ApplyDelay, the last transaction that they see
	Self            string              // new with each start of the process: distinguishes the node from a copy

	Storage *filestorage.Storage
	State   *state.Keeper
	Secret  protocol.Secret // shared by the nodes; empty: none
	// Dial connects to another node.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// MayDial says why this node must not connect to an address, such as for want of encryption. Nil: it may always.
	MayDial func(endpoint.Endpoint) error
	// SetAccess sets what clients may do with the storage. It returns when those that may not be connected any more
	// have been disconnected. Nil: there are no clients.
	SetAccess func(zeo.Access)
	// Report is what this node says of itself to other nodes, for people: see protocol.NodeStatus. Nil: nothing.
	Report func() []byte
	// Followers returns where the nodes can be asked that a report names. Nil: a report is not read.
	Followers func(report []byte) []string
	// Stopping reports whether the process is ending, which nobody should take for a primary any more. Nil: never.
	Stopping func() bool
	Watch    *watchdog.Board // gets the waits
}

// canLead reports whether the blobs of this node are its own.
func (o *Options) canLead() bool { return !o.SharedBlobs }

func (o *Options) stopping() bool { return o.Stopping != nil && o.Stopping() }

// A Secondary follows a primary: a *secondary.Secondary with the methods of this node as its callbacks.
type Secondary interface {
	// Run follows the primary until ctx ends or that cannot go on.
	Run(ctx context.Context) error
	// Look says where the next Run looks for the primary.
	Look(addresses []string)
	Status() secondary.Status
}

// A ReplicationServer serves the secondaries of this node: a *primary.Primary with this node as its Member.
type ReplicationServer interface {
	// Renew has all secondaries connect again, to hear what this node is now.
	Renew()
	Status() primary.Status
	// Synced is the last transaction that as many secondaries have as commits wait for.
	Synced() zodb.Tid
	AwaitSynced(ctx context.Context, tid zodb.Tid) error
	// AwaitDurable waits until one secondary has a transaction on its disk.
	AwaitDurable(ctx context.Context, node string, tid zodb.Tid) error
	// CheckHandover asks a secondary whether it could take over.
	CheckHandover(ctx context.Context, node string, p *protocol.HandoverCheck) error
	// TakeOver asks it to.
	TakeOver(node string, t *protocol.TakeOver) error
}

// A Node is one node of a cluster while its storage is open. It changes from primary to secondary and back without
// closing the storage. See the package comment.
//
// Who assembles a node calls New, Claim, Begin, Serve, Follow, Open, Enter, Run, Leave and Retire, in this order.
type Node struct {
	opt Options

	// Set before anybody else can see them.
	st                *filestorage.Storage
	keep              *state.Keeper
	sec               Secondary
	replicationServer ReplicationServer // nil: nobody can connect
	sync              *syncer
	failover          *failoverNode // nil: there is no coordinator
	spare             spare

	life          context.Context // ends with the session
	endLife       context.CancelCauseFunc
	entered       atomic.Bool               // clients and commands may come
	ended         chan error                // why following ended by itself
	rewindAfter   *rewindError              // why Run ended; nil: for another reason
	stayed        atomic.Pointer[stayError] // logged last
	events        events                    // by connections
	begun         chan struct{}             // one slot: it has begun to lead
	monitor       sync.WaitGroup            // the epoch monitor, and what asks the peers
	asked         sync.WaitGroup            // questions who leads
	peers         peers                     // what is known of the other nodes
	highestLeader atomic.Uint64             // the highest epoch in which another node has said to lead
	leader        string                    // of changing: where others say that the primary is; empty: unknown

	surpassed      surpassing  // of changing
	leftSecondary  time.Time   // of changing: when it last left another secondary for the primary
	secondaryAhead atomic.Bool // a secondary of this primary's epoch has more than this one

	// changing is held while the role changes, or a vote is given, and at the end for good.
	changing chan struct{}

	mu          sync.Mutex
	isPrimary   bool
	since       time.Time  // it leads, or takes transactions again
	admits      time.Time  // since when it has sent no client away that wants to write
	wasWritable bool       // since it leads
	readOnly    bool       // clients could only read here when the access was told last
	running     *following // nil: nobody is followed
	// unwritten is a higher epoch that this node heard of as primary and could not save: see noteUnwritten.
	unwritten uint64

	asksIdentity  atomic.Bool              // started as primary, it still asks whether the storage has an identity
	startsEpoch   bool                     // it is to begin an epoch of its own when it is open
	conflictFound atomic.Pointer[Conflict] // what others have answered that must not be; nil: nothing
}

// A following is one run of the secondary.
type following struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// New returns a node whose storage is open. It follows nobody, and nobody can reach it.
func New(opt Options) *Node {
	n := &Node{
		opt: opt, st: opt.Storage, keep: opt.State, changing: make(chan struct{}, 1), ended: make(chan error, 1),
		events: newEvents(), begun: make(chan struct{}, 1), peers: newPeers(),
	}
	n.life, n.endLife = context.WithCancelCause(context.Background())
	n.sync = &syncer{Node: n}
	n.failover = n.newFailoverNode()
	return n
}

// Begin takes up the role at the beginning of a session, after Claim. A secondary follows nobody yet.
func (n *Node) Begin(ctx context.Context, sec Secondary) error {
	n.sec = sec
	if err := n.yieldToHigherEpoch(ctx); err != nil {
		return err
	}
	role := n.role()
	if n.toldRole() != n.opt.Starts {
		n.opt.Logger.Info("this node keeps the role of the last failover, not the one it was started with",
			"role", role, "started_as", n.opt.Starts)
	}
	n.setPrimary(role == state.RolePrimary && !n.startsEpoch)
	if err := n.settleWaits(); err != nil {
		return &StartError{err}
	}
	if !n.IsPrimary() {
		return nil
	}
	return n.openAgain(ctx)
}

// Serve gives the node the server of its secondaries. A node that nobody can reach has none.
func (n *Node) Serve(server ReplicationServer) { n.replicationServer = server }

// Follow makes a secondary follow its primary, unless a vote request has started that already. The secondaries of this
// node are served by then: they must learn of new epochs.
func (n *Node) Follow(ctx context.Context) error {
	return n.changeInTurn(ctx, func(context.Context) error {
		n.mu.Lock()
		busy := n.isPrimary || n.running != nil
		n.mu.Unlock()
		if !busy && !n.startsEpoch && !n.asksIdentity.Load() {
			n.follow()
		}
		return nil
	})
}

// Open returns how clients use the storage. From here on transactions wait as the rule for secondaries says. Release
// waits, when the storage is withdrawn from clients, for what works for them.
func (n *Node) Open() (opt zeo.StorageOptions, release func()) {
	opt = n.serveOptions()
	n.sync.setLeading(opt.Access != zeo.ReadOnly)
	return opt, func() {
		n.asked.Wait()
		n.sync.recovering.Wait()
	}
}

// Enter begins an epoch, where that is what the node was started for, and asks the others how things stand from then
// on.
func (n *Node) Enter(ctx context.Context) {
	if n.startsEpoch {
		if err := n.beginOwnEpoch(ctx); err != nil {
			select {
			case n.ended <- err:
			default: // it was told already
			}
		}
	}
	n.entered.Store(true)
	n.monitor.Go(func() { n.epochMonitor(n.life) })
	n.monitor.Go(func() { n.watchPeers(n.life) })
}

// Run handles the events of connections, until ctx ends, served sends, or something fails. served has the end of the
// replication server, which is put back for its other receiver.
func (n *Node) Run(ctx context.Context, served chan error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-n.ended:
			var aside *ReseedError
			if !errors.As(err, &n.rewindAfter) && (!errors.As(err, &aside) || !n.IsPrimary()) {
				return err
			}
			if n.IsPrimary() { // it was promoted meanwhile: its transactions are the history now
				n.rewindAfter = nil
				continue
			}
			return nil
		case err := <-served:
			served <- err
			return nil
		case <-n.events.news:
			n.handleEvents(ctx)
		}
	}
}

// Leave ends what Enter began.
func (n *Node) Leave(cause error) {
	n.entered.Store(false)
	n.endLife(cause)
	n.monitor.Wait()
}

// Retire ends every change of the role, and following, for good. The secondaries of this node are served on.
func (n *Node) Retire() {
	n.endLife(nil)
	n.changing <- struct{}{} // for good: nobody changes anything any more
	n.stopFollowing()
}

// follow begins to look for the primary.
func (n *Node) follow() {
	ctx, cancel := context.WithCancel(n.life)
	run := &following{cancel, make(chan struct{})}
	n.sec.Look(first(n.leader, n.addresses()))
	n.mu.Lock()
	n.running = run
	n.mu.Unlock()
	follows := n.sec.Run
	if n.isSpare() {
		follows = n.followAsSpare
	}
	go func() {
		defer close(run.done)
		err := follows(ctx)
		if ctx.Err() != nil {
			return
		}
		select {
		case n.ended <- err:
		case <-ctx.Done(): // who takes it waits for this to end, and an earlier one is there already
		}
	}()
}

// first puts an address in front of others, if it is among them.
func first(addr string, list []string) []string {
	if i := slices.Index(list, addr); i > 0 {
		list = slices.Insert(slices.Delete(list, i, i+1), 0, addr)
	}
	return list
}

// stopFollowing returns when nobody is followed any more, and all that was received is durable.
func (n *Node) stopFollowing() {
	n.mu.Lock()
	run := n.running
	n.mu.Unlock()
	if run == nil {
		return
	}
	run.cancel()
	<-run.done
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running == run { // nobody else has waited for it, and begun anew
		n.running = nil
	}
}

// addresses are where the primary may be: those of the command line, and those that were learned.
func (n *Node) addresses() []string {
	var list []string
	for _, e := range n.opt.ReplicateFrom {
		list = append(list, e.String())
	}
	if id := n.keep.State(); id != nil {
		for _, addr := range id.Follow {
			if !slices.Contains(list, addr) {
				list = append(list, addr)
			}
		}
	}
	return list
}

// Fenced reports whether another node has become primary.
func (n *Node) Fenced() bool {
	id := n.keep.State()
	return id != nil && (id.Highest() > id.Epoch().Number || n.unwrittenEpoch() > 0)
}

// Access is what clients may do now.
func (n *Node) Access() zeo.Access {
	switch id := n.keep.State(); {
	case !n.IsPrimary() || n.Fenced() || n.stopped():
		return zeo.ReadOnly
	case id != nil && id.Frozen:
		return zeo.Frozen
	}
	return zeo.Writable
}

// applyAccess sets what clients may do now, because the role may have changed.
func (n *Node) applyAccess() {
	n.failover.roleChanged()
	access := n.Access()
	n.noteAccess(access)
	if access != zeo.ReadOnly {
		n.sync.setLeading(true)
	}
	if n.opt.SetAccess != nil {
		n.opt.SetAccess(access)
	}
	if access == zeo.ReadOnly { // its writers are disconnected: none gets an answer to a commit that waited
		n.sync.setLeading(false)
	}
}

// IsPrimary reports whether this node leads, as far as it knows: see Fenced and Conflict.
func (n *Node) IsPrimary() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.isPrimary
}

func (n *Node) setPrimary(leads bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.isPrimary = leads
	n.since = time.Now()
	n.admits, n.wasWritable = n.since, false
}

// leadingSince is when a primary began to take transactions.
func (n *Node) leadingSince() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.since
}

// noteAccess notes when clients can write again after a time in which they could not.
func (n *Node) noteAccess(access zeo.Access) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if access != zeo.ReadOnly && n.readOnly {
		n.since = time.Now()
		if n.wasWritable {
			n.admits = n.since
		}
	}
	n.readOnly = access == zeo.ReadOnly
	n.wasWritable = n.wasWritable || !n.readOnly
}

// admitsFor is for how long this primary has sent no client away that wants to write. Before it takes transactions for
// the first time, such clients wait here.
func (n *Node) admitsFor() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Since(n.admits)
}
