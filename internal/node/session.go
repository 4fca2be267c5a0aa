package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// reopenPause is how long a failed storage is left alone before it is opened again.
const reopenPause = 5 * time.Second

// A replicated storage is one that this node owns, as the primary or as a secondary. It is opened again after failures
// that this can repair, and after a rewind: each time it is another session.
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

	rewinds, noted bool // the last session ended so that the storage is rewound; the next one does it

	now atomic.Pointer[session] // nil: it is not open
}

// addTo gives a member what runs it as this primary.
func (c *PrimaryConfig) addTo(m *member) {
	m.status = newNodeStatus(rolePrimary, &c.Config)
	if c.Attach {
		m.status.base.Storage.Attached = true
		m.session = func(ctx context.Context) error { return c.attach(ctx, m.status) }
		return
	}
	n := &replicated{
		c: &c.Config, cfg: c.following(), create: c.Create, starts: state.RolePrimary, status: m.status,
		pause: pause.For, self: rand.Text(),
	}
	m.session, m.now = n.run, &n.now
}

// addTo gives a member what runs it as this secondary.
func (c *SecondaryConfig) addTo(m *member) *replicated {
	m.status = newNodeStatus(roleSecondary, &c.Config)
	if c.ApplyDelay > 0 {
		c.delays(c.ApplyDelay)
	}
	n := &replicated{c: &c.Config, cfg: *c, starts: state.RoleSecondary, status: m.status, pause: pause.For,
		self: rand.Text()}
	m.session, m.now = n.run, &n.now
	return n
}

// run opens the storage again for as long as only that is needed. A primary that has lost its storage ends: it must
// not come back as one by itself, when another node may have taken its place.
func (n *replicated) run(ctx context.Context) error {
	if n.c.TLS == nil {
		for _, e := range n.cfg.ReplicateFrom {
			n.c.warnPlain(warning.PlainReplication, "the primary is read", e)
		}
	}
	for {
		n.rewinds, n.noted = false, false
		err := n.session(ctx)
		if err == nil && ctx.Err() == nil && n.rewinds {
			if !n.noted {
				n.pause(ctx, reopenPause)
			}
			continue
		}
		if ctx.Err() != nil || !n.reopens(err) {
			return err
		}
		n.status.failed(err)
		n.status.waits("the storage failed, reopening it: " + err.Error())
		n.c.Logger.Error("the storage failed, reopening it", "error", err, "in", reopenPause,
			"warning", warning.StorageFailed)
		n.pause(ctx, reopenPause)
	}
}

// reopens reports whether the storage is opened again after a session that ended by an error: one that was open before,
// and not as primary.
func (n *replicated) reopens(err error) bool { return n.ran && !n.led && retryable(err) }

// retryable reports whether opening everything again may help: always, but for damage, for files that somebody moved
// under this node, and when nothing is wrong.
func retryable(err error) bool {
	var corrupt *zodb.CorruptError
	var displaced *filestorage.DisplacedError
	var failed *filestorage.FailedError
	var start *StartError
	return !errors.As(err, &corrupt) && !errors.As(err, &displaced) &&
		(errors.As(err, &failed) || errors.As(err, &start))
}

// A session is a storage while it is open, and what runs around it. What the node does as one of its cluster is in
// package cluster.
type session struct {
	*replicated

	// Set before anybody else can see them.
	st                *filestorage.Storage
	keep              *state.Keeper
	blobs             blobDir
	replicationAddr   string             // where others connect to the replication server; empty: nowhere
	replicationServer *replicationServer // nil: nobody can connect
	node              *cluster.Node
	sec               *secondary.Secondary
	chain             *hashchain.Local
	files             *files
}

// session runs the storage, opened once, until ctx ends or it fails.
func (n *replicated) session(ctx context.Context) (err error) {
	s := &session{replicated: n}
	ln, err := s.listen(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.blobs.places.close()) }()
	if err := s.openAll(ctx); err != nil {
		return errors.Join(err, closeListener(ln))
	}
	defer func() {
		n.status.waits("the storage is closing")
		err = errors.Join(err, s.st.Close())
		s.blobs.written()
	}()
	s.chain = s.c.chain(s.st, s.keep)
	defer s.chain.Close()
	s.sec = secondary.New(s.st, s.keep, s.options())
	if err := s.node.Begin(ctx, s.sec); err != nil {
		return errors.Join(err, closeListener(ln))
	}
	s.serve(ln)
	if err := s.node.Follow(ctx); err != nil {
		return errors.Join(err, s.retire())
	}
	return s.work(ctx)
}

// work runs the session from when everything is open.
func (s *session) work(ctx context.Context) error {
	s.files = &files{
		c: s.c, st: s.st, keep: s.keep, blobs: s.blobs, ends: s.node.StorageFailed, tries: s.node.TriesRoom,
	}
	if s.c.delay != nil {
		s.c.delay.begin(s)
	}
	clients, release := s.node.Open()
	defer release()
	defer s.c.offered(s.st, s.blobs.places.awaits(clients))()
	defer s.node.TakePart()()
	defer s.c.verifies(s.verifiable())()
	defer s.c.archives(archived{s.st, s.keep, s.chain, s.blobs, s.node.IsPrimary})()
	s.status.opened(s.show)
	s.ran = true
	s.node.Enter(ctx)
	s.status.joined(s.node)
	s.now.Store(s)
	if s.c.Opened != nil {
		s.c.Opened(s.node)
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var looking sync.WaitGroup
	looking.Go(func() { s.files.watch(life) })
	looking.Go(func() { s.blobs.places.run(life) })
	looking.Go(func() { s.blobs.run(life) })
	err := s.node.Run(ctx, s.served())
	s.now.Store(nil)
	s.node.Leave(errStopped)
	end()
	looking.Wait()
	s.led = s.node.IsPrimary()
	err = errors.Join(err, s.retire())
	s.rewinds, s.noted = s.node.NoteRewind()
	return s.noteReseed(s, err)
}

// served has the end of the replication server; nil where there is none.
func (s *session) served() chan error {
	if s.replicationServer == nil {
		return nil
	}
	return s.replicationServer.served
}

// retire ends what runs beside the storage.
func (s *session) retire() error {
	s.node.Retire()
	if s.replicationServer == nil {
		return nil
	}
	s.replicationServer.drain()
	return <-s.replicationServer.served
}

func closeListener(ln net.Listener) error {
	if ln == nil {
		return nil
	}
	return ln.Close()
}

// listen begins to listen for secondaries, before anything is opened: an address in use is found at once.
func (s *session) listen(ctx context.Context) (net.Listener, error) {
	if s.c.ReplicateTo.IsZero() {
		return nil, nil //nolint:nilnil // nobody can connect
	}
	ln, err := s.c.listenForServers(ctx)
	if err == nil {
		s.replicationAddr = s.c.reachable(ln.Addr())
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

// openAll opens the storage, with its blobs and its identity. A copy that has lost its data file is opened as a new
// one, where that may be.
func (s *session) openAll(ctx context.Context) (err error) {
	if err := s.checkMounts(ctx); err != nil {
		return err
	}
	if err := s.c.finishReseed(s.status); err != nil {
		return err
	}
	s.seedFromArchive(ctx)
	err = s.openFiles(ctx)
	for range maxClosedHeals {
		if !s.healsClosed(ctx, err) {
			break
		}
		err = s.openFiles(ctx)
	}
	if lost := s.lostCopy(err); lost != nil {
		if err = s.reseed(ctx, lost); err == nil {
			err = s.openFiles(ctx)
		}
	}
	if err != nil {
		return err
	}
	if err := s.identify(ctx); err != nil {
		return errors.Join(err, s.st.Close())
	}
	return nil
}

func (s *session) openFiles(ctx context.Context) (err error) {
	if err := s.missesData(); err != nil {
		return err
	}
	if err := s.c.missesBlobs(ctx, s.status); err != nil {
		return err
	}
	if err := s.c.finishRewind(ctx, s.status); err != nil {
		return err
	}
	if s.blobs, err = s.c.openBlobs(false); err != nil {
		return err
	}
	if err := s.openPlaces(ctx); err != nil {
		return err
	}
	s.c.noteBlobs(&s.blobs)
	mustExist := s.starts == state.RolePrimary && !s.create && !s.begunAnew()
	if s.st, err = s.c.openStorage(ctx, s.status, s.blobs, mustExist); err != nil {
		return s.lost(err)
	}
	s.blobs.begin(s.st.LastTid())
	return nil
}

// lost says what to do about a primary that has lost its data while others may have them.
func (s *session) lost(err error) error {
	if !errors.Is(err, fs.ErrNotExist) || s.starts != state.RolePrimary || len(s.cfg.ReplicateFrom) == 0 {
		return err
	}
	return &StartError{Err: fmt.Errorf("%w; where the files of this node were lost, start it with zrsd secondary and "+
		"the same addresses: it is filled from the primary, and can be made primary again with zrsd switchover", err)}
}

// identify reads the state file, now that nobody else can be writing it, and decides who this node is.
func (s *session) identify(ctx context.Context) (err error) {
	id := s.c.identity()
	if s.keep, err = id.Load(); err != nil {
		return err
	}
	if _, err := id.Compare(ctx, s.st, s.keep); err != nil {
		return err
	}
	if s.node, err = s.newNode(); err != nil {
		return err
	}
	return s.node.Claim(ctx)
}

// identity is what the node finds out with who it is.
func (c *Config) identity() *cluster.Identity {
	return &cluster.Identity{
		FS: c.FS, Data: c.Data, Name: c.name(), Logger: c.Logger, NewIdentity: c.NewIdentity, AsItWas: c.AsItWas,
	}
}

// newNode returns the node as one of its cluster.
func (s *session) newNode() (*cluster.Node, error) {
	coordinator, err := s.c.coordinatorOptions()
	if err != nil {
		return nil, err
	}
	return cluster.New(cluster.Options{
		Identity: *s.c.identity(), Starts: s.starts, ReplicateFrom: s.cfg.ReplicateFrom,
		ReplicationAddr: s.replicationAddr, AdminAddr: s.c.adminAt.String(), Blobs: s.c.Blobs,
		SharedBlobs: s.blobs.shared != nil, ReadyLag: s.cfg.ReadyLag, Sync: s.c.Sync, Coordinator: coordinator,
		ReseedAuto: s.c.Reseed == ReseedAuto, SpareAfter: s.cfg.spareAfter(),
		ApplyDelay: s.cfg.ApplyDelay, Shown: s.c.delay.shownUpTo,
		Self: s.self, Storage: s.st, State: s.keep, Secret: s.c.read.secret, Dial: s.c.dialServer,
		MayDial: s.c.MayDial, SetAccess: s.c.setAccess, Stopping: s.c.leaving.Load, Watch: s.c.board,
		Report: s.status.report, Followers: followersIn,
	}), nil
}

// firstWait is how soon the primary is looked for again. After a handover it is another node within milliseconds.
const firstWait = 20 * time.Millisecond

// options are how the primary is followed.
func (s *session) options() secondary.Options {
	opt := secondary.Options{
		SharedBlobs: s.blobs.following(), BlobsOnDemand: s.blobs.cached(), Name: s.status.base.Name,
		Dial:   s.c.dialServer,
		Secret: s.c.read.secret, ReplicationAddr: s.replicationAddr, Chain: s.position,
		Appended: s.chain.Appended,
		Protocol: s.cfg.Protocol, KeepAliveDelay: s.cfg.KeepAliveDelay, NeedsIdentity: !s.c.ReplicateTo.IsZero(),
		MaxRecord: s.cfg.MaxRecord, MaxFrame: s.cfg.MaxFrame,
		HandshakeTimeout: s.c.HandshakeTimeout, StallTimeout: s.c.IdleTimeout,
		MinBackoff: firstWait, Logger: s.c.Logger,
		SeedThreshold: s.c.SeedThreshold, Compress: s.c.SeedCompress, LearnsFromAny: s.c.Sync.Required == 0,
	}
	if s.c.healer != nil {
		opt.MissingBlobs = s.c.healer.cameWithout(s.st)
	}
	opt.SeedCopy, opt.ApplyDelay = s.cfg.SeedCopy, s.cfg.ApplyDelay > 0
	opt.Once = s.cfg.seedEnds
	for _, e := range s.cfg.SeedFrom {
		opt.SeedFrom = append(opt.SeedFrom, e.String())
	}
	opt.EpochsChanged = s.node.Renew
	opt.Rewind = func(ctx context.Context, addr string) string {
		return s.c.rewindCommand(s.node.LeaderFor(ctx, addr))
	}
	opt.Diverged = s.node.Diverged
	if s.replicationAddr != "" && s.blobs.shared == nil {
		opt.Successor = s.node
	}
	return opt
}

// position is secondary.Options.Chain.
func (s *session) position(ctx context.Context, tid zodb.Tid) (base zodb.Tid, value zodb.Digest, ok bool) {
	base, at, ok := s.chain.Near(ctx, tid)
	return base, at.Value, ok
}

// serve begins to serve secondaries.
func (s *session) serve(ln net.Listener) {
	if ln == nil {
		return
	}
	s.replicationServer = s.c.serveReplication(s.st, ln, s.blobs, s.chain, s.sec.Identity, s.node, s.node.SyncRule())
	s.node.Serve(s.replicationServer)
}
