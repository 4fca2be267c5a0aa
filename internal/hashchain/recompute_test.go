package hashchain

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/zodb"
)

// A history for a Recompute: transaction i has tid 10*i and the digest of its number.
func digestNo(i int) *zodb.Digest {
	d := zodb.Digest(sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i))))
	return &d
}

// keptOf returns the chain over n transactions with a checkpoint after each of those numbers.
func keptOf(n int, at ...int) state.Chain {
	var c state.Chain
	var head checkpoint
	for i := 1; i <= n; i++ {
		head = next(head, zodb.Tid(10*i), *digestNo(i))
		for _, a := range at {
			if a == i {
				c.Checkpoints = append(c.Checkpoints, head)
			}
		}
	}
	return c
}

// recompute reads n transactions; change may return another digest, or nil, and a status.
func recompute(kept state.Chain, n int, change func(i int) (*zodb.Digest, zodb.Status)) (*Recompute, []Contradiction) {
	r := NewRecompute(kept)
	var found []Contradiction
	for i := 1; i <= n; i++ {
		digest, status := digestNo(i), zodb.StatusCommitted
		if change != nil {
			digest, status = change(i)
		}
		if c := r.Take(zodb.Tid(10*i), status, digest, int64(100*i)); c != nil {
			found = append(found, *c)
		}
	}
	return r, found
}

func TestAFileThatIsAsItWasConfirmsItsCheckpoints(t *testing.T) {
	r, found := recompute(keptOf(30, 5, 20, 30), 30, nil)
	if len(found) > 0 {
		t.Fatalf("got %v", found)
	}
	if base, _, head, known := r.Recomputed(); !known || base != 0 || head != point(keptOf(30, 30).Checkpoints[0]) {
		t.Errorf("from %v to %v, %v", base, head, known)
	}
}

func TestAChangeIsBetweenTheCheckpointsAroundIt(t *testing.T) {
	for changed, want := range map[int]Contradiction{
		3:  {After: 0, Tid: 50},
		5:  {After: 0, Tid: 50, Exact: true},
		12: {After: 50, From: 500, Tid: 200},
		30: {After: 200, From: 2000, Tid: 300, Exact: true},
	} {
		_, found := recompute(keptOf(30, 5, 20, 30), 30, func(i int) (*zodb.Digest, zodb.Status) {
			if i == changed {
				return digestNo(1000), zodb.StatusCommitted
			}
			return digestNo(i), zodb.StatusCommitted
		})
		if diff := cmp.Diff([]Contradiction{want}, found); diff != "" { // one change is one finding
			t.Errorf("transaction %d: %s", changed, diff)
		}
	}
}

func TestALostTransactionIsFoundAndOnlyOnce(t *testing.T) {
	r := NewRecompute(keptOf(30, 5, 20, 30))
	var found []Contradiction
	for i := 1; i <= 30; i++ {
		if i == 8 {
			continue
		}
		if c := r.Take(zodb.Tid(10*i), zodb.StatusCommitted, digestNo(i), int64(i)); c != nil {
			found = append(found, *c)
		}
	}
	if diff := cmp.Diff([]Contradiction{{After: 50, From: 5, Tid: 200, Gone: true}}, found); diff != "" {
		t.Error(diff)
	}
}

func TestAfterAPackTheChainContinuesAtACheckpoint(t *testing.T) {
	packed := func(other int) func(int) (*zodb.Digest, zodb.Status) {
		return func(i int) (*zodb.Digest, zodb.Status) {
			switch {
			case i <= 7:
				return digestNo(i + 500), zodb.StatusPacked
			case i == other:
				return digestNo(i + 500), zodb.StatusCommitted
			}
			return digestNo(i), zodb.StatusCommitted
		}
	}
	r, found := recompute(keptOf(30, 5, 20, 30), 30, packed(0))
	if _, _, head, known := r.Recomputed(); len(found) > 0 || !known || head != point(keptOf(30, 30).Checkpoints[0]) {
		t.Errorf("got %v, %v", head, found)
	}
	if _, found = recompute(keptOf(30, 5, 20, 30), 30, packed(25)); len(found) != 1 || found[0].After != 200 {
		t.Errorf("a change after it: %v", found)
	}
}

func TestTransactionsThatCannotBeReadOrAreAbsentAreNoContradiction(t *testing.T) {
	_, found := recompute(keptOf(30, 5, 20, 30), 30, func(i int) (*zodb.Digest, zodb.Status) {
		if i == 10 { // reported by who could not read it
			return nil, zodb.StatusCommitted
		}
		return digestNo(i), zodb.StatusCommitted
	})
	if len(found) > 0 {
		t.Errorf("got %v", found)
	}
	r, _ := recompute(state.Chain{}, 30, func(i int) (*zodb.Digest, zodb.Status) {
		if i%2 == 0 {
			return digestNo(i), zodb.StatusUndone
		}
		return digestNo(i), zodb.StatusCommitted
	})
	if _, _, head, _ := r.Recomputed(); head.Count != 15 {
		t.Errorf("%d transactions count", head.Count)
	}
}

func TestARecomputedChainHasFewPlaces(t *testing.T) {
	r := NewRecompute(state.Chain{})
	const n = strideTxns * (maxMarks + 100)
	d := digestNo(1)
	for i := 1; i <= n; i++ {
		r.Take(zodb.Tid(i), zodb.StatusCommitted, d, int64(i))
	}
	_, places, head, _ := r.Recomputed()
	if len(places) < maxMarks/2 || len(places) > maxMarks || head.Count != n {
		t.Errorf("%d places for %d transactions", len(places), head.Count)
	}
	for _, p := range places {
		if p.Count != uint64(p.Pos) || p.Tid != zodb.Tid(p.Pos) {
			t.Fatalf("a place of %v after transaction %d is at %d", p.Tid, p.Count, p.Pos)
		}
	}
}
