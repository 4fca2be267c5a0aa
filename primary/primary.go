package primary

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admission"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A Source is the storage that is streamed: a *filestorage.Storage, or a *filestorage.Attached. All methods may be
// called concurrently.
type Source interface {
	Magic() zodb.Magic
	LastTid() zodb.Tid
	Size() int64
	HasBlobs() bool
	// Iterate begins after the given tid; a following iterator waits at the end for more.
	Iterate(after zodb.Tid, follow bool) (zodb.Iterator, error)
	// Find wraps zodb.ErrNoTid when there is no such transaction.
	Find(ctx context.Context, tid zodb.Tid) (filestorage.Found, error)
	// Count returns how many transactions are after a tid, and the last one counted.
	Count(ctx context.Context, after zodb.Tid) (int64, zodb.Tid, error)
}

// Options of a Primary. Zero values mean the defaults.
type Options struct {
	// Identity returns the storage's id and epochs. It is required. While the id is empty, as on a secondary that has
	// not yet adopted one, peers are refused with the advice to try again.
	Identity func() (storageID string, epochs []protocol.Epoch)
	// PutToken puts a token into the blob directory, where a secondary that shares it looks for it, until remove is
	// called. Nil: this node only reads a directory, and cannot prove it.
	PutToken func() (token protocol.Token, remove func() error, err error)
	// Seed says how parts of the data file are sent as they are.
	Seed SeedOptions
	// History is the chain of digests of the source. Nil: there is none to compare.
	History History
	// BlobDigests reads what the node has noted of the content of its blobs. Nil: it notes nothing.
	BlobDigests func() (BlobDigests, error)
	// HasRevision reports whether the data file has a record. Nil: that cannot be told.
	HasRevision func(oid zodb.Oid, tid zodb.Tid) (bool, error)
	// Revisions gives the data of single records to nodes that have damage in theirs. Nil: it is given in parts of the
	// data file only.
	Revisions Revisions
	// Member is this node among others that could be primary. Nil: it is the primary, and nothing else.
	Member Member
	// Sync says how many secondaries must have a transaction before AwaitSynced returns, and SyncApplied that they must
	// show it to readers, not only have it on disk.
	Sync        protocol.SyncRule
	SyncApplied bool
	// Own is the name of this node in the list from which Sync has its names, and which is the same on all nodes.
	// Empty: it is not in there.
	Own string
	// Secret is what a secondary must prove to have, and is proved to it. Empty: none is asked for. Peers of other
	// protocols, which cannot prove anything, are refused when it is set.
	Secret protocol.Secret
	// Name is shown to the operators of the secondaries: host name and data file.
	Name string

	MaxSecondaries   int           // at a time; default 16
	MaxPerAddress    int           // connections of one source at a time that are not accepted yet; default 8
	HandshakeTimeout time.Duration // from accepting to the first message, then to streaming; default 30 s
	Heartbeat        time.Duration // default 5 s
	IdleTimeout      time.Duration // of silence, after which a secondary is disconnected; default 60 s, >= 3 heartbeats
	seedPatience     time.Duration // of a seed that asks for nothing; default 10 min
	stallAfter       time.Duration // without progress while behind, a secondary counts as stalled; default 30 s
	DrainTimeout     time.Duration // for Shutdown to let secondaries catch up; default 60 s
	WriteTimeout     time.Duration // see protocol.SessionOptions
	KeepAlive        time.Duration // see protocol.SessionOptions

	Logger hclog.Logger
	now    func() time.Time
}

func (o Options) withDefaults() Options {
	orElse := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	orElse(&o.HandshakeTimeout, 30*time.Second)
	orElse(&o.Heartbeat, 5*time.Second)
	orElse(&o.IdleTimeout, 60*time.Second)
	o.IdleTimeout = max(o.IdleTimeout, 3*o.Heartbeat)
	orElse(&o.seedPatience, seedPatience)
	orElse(&o.stallAfter, 30*time.Second)
	orElse(&o.DrainTimeout, 60*time.Second)
	if o.MaxSecondaries <= 0 {
		o.MaxSecondaries = 16
	}
	if o.MaxPerAddress <= 0 {
		o.MaxPerAddress = 8
	}
	if o.Seed.Max <= 0 {
		o.Seed.Max = defaultMaxSeeds
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.now == nil {
		o.now = time.Now
	}
	return o
}

// A Primary streams one Source to any number of secondaries. Its methods may be called concurrently.
type Primary struct {
	src      Source
	opt      Options
	log      hclog.Logger
	logLimit *admission.LogLimiter // about peers that are not accepted
	loud     *admission.LogLimiter // about accepted peers, apart from all others
	limiter  *admission.Limiter    // for unauthenticated connections

	quorum *quorum
	seeds  *seedLimits

	draining context.Context // ends when Shutdown is called
	drain    context.CancelFunc
	cutting  context.Context // ends when a Shutdown stops waiting
	cut      context.CancelFunc
	serving  sync.WaitGroup

	mu        sync.Mutex // of what follows, and held where draining ends
	renewed   chan struct{}
	listeners map[net.Listener]struct{}
	roster    roster
}

// New returns a Primary that serves src, which stays the caller's to close, after Shutdown.
func New(src Source, opt Options) *Primary {
	p := &Primary{src: src, opt: opt.withDefaults(), listeners: make(map[net.Listener]struct{}),
		renewed: make(chan struct{})}
	p.log = p.opt.Logger.Named("primary")
	p.logLimit, p.loud = admission.NewLogLimiter(p.opt.now), admission.NewLogLimiter(p.opt.now)
	p.limiter = admission.NewLimiter(p.opt.MaxPerAddress, maxUnproven)
	p.quorum = newQuorum(p.opt.Sync, p.opt.SyncApplied)
	p.seeds = &seedLimits{max: p.opt.Seed.Max, rate: p.opt.Seed.Rate, most: p.opt.Seed.MaxDiffs}
	p.draining, p.drain = context.WithCancel(context.Background())
	p.cutting, p.cut = context.WithCancel(context.Background())
	return p
}

// Serve accepts secondaries on l until ctx ends, when all of them are cut, or Shutdown is called, when they are
// drained. It closes l, waits for every connection that it accepted, and returns nil in both cases. It may be
// called for several listeners.
func (p *Primary) Serve(ctx context.Context, l net.Listener) error {
	if !p.listens(l) {
		return l.Close()
	}
	defer p.serving.Done()
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	for _, end := range []context.Context{ctx, p.cutting} {
		defer context.AfterFunc(end, func() {
			p.leave(l)
			cancel(errShutdown)
		})()
	}
	var conns sync.WaitGroup
	defer conns.Wait()
	err := p.acceptAll(inner, l, &conns)
	p.leave(l)
	if ctx.Err() != nil || p.draining.Err() != nil {
		return nil
	}
	cancel(err) // without a listener there is nobody to serve
	return fmt.Errorf("accepting secondaries on %v: %w", l.Addr(), err)
}

// listens registers a listener unless the primary is shutting down.
func (p *Primary) listens(l net.Listener) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.draining.Err() != nil {
		return false
	}
	p.listeners[l] = struct{}{}
	p.serving.Add(1)
	return true
}

// leave closes a listener, once.
func (p *Primary) leave(l net.Listener) {
	p.mu.Lock()
	_, open := p.listeners[l]
	delete(p.listeners, l)
	p.mu.Unlock()
	if !open {
		return
	}
	if err := l.Close(); err != nil {
		p.log.Info("closing a listener failed", "listener", l.Addr().String(), "error", err)
	}
}

// Shutdown stops accepting, sends every secondary what it lacks, waits until each has acknowledged that as durable,
// sends a goodbye and returns when all connections are closed and every Serve has returned. It waits for DrainTimeout
// at most and until ctx ends; remaining connections are then closed, with an error.
func (p *Primary) Shutdown(ctx context.Context) error {
	err := p.stopAccepting()
	defer p.cut()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.serving.Wait()
	}()
	limit := time.NewTimer(p.opt.DrainTimeout)
	defer limit.Stop()
	select {
	case <-done:
		return err
	case <-limit.C:
		err = errors.Join(err, p.unfinished(fmt.Errorf("time limit of %v reached", p.opt.DrainTimeout)))
	case <-ctx.Done():
		err = errors.Join(err, p.unfinished(context.Cause(ctx)))
	}
	p.cut()
	<-done
	return err
}

// stopAccepting closes all listeners and asks the peers to end.
func (p *Primary) stopAccepting() error {
	p.mu.Lock()
	p.drain()
	open := p.listeners
	p.listeners = make(map[net.Listener]struct{})
	p.mu.Unlock()
	var err error
	for l := range open {
		err = errors.Join(err, l.Close())
	}
	return err
}

// unfinished names the connections that are closed early; nil: there are none.
func (p *Primary) unfinished(why error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.roster.connected(); n > 0 {
		return fmt.Errorf("shutting down with %s still connected: %w",
			plural.Or(n, "secondary", "secondaries"), why)
	}
	return nil
}

const (
	acceptPause = 100 * time.Millisecond // after accepting failed, as for want of file descriptors
	lingerLimit = 5 * time.Second        // for a peer to read our last words and close
)

// acceptAll hands every connection to a goroutine in conns, until l is closed.
func (p *Primary) acceptAll(ctx context.Context, l net.Listener, conns *sync.WaitGroup) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			p.logLimit.Warn(p.log, "", admission.Kind(err), "accepting a connection failed, retrying", "listener",
				l.Addr().String(), "error", err, "warning", warning.FewFiles)
			if !pause.For(ctx, acceptPause) {
				return context.Cause(ctx)
			}
			continue
		}
		c := newPeer(p, conn)
		p.enter(c)
		conns.Go(func() { c.serve(ctx) })
	}
}

// refusePreface sends r.
func refusePreface(ctx context.Context, conn net.Conn, r *protocol.Refusal) {
	lastAnswer(ctx, conn, func(ctx context.Context) error { return protocol.RefusePreface(ctx, conn, r) })
}

// maxUnread bounds what is read of a client that has got its answer.
const maxUnread = 16 << 10

// lastAnswer sends an answer and waits until the client has closed: a close with something unread would destroy the
// answer on its way.
func lastAnswer(ctx context.Context, conn net.Conn, send func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, lingerLimit)
	defer cancel()
	if send(ctx) != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { closeQuietly(conn) })
	defer stop()
	_, _ = io.CopyN(io.Discard, conn, maxUnread) // until the client closes, has said enough, or ctx ends: all the same
}

func closeQuietly(c io.Closer) {
	_ = c.Close() // the connection is closed; the error has no receiver
}
