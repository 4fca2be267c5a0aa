package refereetest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zrsd/zrsd/cluster/lease"
)

// Memory is a referee for the members in one process. The zero value is ready, and knows nothing.
type Memory struct {
	mu       sync.Mutex
	changed  chan struct{} // closed by the next change; nil: nobody waits
	revision int64
	record   referee.Record
	tenure   *tenure // nil: vacant
	members  map[string]membership
	duties   referee.Maintenance
}

type membership struct {
	referee.Member
	until time.Time
}

// A tenure is an office that is held for as long as m.tenure points to it.
type tenure struct {
	m      *Memory
	holder referee.Standing
	until  time.Time
}

// settle takes away what has run out. m.mu is held.
func (m *Memory) settle() {
	now := time.Now()
	if m.tenure != nil && !now.Before(m.tenure.until) {
		m.tenure = nil
		m.change()
	}
	for id, member := range m.members {
		if !now.Before(member.until) {
			delete(m.members, id)
			m.change()
		}
	}
}

func (m *Memory) change() {
	m.revision++
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

// next is when something runs out. m.mu is held.
func (m *Memory) next() time.Duration {
	next := time.Now().Add(time.Hour)
	if m.tenure != nil {
		next = m.tenure.until
	}
	for _, member := range m.members {
		if member.until.Before(next) {
			next = member.until
		}
	}
	return time.Until(next)
}

// Read is part of referee.Referee.
func (m *Memory) Read(ctx context.Context, other int64) (referee.View, error) {
	for {
		v, changed, next := m.look(other)
		if changed == nil {
			return v, nil
		}
		timer := time.NewTimer(next)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return referee.View{}, context.Cause(ctx)
		}
		timer.Stop()
	}
}

// look returns the view, or what to wait for when its revision is the one that the caller has.
func (m *Memory) look(other int64) (referee.View, <-chan struct{}, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle()
	if m.revision == 0 {
		m.revision = 1
	}
	if m.revision == other {
		if m.changed == nil {
			m.changed = make(chan struct{})
		}
		return referee.View{}, m.changed, m.next()
	}
	v := referee.View{Revision: m.revision, Record: m.record, Maintenance: m.duties}
	if m.tenure != nil {
		holder := m.tenure.holder
		v.Holder = &holder
	}
	for _, id := range slices.Sorted(maps.Keys(m.members)) {
		v.Members = append(v.Members, m.members[id].Member)
	}
	return v, nil, 0
}

// Acquire is part of referee.Referee.
func (m *Memory) Acquire(_ context.Context, seen referee.Record, c referee.Claim) (referee.Tenure, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle()
	if m.tenure != nil || m.record != seen {
		return nil, referee.ErrTaken
	}
	t := &tenure{m: m}
	m.tenure = t
	t.take(c)
	return t, nil
}

func (t *tenure) take(c referee.Claim) {
	t.holder, t.until = c.Holder, time.Now().Add(c.TTL)
	t.m.record = c.Record
	t.m.change()
}

// Renew is part of referee.Tenure.
func (t *tenure) Renew(_ context.Context, c referee.Claim) error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.m.settle()
	if t.m.tenure != t {
		return referee.ErrLost
	}
	t.take(c)
	return nil
}

// Resign is part of referee.Tenure.
func (t *tenure) Resign(context.Context) error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	if t.m.tenure == t {
		t.m.tenure = nil
		t.m.change()
	}
	return nil
}

// Publish is part of referee.Referee.
func (m *Memory) Publish(_ context.Context, s referee.Standing, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle()
	if m.members == nil {
		m.members = make(map[string]membership)
	}
	m.change()
	m.members[s.Node] = membership{referee.Member{Standing: s, Revision: m.revision}, time.Now().Add(ttl)}
	return nil
}

// Maintain is part of referee.Referee.
func (m *Memory) Maintain(_ context.Context, duties referee.Maintenance) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.duties = duties
	m.change()
	return nil
}

// Close is part of referee.Referee.
func (m *Memory) Close() error { return nil }
