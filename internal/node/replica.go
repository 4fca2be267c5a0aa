package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zeo"
)

// A replicated storage is one that this node owns, as the primary or as a secondary. It is opened again after failures
// that this can mend: each time it is another replica.
type replicated struct {
	c      *Config
	cfg    SecondaryConfig // how it follows
	create bool            // a primary may begin with an empty file
	starts state.Role      // what it is while the state file says nothing else
	status *nodeStatus
	pause  func(ctx context.Context, d time.Duration) bool

	self string // is another one with each start: by this a node knows itself from a copy of it

	ran bool // everything could be opened once
	led bool // the last session ended as primary

	tail *tailError // why the last session ended; nil: for another reason

	now atomic.Pointer[replica] // nil: it is not open
}

// A replica is a storage while it is open, and changes from primary to secondary and back without being closed. See
// the package comment.
type replica struct {
	*replicated

	// Set before anybody else can see them.
	st                *filestorage.Storage
	keep              *state.Keeper
	blobs             blobDir
	replicationAddr   string             // where others connect to follow; empty: nowhere
	replicationServer *replicationServer // nil: nobody can connect
	sync              *syncer
	sec               *secondary.Secondary
	chain             *hashchain.Local
	files             *files

	life     context.Context // ends with the session
	ended    chan error      // why following ended by itself
	events   events          // by connections
	begun    chan struct{}   // one slot: it has begun to lead
	failover *failoverNode   // nil: there is none
	asked    sync.WaitGroup  // questions who leads
	seen     atomic.Uint64   // the highest epoch in which another node has said to lead
	leader   string          // of changing: where others say that the primary is or will be; empty: unknown

	surpassed surpassing  // of changing
	older     atomic.Bool // a secondary of this primary's epoch has more than this one

	// changing is held by whoever changes the role, or what is promised, and in the end for good.
	changing chan struct{}

	mu      sync.Mutex
	leads   bool
	since   time.Time  // it leads, or takes transactions again
	shut    bool       // clients could only read here when the access was told last
	running *following // nil: nobody is followed
	// unwritten is a higher epoch that this node was told of as primary and could not write down: see gaveOut.
	unwritten uint64

	asksIdentity atomic.Bool             // started as primary, it has still to ask whether the storage has an identity
	begins       bool                    // it is to begin an epoch of its own when it is open
	met          atomic.Pointer[dispute] // what others have answered that must not be; nil: nothing
}

// A following is one run of the secondary.
type following struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// session runs the storage, opened once, until ctx ends or it fails.
func (n *replicated) session(ctx context.Context) (err error) {
	r := &replica{
		replicated: n, changing: make(chan struct{}, 1), ended: make(chan error, 1), events: newEvents(),
		begun: make(chan struct{}, 1),
	}
	ln, err := r.listen(ctx)
	if err != nil {
		return err
	}
	if err := r.openAll(ctx); err != nil {
		return errors.Join(err, closeListener(ln))
	}
	defer func() {
		n.status.waits("the storage is closing")
		err = errors.Join(err, r.st.Close())
	}()
	r.chain = r.c.chain(r.st, r.keep)
	defer r.chain.Close()
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	r.life = life
	r.sec = secondary.New(r.st, r.keep, r.options())
	if r.failover, err = r.newFailoverNode(); err != nil {
		return errors.Join(err, closeListener(ln))
	}
	if err := r.begin(ctx); err != nil {
		return errors.Join(err, closeListener(ln))
	}
	r.serve(ln)
	if err := r.changeInTurn(ctx, r.followFirst); err != nil {
		end(nil)
		return errors.Join(err, r.retire())
	}
	r.files = &files{c: r.c, st: r.st, keep: r.keep, blobs: r.blobs, ends: r.stoppedBy, tries: r.tries}
	terms := r.serveOptions()
	r.sync = &syncer{replica: r}
	r.sync.lead(terms.Access != zeo.ReadOnly)
	defer r.sync.recovering.Wait()
	defer r.asked.Wait()
	defer r.c.offered(r.st, terms)()
	defer r.takePart()()
	n.status.opened(r.show)
	n.ran = true
	r.beginOwnEpoch(ctx)
	n.now.Store(r)
	var looking sync.WaitGroup
	looking.Go(func() { r.epochMonitor(life) })
	looking.Go(func() { r.files.watch(life) })
	err = r.watch(ctx)
	n.now.Store(nil)
	end(errStopped)
	looking.Wait()
	n.led = r.isLeading()
	err = errors.Join(err, r.retire())
	r.noteRewind()
	return err
}

// beginOwnEpoch begins an epoch, where that is what the node was started for.
func (r *replica) beginOwnEpoch(ctx context.Context) {
	if !r.begins {
		return
	}
	if err := r.beginOwn(ctx); err != nil {
		select {
		case r.ended <- err:
		default: // it was told already
		}
	}
}

// retire ends what runs beside the storage.
func (r *replica) retire() error {
	r.changing <- struct{}{} // for good: nobody changes anything any more
	r.stopFollowing()
	if r.replicationServer == nil {
		return nil
	}
	r.replicationServer.drain()
	return <-r.replicationServer.served
}

func closeListener(ln net.Listener) error {
	if ln == nil {
		return nil
	}
	return ln.Close()
}

// listen begins to listen for secondaries, before anything is opened: an address in use is found at once.
func (r *replica) listen(ctx context.Context) (net.Listener, error) {
	if r.c.ReplicateTo.IsZero() {
		return nil, nil //nolint:nilnil // nobody can connect
	}
	ln, err := r.c.listenForServers(ctx)
	if err == nil {
		r.replicationAddr = r.c.reachable(ln.Addr())
	}
	return ln, err
}

// reachable is where other nodes connect to a listener of this one.
func (c *Config) reachable(at net.Addr) string {
	if !c.Advertise.IsZero() {
		return c.Advertise.String()
	}
	tcp, ok := at.(*net.TCPAddr)
	if !ok {
		return c.ReplicateTo.String()
	}
	host := c.ReplicateTo.Host()
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(tcp.Port))
}

// openAll opens the storage, with its blobs and its identity.
func (r *replica) openAll(ctx context.Context) (err error) {
	if err := r.c.missesBlobs(ctx, r.status); err != nil {
		return err
	}
	if err := r.c.finishRewind(ctx, r.status); err != nil {
		return err
	}
	if r.blobs, err = r.c.openBlobs(false); err != nil {
		return err
	}
	mustExist := r.starts == state.RolePrimary && !r.create
	if r.st, err = r.c.openStorage(ctx, r.status, r.blobs, mustExist); err != nil {
		return r.lost(err)
	}
	if err := r.identify(ctx); err != nil {
		return errors.Join(err, r.st.Close())
	}
	return nil
}

// lost says what to do about a primary that has lost its data while others may have them.
func (r *replica) lost(err error) error {
	if !errors.Is(err, fs.ErrNotExist) || r.starts != state.RolePrimary || len(r.cfg.ReplicateFrom) == 0 {
		return err
	}
	return &StartError{fmt.Errorf("%w; where the files of this node were lost, start it with zrsd secondary and the "+
		"same addresses: it is filled from the primary, and can be made primary again with zrsd switchover", err)}
}

// identify reads the state file, now that nobody else can be writing it, and decides who this node is.
func (r *replica) identify(ctx context.Context) (err error) {
	if r.keep, err = r.c.loadIdentity(); err != nil {
		return err
	}
	if _, err := r.c.settleFile(ctx, r.st, r.keep); err != nil {
		return err
	}
	return r.claim(ctx)
}

// begin takes up the role at the beginning of a session. A secondary follows nobody yet.
func (r *replica) begin(ctx context.Context) error {
	if err := r.yieldToHigherEpoch(ctx); err != nil {
		return err
	}
	role := r.role()
	if r.toldRole() != r.starts {
		r.c.Logger.Warn("this node keeps the role of the last failover, not the one it was started with",
			"role", role, "started_as", r.starts)
	}
	r.setLeads(role == state.RolePrimary && !r.begins)
	if err := r.settleWaits(); err != nil {
		return &StartError{err}
	}
	if !r.isLeading() {
		return nil
	}
	return r.openAgain(ctx)
}

// followFirst makes a secondary follow its primary, unless a bid has had it done so already. Who is fed by this node is
// by then: they have to hear of what is new here.
func (r *replica) followFirst(context.Context) error {
	r.mu.Lock()
	busy := r.leads || r.running != nil
	r.mu.Unlock()
	if !busy && !r.begins && !r.asksIdentity.Load() {
		r.follow()
	}
	return nil
}

// serve feeds secondaries.
func (r *replica) serve(ln net.Listener) {
	if ln != nil {
		r.replicationServer = r.c.serveReplication(r.st, ln, r.blobs, r.chain, r.sec.Identity, r, r.syncRule())
	}
}

// watch does what connections have noticed, until ctx ends or something fails.
func (r *replica) watch(ctx context.Context) error {
	var served chan error
	if r.replicationServer != nil {
		served = r.replicationServer.served
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-r.ended:
			if !errors.As(err, &r.tail) {
				return err
			}
			if r.isLeading() { // it was promoted meanwhile: what it has is the history now
				r.tail = nil
				continue
			}
			return nil
		case err := <-served:
			r.replicationServer.served <- err // for who drains
			return nil
		case <-r.events.news:
			r.act(ctx)
		}
	}
}

// follow begins to look for the primary.
func (r *replica) follow() {
	ctx, cancel := context.WithCancel(r.life)
	run := &following{cancel, make(chan struct{})}
	r.sec.Look(first(r.leader, r.addresses()))
	r.mu.Lock()
	r.running = run
	r.mu.Unlock()
	go func() {
		defer close(run.done)
		err := r.sec.Run(ctx)
		if ctx.Err() == nil {
			r.ended <- err
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
func (r *replica) stopFollowing() {
	r.mu.Lock()
	run := r.running
	r.running = nil
	r.mu.Unlock()
	if run != nil {
		run.cancel()
		<-run.done
	}
}

// addresses are where the primary may be: those of the command line, and those that were learned.
func (r *replica) addresses() []string {
	var list []string
	for _, e := range r.cfg.ReplicateFrom {
		list = append(list, e.String())
	}
	if id := r.keep.State(); id != nil {
		for _, addr := range id.Follow {
			if !slices.Contains(list, addr) {
				list = append(list, addr)
			}
		}
	}
	return list
}

// fenced reports whether another node has become primary.
func (r *replica) fenced() bool {
	id := r.keep.State()
	return id != nil && (id.Highest() > id.Epoch().Number || r.unwrittenEpoch() > 0)
}

// access is what clients may do now.
func (r *replica) access() zeo.Access {
	switch id := r.keep.State(); {
	case !r.isLeading() || r.fenced() || r.stopped():
		return zeo.ReadOnly
	case id != nil && id.Frozen:
		return zeo.Frozen
	}
	return zeo.Writable
}

// applyAccess tells the front what clients may do now, because the role may be another.
func (r *replica) applyAccess() {
	r.failover.roleChanged()
	access := r.access()
	r.noteAccess(access)
	if access != zeo.ReadOnly {
		r.sync.lead(true)
	}
	if r.c.setAccess != nil {
		r.c.setAccess(access)
	}
	if access == zeo.ReadOnly { // and its writers are gone, so that nobody hears "committed" of what was waiting
		r.sync.lead(false)
	}
}

func (r *replica) isLeading() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leads
}

func (r *replica) setLeads(leads bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leads = leads
	r.since = time.Now()
}

// leadingSince is when a primary began to take transactions.
func (r *replica) leadingSince() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.since
}

// noteAccess notes when clients can write again after a time in which they could not.
func (r *replica) noteAccess(access zeo.Access) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if access != zeo.ReadOnly && r.shut {
		r.since = time.Now()
	}
	r.shut = access == zeo.ReadOnly
}

// changeInTurn has f change the role, when nobody else is at it any more.
func (r *replica) changeInTurn(ctx context.Context, f func(ctx context.Context) error) error {
	select {
	case r.changing <- struct{}{}:
		defer func() { <-r.changing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return f(ctx)
}

// change has f change the role, if nobody else is at it. Until f returns nobody can.
func (r *replica) change(ctx context.Context, f func(ctx context.Context) error) error {
	select {
	case r.changing <- struct{}{}:
		defer func() { <-r.changing }()
	default:
		return &admin.Refusal{Reason: admin.Busy, Text: "the role of this node is being changed already: try again"}
	}
	return f(ctx)
}
