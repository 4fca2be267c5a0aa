package secondary

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/watchdog"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A Secondary keeps one storage a copy of a primary's. Run is for one goroutine, the other methods may be called
// concurrently.
type Secondary struct {
	st        *filestorage.Storage
	opt       Options
	log       hclog.Logger
	keep      *state.Keeper
	pendingID *pendingIdentity // of the primary last heard, not yet confirmed

	diverged *divergedError // what the primary said last; nil: nothing of the kind

	addr      string           // of the present connection, or attempt
	roundTrip time.Duration    // of the present connection
	intake    *protocol.Intake // likewise
	unlike    map[string]bool  // addresses whose data file is not byte for byte the same as the one here

	seeded       bool // the last connection has taken a data file up to its end
	partsKept    bool // what is there of large blobs is kept for the next seed
	primaryOnly  bool // only the primary itself is followed; see choose
	seedOnly     bool // a node is asked for its data file, and not followed
	metSecondary bool // in this round: a node that is not the primary
	track        *tracker
	loss         loss
	handing      *watchdog.Entry // of a transaction to the storage, while Run runs; nil: nobody watches
	old          old             // what is known of primaries that speak zrs2
	pause        func(context.Context, time.Duration) bool
}

// Open returns a Secondary that writes to st, which stays the caller's to close, after Run. Nobody else may write to
// it. The identity of the copy is kept beside its Data.fs, in a file with .zrsd after the name.
func Open(st *filestorage.Storage, opt Options) (*Secondary, error) {
	keep, err := state.Open(nil, st.Path())
	if err != nil {
		return nil, fmt.Errorf("open the state file of %s: %w", st.Path(), err)
	}
	return New(st, keep, opt), nil
}

// New is Open for a program that has the state file open already, as a node of zrsd has: keep has the identity, or none
// yet, and then takes the primary's.
func New(st *filestorage.Storage, keep *state.Keeper, opt Options) *Secondary {
	opt = opt.withDefaults()
	return &Secondary{
		st: st, keep: keep, opt: opt, log: opt.Logger.Named("secondary"), track: newTracker(opt.now), old: newOld(),
		unlike: make(map[string]bool),
		pause:  pause.For, primaryOnly: true,
	}
}

// Identity returns the id of the storage and its epochs, or nothing before the primary's have been taken.
func (s *Secondary) Identity() (storageID string, epochs []protocol.Epoch) {
	if id := s.keep.State(); id != nil {
		return id.StorageID, id.Epochs
	}
	return "", nil
}

// Look changes where the primary is looked for, while Run does not run.
func (s *Secondary) Look(addresses []string) { s.opt.Addresses = addresses }

// Run follows the primary until ctx ends, and then returns nil. It returns an error only when there is no address to
// connect to, when the storage must be closed and opened again, which wraps a *filestorage.FailedError, and that of
// Options.Diverged.
func (s *Secondary) Run(ctx context.Context) error {
	if len(s.opt.Addresses) == 0 {
		return errors.New("a secondary needs the address of its primary")
	}
	s.handing = s.opt.watch.Entry("the replication from the primary")
	defer s.handing.Remove()
	s.seedFrom(ctx)
	s.loss.runs(s.opt.now())
	defer func() { s.loss.ended = s.opt.now() }()
	p := newPace(s.opt)
	for ctx.Err() == nil {
		addr := p.address()
		progress, err := s.attempt(ctx, addr)
		if progress { // whatever has ended it, such as that this node becomes primary
			s.loss.begins(s.opt.now(), true)
		}
		if ctx.Err() != nil || again(err) {
			s.track.leaves(err)
			continue
		}
		shown := s.statusError(err, progress)
		saved, _ := stateAfter(shown)
		s.track.failed(saved, shown, err)
		wait, news := p.failed(err, progress)
		s.track.final(p.final(err))
		s.choose(err, progress, wait > 0)
		s.report(addr, err, progress, news, wait)
		if mustReopen(err) {
			return err
		}
		if err := s.decide(ctx, addr, err); err != nil {
			return err
		}
		s.pause(ctx, wait)
	}
	s.track.enter(StateStopped)
	return nil
}

// attempt connects to one address and follows the primary there until something ends that. It reports whether the
// connection was of use.
func (s *Secondary) attempt(ctx context.Context, addr string) (progress bool, err error) {
	s.addr = addr
	s.track.connecting(addr)
	err = s.advised(ctx, addr, s.followIn(ctx, addr))
	return s.track.progressed(), err
}

// followNative follows a primary in our own protocol.
func (s *Secondary) followNative(ctx context.Context, addr string) error {
	hello, err := s.hello(ctx)
	if err != nil {
		return err
	}
	l, err := protocol.InVersions(func(version int) (*link, error) { return s.connect(ctx, addr, version, hello) })
	if err != nil {
		return err
	}
	if l.seed != nil {
		return s.seed(ctx, l)
	}
	s.seeded = false
	s.keepParts(false)
	return s.follow(ctx, l)
}

// hello says where this secondary stands.
func (s *Secondary) hello(ctx context.Context) (*protocol.Hello, error) {
	h := &protocol.Hello{Version: protocol.MessageVersion, Blobs: s.st.HasBlobs(), Name: s.opt.Name}
	if s.opt.SharedBlobs != nil {
		h.Capabilities = []string{protocol.SharedBlobs}
	}
	if s.opt.BlobsOnDemand {
		h.Capabilities = append(h.Capabilities, protocol.BlobsOnDemand)
	}
	if s.opt.Once {
		h.Capabilities = append(h.Capabilities, protocol.Once)
	}
	if s.opt.ApplyDelay {
		h.Capabilities = append(h.Capabilities, protocol.ApplyDelay)
	}
	if s.canSeed() {
		h.Capabilities = append(h.Capabilities, protocol.Ranges)
	}
	h.StorageID, h.Epochs = s.Identity()
	if id := s.keep.State(); id != nil {
		h.MaxEpochSeen, h.MaxEpochBegun = id.MaxEpochSeen, id.MaxEpochBegun
		if id.Was == "" { // a copy speaks for itself only
			h.Successor = id.Successor
		}
	}
	h.Node, h.ReplicationAddr = s.keep.Node(), s.opt.ReplicationAddr
	if s.opt.Successor != nil {
		h.Capabilities = append(h.Capabilities, protocol.Handover)
	}
	if h.StorageID == "" && s.pendingID != nil {
		h.StorageID, h.Epochs = s.pendingID.storageID, s.pendingID.epochs
	}
	last := s.st.LastTid()
	if last == 0 {
		return h, nil
	}
	found, err := s.st.Find(ctx, last)
	if err != nil {
		return nil, &localError{err}
	}
	h.Magic = s.st.Magic()
	h.Last = protocol.Position{Tid: last, Status: found.Status, Digest: found.Digest}
	if id := s.keep.State(); s.opt.Chain != nil && id != nil && !id.ExternalHistory {
		if base, value, ok := s.opt.Chain(ctx, last); ok {
			h.Last.Base, h.Last.Value = base, value
		}
	}
	return h, nil
}

// maxYearsAhead is how far tids of a primary may be ahead of the clock here, or of the last transaction where that is
// ahead itself. Files of clocks that were wrong by years are copied as they are. What lies after that is a tid after
// which nothing could be committed any more, by anybody who is promoted later.
const maxYearsAhead = 100

// believes refuses a transaction that would leave no tids for later ones.
func (s *Secondary) believes(tid zodb.Tid) error {
	if most := s.believable(); tid > most {
		return unfit("the primary sends transaction %v, of a time more than %d years ahead: after it there would "+
			"be almost no tids left; run zrsd check on the primary's file, and look at both clocks",
			tid,
			maxYearsAhead)
	}
	return nil
}

// believable is the highest tid that believes takes now.
func (s *Secondary) believable() zodb.Tid {
	last, bound := s.st.LastTid(), s.opt.now()
	if last != 0 && last.Time().After(bound) {
		bound = last.Time()
	}
	most, err := zodb.TidFromTime(bound.AddDate(maxYearsAhead, 0, 0))
	if err != nil { // there is no tid of such a time
		return math.MaxUint64
	}
	return most
}
