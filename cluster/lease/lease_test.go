package lease

import (
	"context"
	"testing"
	"time"
)

// A lateCoordinator grants everything, and its answers take a while.
type lateCoordinator struct {
	Coordinator
	clock *setClock
}

const late = 3 * time.Second

func (r lateCoordinator) Acquire(context.Context, Record, Claim) (Lease, error) {
	r.clock.now += late
	return lateLease(r), nil
}

type lateLease lateCoordinator

func (r lateLease) Renew(context.Context, Claim) error {
	r.clock.now += late
	return nil
}

func (lateLease) Resign(context.Context) error { return nil }

func TestALeaseIsCountedFromTheSending(t *testing.T) {
	clock := &setClock{}
	timing, err := NewTiming(DefaultTTL)
	if err != nil {
		t.Fatal(err)
	}
	l := New(lateCoordinator{clock: clock}, nil, Options{Timing: timing, Clock: clock})
	self := MemberStatus{Node: "a", Epoch: 4, IsPrimary: true}

	l.acquire(t.Context(), Record{}, leaderRecord(self), self)
	if got, want := l.expiry.Remaining(), timing.validity()-late; got != want {
		t.Errorf("after the lease was acquired %v are left, want %v", got, want)
	}
	clock.now += l.renewInterval()
	l.hold(t.Context(), self)
	if got, want := l.expiry.Remaining(), timing.validity()-late; got != want {
		t.Errorf("after it was renewed %v are left, want %v", got, want)
	}
}

// A node that has taken the lease for a new epoch tells of nothing before the record says that the epoch has begun.
func TestTheLeaseIsNotValidBeforeTheEpochHasBegun(t *testing.T) {
	clock := &setClock{}
	l := New(lateCoordinator{clock: clock}, nil, Options{Timing: Timing{TTL: DefaultTTL}, Clock: clock})
	l.acquire(t.Context(), Record{3, "a", 3, 0}, Record{4, "b", 3, 0}, MemberStatus{Node: "b", Epoch: 3})
	if l.expiry.Valid() {
		t.Error("the lease counted with the campaign")
	}
	l.hold(t.Context(), MemberStatus{Node: "b", Epoch: 4, IsPrimary: true})
	if !l.expiry.Valid() {
		t.Error("the lease did not count with the epoch")
	}
}
