package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/histogram"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// What is done when secondaries do not answer in time.
const (
	SyncBlock   = "block"   // commits go on waiting
	SyncDegrade = "degrade" // commits do not wait any more, until enough secondaries have caught up
)

// What a secondary must have done with a transaction.
const (
	SyncDurable = "durable" // it survives a crash there
	SyncApplied = "applied" // readers there see it
)

// DefaultSyncTimeout is after how long secondaries have not answered in time.
const DefaultSyncTimeout = 10 * time.Second

// A SyncConfig says for how many secondaries commits wait. Required 0: for none.
type SyncConfig struct {
	Required  int
	Names     []string      // of these, by name or node id; empty: of any
	Ack       string        // SyncDurable or SyncApplied; empty: SyncDurable
	Timeout   time.Duration // 0: the default
	OnTimeout string        // SyncBlock or SyncDegrade; empty: SyncBlock
}

// Check reports what makes no sense, in words of the command line, and fills in the defaults.
func (s *SyncConfig) Check() error {
	if s.Ack == "" {
		s.Ack = SyncDurable
	}
	if s.OnTimeout == "" {
		s.OnTimeout = SyncBlock
	}
	if s.Timeout == 0 {
		s.Timeout = DefaultSyncTimeout
	}
	switch {
	case s.Required < 0:
		return fmt.Errorf("--sync-secondaries %d: give 0 or more", s.Required)
	case s.Required == 0 && len(s.Names) > 0:
		return errors.New("--sync-names without --sync-secondaries: say for how many of them commits wait")
	case len(s.Names) > 0 && s.Required > len(s.Names):
		return fmt.Errorf("--sync-secondaries %d of %d names: commits would wait forever", s.Required,
			len(s.Names))
	case s.Ack != SyncDurable && s.Ack != SyncApplied:
		return fmt.Errorf("--sync-ack %s: give durable or applied", s.Ack)
	case s.OnTimeout != SyncBlock && s.OnTimeout != SyncDegrade:
		return fmt.Errorf("--sync-on-timeout %s: give block or degrade", s.OnTimeout)
	case s.Timeout < 0:
		return fmt.Errorf("--sync-timeout %v: give a duration above zero, such as 10s", s.Timeout)
	}
	for i, name := range s.Names {
		if name == "" || slices.Contains(s.Names[:i], name) {
			return fmt.Errorf("--sync-names: the name %q is empty or there twice", name)
		}
	}
	return nil
}

// A syncer has commits wait for secondaries. It may be used concurrently.
type syncer struct {
	*Node

	recovering sync.WaitGroup

	mu      sync.Mutex
	now     *syncWindow // nil before the first
	since   time.Time   // of being degraded; zero: it is not
	times   int64       // that it was
	waiting int
	waits   histogram.Histogram // of commits, for secondaries
	overdue zodb.Tid            // commits up to this one have waited for too long; 0: none has
}

// SyncRule is what this node waits for when it is primary. The list of names may be the same on all nodes: its own is
// left out.
func (n *Node) SyncRule() protocol.SyncRule {
	names := slices.DeleteFunc(slices.Clone(n.opt.Sync.Names), func(name string) bool {
		return name == n.opt.Name || name == n.keep.Node()
	})
	return protocol.SyncRule{Required: n.opt.Sync.Required, Names: names}
}

// A syncWindow is a time in which transactions wait. After its end clients may see everything: the node is not primary,
// and its writers are disconnected.
type syncWindow struct {
	life context.Context
	end  context.CancelFunc
}

func (t *syncWindow) over() bool { return t.life.Err() != nil }

// within returns a context that ends with both.
func (t *syncWindow) within(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(t.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// setLeading makes transactions wait, or not, from now on.
func (s *syncer) setLeading(leads bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil {
		if leads != s.now.over() {
			return
		}
		s.now.end()
	}
	life, end := context.WithCancel(context.Background())
	s.now, s.since, s.overdue = &syncWindow{life, end}, time.Time{}, 0
	if !leads {
		end()
	}
}

// AwaitCommitted is zeo.StorageOptions.AwaitCommitted.
func (s *syncer) AwaitCommitted(ctx context.Context, tid zodb.Tid) error {
	if s.opt.Sync.Required == 0 || s.replicationServer == nil {
		return nil
	}
	if s.replicationServer.Synced() >= tid {
		return nil
	}
	s.mu.Lock()
	now, degraded := s.now, !s.since.IsZero()
	s.mu.Unlock()
	if now.over() || degraded {
		return nil
	}
	return s.await(ctx, now, tid)
}

// await waits for secondaries, or until the node is not primary any more, or degrades.
func (s *syncer) await(ctx context.Context, now *syncWindow, tid zodb.Tid) error {
	s.count(1)
	defer s.count(-1)
	begun := time.Now()
	defer func() { s.waits.Observe(time.Since(begun)) }()
	waits := s.opt.Watch.Entry("a commit")
	waits.WaitsForOthers(admin.Secondaries(s.opt.Sync.Required) + " to have it")
	defer waits.Remove()
	ctx, cancel := now.within(ctx)
	defer cancel()
	late := time.AfterFunc(s.opt.Sync.Timeout, func() { s.timedOut(ctx, now, cancel, tid) })
	defer late.Stop()
	err := s.replicationServer.AwaitSynced(ctx, tid)
	s.mu.Lock()
	degraded := !s.since.IsZero()
	s.mu.Unlock()
	if now.over() || degraded {
		err = nil // nobody waits any more
	}
	return err
}

func (s *syncer) count(e int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting += e
}

// timedOut handles secondaries that do not answer in time. That commits do not wait is durable before one of them is
// acknowledged; while that cannot be saved they keep waiting.
func (s *syncer) timedOut(ctx context.Context, now *syncWindow, release func(), tid zodb.Tid) {
	has := s.replicationServer.Synced()
	if s.opt.Sync.OnTimeout == SyncBlock {
		s.opt.Logger.Error("commits wait for secondaries that do not answer: start them, or lower --sync-secondaries",
			"required", s.opt.Sync.Required, "names", s.opt.Sync.Names, "waiting_tid", tid, "secondaries_have", has,
			"after", s.opt.Sync.Timeout, "warning", warning.SyncImpossible)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.overdue = max(s.overdue, tid)
		return
	}
	for said := false; ; said = true {
		if ctx.Err() != nil {
			return
		}
		err := s.pauseWaits()
		if err == nil {
			break
		}
		if !said {
			s.opt.Logger.Error("commits keep waiting for secondaries: degraded mode cannot be saved to the state file",
				"error", err, "retry_in", s.opt.Sync.Timeout, "warning", warning.FilesWrong)
		}
		pause.For(ctx, s.opt.Sync.Timeout)
	}
	s.mu.Lock()
	first := s.since.IsZero() && !now.over()
	if first {
		s.since = time.Now()
		s.times++
	}
	s.mu.Unlock()
	if first {
		s.opt.Logger.Error("DEGRADED: commits no longer wait for secondaries, and may be lost with this node",
			"required", s.opt.Sync.Required, "names", s.opt.Sync.Names, "last_tid", tid, "secondaries_have", has,
			"warning", warning.SyncDegraded)
		s.recovering.Go(func() { s.recover(now) })
	}
	release()
}

// overdueReason says that commits wait for secondaries that have not answered in time; empty: none does.
func (s *syncer) overdueReason() string {
	if s.replicationServer == nil { // nobody can connect
		return ""
	}
	s.mu.Lock()
	overdue := s.overdue
	s.mu.Unlock()
	if s.replicationServer.Synced() >= overdue {
		return ""
	}
	return fmt.Sprintf(
		"commits up to %v have waited for secondaries longer than %v; %d of %s must have them",
		overdue,
		s.opt.Sync.Timeout,
		s.opt.Sync.Required,
		orAny(s.SyncRule().Names),
	)
}

func orAny(names []string) string {
	if len(names) == 0 {
		return "any"
	}
	return strings.Join(names, ", ")
}

// recover ends the degraded state when enough secondaries have what the storage has.
func (s *syncer) recover(now *syncWindow) {
	ctx, cancel := now.within(s.life)
	defer cancel()
	if s.replicationServer.AwaitSynced(ctx, s.st.LastTid()) != nil {
		return
	}
	s.mu.Lock()
	since := s.since
	s.since = time.Time{}
	s.mu.Unlock()
	if err := s.resumeWaits(); err != nil {
		s.opt.Logger.Warn("cannot save that commits wait for secondaries again: if another node becomes primary, "+
			"transactions that only this node has wait for zrsd rewind", "error", err, "warning", warning.FilesWrong)
	}
	s.opt.Logger.Info("commits wait for secondaries again", "degraded_for", time.Since(since).Round(time.Millisecond))
}

// Sync is what is shown of that; nil: commits do not wait here.
func (n *Node) Sync() *admin.Sync { return n.sync.status() }

func (s *syncer) status() *admin.Sync {
	c := &s.opt.Sync
	if c.Required == 0 || s.replicationServer == nil || !s.IsPrimary() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &admin.Sync{
		Required: c.Required, Names: slices.Clone(c.Names), Ack: c.Ack, Timeout: c.Timeout.Seconds(),
		OnTimeout: c.OnTimeout, Degraded: !s.since.IsZero(), Degradations: s.times, Waiting: min(s.waiting, 1),
		SyncedTid: admin.NonZero(s.replicationServer.Synced()), Waits: admin.DurationsOf(s.waits.Snapshot()),
	}
	if out.Names == nil {
		out.Names = []string{}
	}
	if out.Degraded {
		out.DegradedSince = admin.Known(s.since.UTC())
	}
	return out
}

// A primary whose commits wait for secondaries notes in its state file for which transactions clients were told only
// what enough secondaries had: state.Waits. When another node has replaced it, this shows whether any client was told
// of what it alone has. Each change of it is durable before a client is told anything by the new rule.

// commitsWait reports whether commits wait for secondaries while this node leads.
func (n *Node) commitsWait() bool { return n.opt.Sync.Required > 0 && n.opt.ReplicationAddr != "" }

// settleWaits brings that in line with how this node was started. Secondaries and clients come later.
func (n *Node) settleWaits() error {
	id := n.keep.State()
	if id == nil {
		return nil
	}
	now := id.Waits
	switch {
	case !n.commitsWait():
		now = nil
	case n.IsPrimary():
		now = n.waitsNow(id)
	}
	return n.setWaits(now)
}

// waitsNow is what a primary notes that begins a session, in which commits wait. What was there before it may have been
// told without that, unless it is noted already.
func (n *Node) waitsNow(id *state.State) *state.Waits {
	w := id.Waits
	switch {
	case w == nil:
		return n.waitsFrom(id)
	case w.Paused:
		w = w.From(n.st.LastTid())
	}
	if n.opt.Sync.Required < w.Required {
		lower := *w
		lower.Required = n.opt.Sync.Required
		w = &lower
	}
	return w
}

// waitsFrom is what a primary notes whose commits wait from after the last transaction on; nil: they do not.
func (n *Node) waitsFrom(id *state.State) *state.Waits {
	if !n.commitsWait() {
		return nil
	}
	return &state.Waits{Epoch: id.Epoch().Number, After: n.st.LastTid(), Required: n.opt.Sync.Required}
}

// setWaits writes it down, if it is news.
func (n *Node) setWaits(w *state.Waits) error {
	if n.keep.State().Waits == w {
		return nil
	}
	if err := n.keep.Update(func(id *state.State) error { id.Waits = w; return nil }); err != nil {
		return fmt.Errorf("saving what commits wait for: %w", err)
	}
	return nil
}

// changeWaits replaces what is noted. Where nothing is, change returns that.
func (n *Node) changeWaits(change func(*state.Waits) *state.Waits) error {
	if id := n.keep.State(); id == nil || change(id.Waits) == id.Waits {
		return nil
	}
	return n.keep.Update(func(id *state.State) error {
		id.Waits = change(id.Waits)
		return nil
	})
}

// Counts is primary.Member. A node that comes back with less than it had acknowledged, and one that replaces another,
// may lack something that clients were told.
func (n *Node) Counts(c primary.Counting) error {
	if !n.IsPrimary() {
		return nil
	}
	return n.changeWaits(func(w *state.Waits) *state.Waits {
		w = w.Counts(c.Node)
		if c.Less || c.Replaces != "" {
			w = w.Without(c.Replaces, n.st.LastTid())
		}
		return w
	})
}

// pauseWaits is called before commits are acknowledged that no secondary has.
func (n *Node) pauseWaits() error {
	return n.changeWaits((*state.Waits).Pause)
}

// resumeWaits is called when all commits are acknowledged only after enough secondaries have them.
func (n *Node) resumeWaits() error {
	return n.changeWaits(func(w *state.Waits) *state.Waits { return w.From(n.st.LastTid()) })
}
