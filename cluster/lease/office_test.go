package referee

import (
	"context"
	"testing"
	"time"
)

// A lateReferee grants everything, and its answers take a while.
type lateReferee struct {
	Referee
	clock *setClock
}

const late = 3 * time.Second

func (r lateReferee) Acquire(context.Context, Record, Claim) (Tenure, error) {
	r.clock.now += late
	return lateTenure(r), nil
}

type lateTenure lateReferee

func (r lateTenure) Renew(context.Context, Claim) error {
	r.clock.now += late
	return nil
}

func (lateTenure) Resign(context.Context) error { return nil }

func TestATermCountsFromTheSending(t *testing.T) {
	clock := &setClock{}
	timing, err := NewTiming(DefaultTTL)
	if err != nil {
		t.Fatal(err)
	}
	l := New(lateReferee{clock: clock}, nil, Options{Timing: timing, Clock: clock})
	self := Standing{Node: "a", Epoch: 4, Leads: true}

	l.acquire(t.Context(), Record{}, reigning(self), self)
	if got, want := l.term.Left(), timing.Term()-late; got != want {
		t.Errorf("after the office was acquired %v are left, want %v", got, want)
	}
	clock.now += l.renewal()
	l.hold(t.Context(), self)
	if got, want := l.term.Left(), timing.Term()-late; got != want {
		t.Errorf("after it was renewed %v are left, want %v", got, want)
	}
}

// A node that has taken the office for a new epoch tells of nothing before the record says that the epoch has begun.
func TestThereIsNoTermBeforeTheEpochHasBegun(t *testing.T) {
	clock := &setClock{}
	l := New(lateReferee{clock: clock}, nil, Options{Timing: Timing{TTL: DefaultTTL}, Clock: clock})
	l.acquire(t.Context(), Record{3, "a", 3, 0}, Record{4, "b", 3, 0}, Standing{Node: "b", Epoch: 3})
	if l.term.Valid() {
		t.Error("a term began with the campaign")
	}
	l.hold(t.Context(), Standing{Node: "b", Epoch: 4, Leads: true})
	if !l.term.Valid() {
		t.Error("no term began with the epoch")
	}
}
