package leasetest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zrsd/zrsd/cluster/lease"
)

// Memory is a coordinator for the members in one process. The zero value is ready, and knows nothing.
type Memory struct {
	mu       sync.Mutex
	changed  chan struct{} // closed by the next change; nil: nobody waits
	revision int64
	record   lease.Record
	lease    *heldLease // nil: vacant
	members  map[string]membership
	duties   lease.Maintenance
}

type membership struct {
	lease.Member
	until time.Time
}

// A lease is a lease that is held for as long as m.lease points to it.
type heldLease struct {
	m      *Memory
	holder lease.MemberStatus
	until  time.Time
}

// settle takes away what has run out. m.mu is held.
func (m *Memory) settle() {
	now := time.Now()
	if m.lease != nil && !now.Before(m.lease.until) {
		m.lease = nil
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
	if m.lease != nil {
		next = m.lease.until
	}
	for _, member := range m.members {
		if member.until.Before(next) {
			next = member.until
		}
	}
	return time.Until(next)
}

// Read is part of lease.Coordinator.
func (m *Memory) Read(ctx context.Context, other int64) (lease.View, error) {
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
			return lease.View{}, context.Cause(ctx)
		}
		timer.Stop()
	}
}

// look returns the view, or what to wait for when its revision is the one that the caller has.
func (m *Memory) look(other int64) (lease.View, <-chan struct{}, time.Duration) {
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
		return lease.View{}, m.changed, m.next()
	}
	v := lease.View{Revision: m.revision, Record: m.record, Maintenance: m.duties}
	if m.lease != nil {
		holder := m.lease.holder
		v.Holder = &holder
	}
	for _, id := range slices.Sorted(maps.Keys(m.members)) {
		v.Members = append(v.Members, m.members[id].Member)
	}
	return v, nil, 0
}

// Acquire is part of lease.Coordinator.
func (m *Memory) Acquire(_ context.Context, seen lease.Record, c lease.Claim) (lease.Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle()
	if m.lease != nil || m.record != seen {
		return nil, lease.ErrTaken
	}
	t := &heldLease{m: m}
	m.lease = t
	t.take(c)
	return t, nil
}

func (t *heldLease) take(c lease.Claim) {
	t.holder, t.until = c.Holder, time.Now().Add(c.TTL)
	t.m.record = c.Record
	t.m.change()
}

// Renew is part of lease.Lease.
func (t *heldLease) Renew(_ context.Context, c lease.Claim) error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.m.settle()
	if t.m.lease != t {
		return lease.ErrLost
	}
	t.take(c)
	return nil
}

// Resign is part of lease.Lease.
func (t *heldLease) Resign(context.Context) error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	if t.m.lease == t {
		t.m.lease = nil
		t.m.change()
	}
	return nil
}

// Publish is part of lease.Coordinator.
func (m *Memory) Publish(_ context.Context, s lease.MemberStatus, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle()
	if m.members == nil {
		m.members = make(map[string]membership)
	}
	m.change()
	m.members[s.Node] = membership{lease.Member{MemberStatus: s, Revision: m.revision}, time.Now().Add(ttl)}
	return nil
}

// Maintain is part of lease.Coordinator.
func (m *Memory) Maintain(_ context.Context, duties lease.Maintenance) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.duties = duties
	m.change()
	return nil
}

// Close is part of lease.Coordinator.
func (m *Memory) Close() error { return nil }
