package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/pause"
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

// check reports what makes no sense, and fills in the defaults.
func (s *SyncConfig) check() error {
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
		return &ConfigError{fmt.Sprintf("--sync-secondaries %d: give 0 or more", s.Required)}
	case s.Required == 0 && len(s.Names) > 0:
		return &ConfigError{"--sync-names without --sync-secondaries: say for how many of them commits wait"}
	case len(s.Names) > 0 && s.Required > len(s.Names):
		return &ConfigError{fmt.Sprintf("--sync-secondaries %d of %d names: commits would wait forever", s.Required,
			len(s.Names))}
	case s.Ack != SyncDurable && s.Ack != SyncApplied:
		return &ConfigError{fmt.Sprintf("--sync-ack %s: give durable or applied", s.Ack)}
	case s.OnTimeout != SyncBlock && s.OnTimeout != SyncDegrade:
		return &ConfigError{fmt.Sprintf("--sync-on-timeout %s: give block or degrade", s.OnTimeout)}
	case s.Timeout < 0:
		return &ConfigError{fmt.Sprintf("--sync-timeout %v: give a duration above zero, such as 10s", s.Timeout)}
	}
	for i, name := range s.Names {
		if name == "" || slices.Contains(s.Names[:i], name) {
			return &ConfigError{fmt.Sprintf("--sync-names: the name %q is empty or there twice", name)}
		}
	}
	return nil
}

// A syncer has commits wait for secondaries. It may be used concurrently.
type syncer struct {
	*replica

	recovering sync.WaitGroup

	mu      sync.Mutex
	now     *syncWindow // nil before the first
	since   time.Time   // of being degraded; zero: it is not
	times   int64       // that it was
	waiting int
	overdue zodb.Tid // commits up to this one have waited for too long; 0: none has
}

// syncRule is what this node waits for when it is primary. The list of names may be the same on all nodes: its own is
// left out.
func (r *replica) syncRule() protocol.SyncRule {
	names := slices.DeleteFunc(slices.Clone(r.c.Sync.Names), func(name string) bool {
		return name == r.status.base.Name || name == r.keep.Node()
	})
	return protocol.SyncRule{Required: r.c.Sync.Required, Names: names}
}

// ownSeat is the name of this node among those that commits wait for when others lead; empty: it has none.
func (c *Config) ownSeat() string {
	if slices.Contains(c.Sync.Names, c.name()) {
		return c.name()
	}
	return ""
}

// A syncWindow is a time in which transactions wait. Behind its end clients may be told everything: the node is not
// primary, and those that write have gone.
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

// lead makes transactions wait, or not, from now on.
func (s *syncer) lead(leads bool) {
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

// Cleared is zeo.StorageOptions.Cleared.
func (s *syncer) Cleared(ctx context.Context, tid zodb.Tid) error {
	if s.c.Sync.Required == 0 || s.replicationServer == nil {
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
	waits := s.c.board.Place("a commit")
	waits.Waits(fmt.Sprintf("%d secondaries to have it", s.c.Sync.Required))
	defer waits.Remove()
	ctx, cancel := now.within(ctx)
	defer cancel()
	late := time.AfterFunc(s.c.Sync.Timeout, func() { s.late(ctx, now, cancel, tid) })
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

func (s *syncer) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting += n
}

// late does what is to be done when secondaries do not answer in time. That commits do not wait is written down before
// one of them is told; as long as that fails they wait on.
func (s *syncer) late(ctx context.Context, now *syncWindow, release func(), tid zodb.Tid) {
	has := s.replicationServer.Synced()
	if s.c.Sync.OnTimeout == SyncBlock {
		s.c.Logger.Error("commits wait for secondaries that do not answer: start them, or lower --sync-secondaries",
			"required", s.c.Sync.Required, "names", s.c.Sync.Names, "waiting_tid", tid, "secondaries_have", has,
			"after", s.c.Sync.Timeout)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.overdue = max(s.overdue, tid)
		return
	}
	for said := false; ; said = true {
		if ctx.Err() != nil {
			return
		}
		err := s.letGo()
		if err == nil {
			break
		}
		if !said {
			s.c.Logger.Error("commits keep waiting for secondaries: degraded mode cannot be saved to the state file",
				"error", err, "retry_in", s.c.Sync.Timeout)
		}
		pause.For(ctx, s.c.Sync.Timeout)
	}
	s.mu.Lock()
	first := s.since.IsZero() && !now.over()
	if first {
		s.since = time.Now()
		s.times++
	}
	s.mu.Unlock()
	if first {
		s.c.Logger.Error("DEGRADED: commits no longer wait for secondaries, and may be lost with this node",
			"required", s.c.Sync.Required, "names", s.c.Sync.Names, "last_tid", tid, "secondaries_have", has)
		s.recovering.Go(func() { s.recover(now) })
	}
	release()
}

// stuck says that commits wait for secondaries that have not answered in time; empty: none does.
func (s *syncer) stuck() string {
	if s == nil || s.replicationServer == nil { // of a session that begins
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
		s.c.Sync.Timeout,
		s.c.Sync.Required,
		orAny(s.syncRule().Names),
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
	if err := s.waitsAgain(); err != nil {
		s.c.Logger.Warn("cannot save that commits wait for secondaries again: if another node becomes primary, "+
			"transactions that only this node has wait for zrsd rewind", "error", err)
	}
	s.c.Logger.Warn("commits wait for secondaries again", "degraded_for", time.Since(since).Round(time.Millisecond))
}

// status is what is shown.
func (s *syncer) status() *admin.Sync {
	c := &s.c.Sync
	if c.Required == 0 || s.replicationServer == nil || !s.isLeading() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &admin.Sync{
		Required: c.Required, Names: slices.Clone(c.Names), Ack: c.Ack, Timeout: c.Timeout.Seconds(),
		OnTimeout: c.OnTimeout, Degraded: !s.since.IsZero(), Degradations: s.times, Waiting: min(s.waiting, 1),
		SyncedTid: known(s.replicationServer.Synced()),
	}
	if out.Names == nil {
		out.Names = []string{}
	}
	if out.Degraded {
		out.DegradedSince = admin.Known(s.since.UTC())
	}
	return out
}
