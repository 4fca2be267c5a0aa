package leasetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/cluster/lease"
)

// ttl is one that tests wait for, and that no machine loses between two steps; long is one that no test outlasts.
const (
	ttl  = 5 * time.Second
	long = time.Hour
)

// Contract runs the tests of a coordinator. open returns a new client of the same new coordinator each time that it is
// called with the same t.
func Contract(t *testing.T, open func(t *testing.T) func() lease.Coordinator) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, func() lease.Coordinator){
		"a new coordinator knows nothing":       knowsNothing,
		"the lease has one holder":              oneHolder,
		"the record must be the one seen":       recordSeen,
		"one of many gets the lease":            oneOfMany,
		"renewing replaces the record":          renewing,
		"a lease that is not renewed ends":      runsOut,
		"a lease that has ended is lost":        lost,
		"a status vanishes":                     vanishes,
		"member statuses carry their revision":  publishesStatus,
		"a read waits for a change":             waits,
		"maintenance is kept":                   maintenance,
		"a call ends with its context":          ends,
		"resigning leaves a successor in lease": resigning,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func memberStatus(node string) lease.MemberStatus {
	return lease.MemberStatus{Node: node, Name: "zrsd " + node, Epoch: 3, Tid: 77, Eligible: true, Reason: "none",
		ReplicationAddr: node + ":5000", AdminAddr: node + ":8080", Time: time.Unix(1e9, 0).UTC()}
}

func claim(node string, number uint64, ttl time.Duration) lease.Claim {
	return lease.Claim{Record: lease.Record{Number: number, Node: node, Begun: number - 1, Tid: 76},
		Holder: memberStatus(node), TTL: ttl}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, r lease.Coordinator) lease.View {
	t.Helper()
	v, err := r.Read(t.Context(), 0)
	must(t, err)
	return v
}

func acquire(t *testing.T, r lease.Coordinator, c lease.Claim) lease.Lease {
	t.Helper()
	held, err := r.Acquire(t.Context(), read(t, r).Record, c)
	must(t, err)
	return held
}

// until reads until the view is as wanted.
func until(t *testing.T, r lease.Coordinator, wanted func(lease.View) bool) lease.View {
	t.Helper()
	v := read(t, r)
	for !wanted(v) {
		var err error
		v, err = r.Read(t.Context(), v.Revision)
		must(t, err)
	}
	return v
}

func vacant(v lease.View) bool { return v.Holder == nil }

func knowsNothing(t *testing.T, client func() lease.Coordinator) {
	v := read(t, client())
	if v.Revision == 0 {
		t.Error("the revision is 0, which no read can wait for")
	}
	v.Revision = 0
	if diff := cmp.Diff(lease.View{}, v); diff != "" {
		t.Error(diff)
	}
}

func oneHolder(t *testing.T, client func() lease.Coordinator) {
	a, b := client(), client()
	c := claim("a", 1, long)
	acquire(t, a, c)
	v := read(t, b)
	if diff := cmp.Diff(&c.Holder, v.Holder); diff != "" {
		t.Error(diff)
	}
	if v.Record != c.Record {
		t.Errorf("record %+v, want %+v", v.Record, c.Record)
	}
	for _, r := range []lease.Coordinator{a, b} {
		if _, err := r.Acquire(t.Context(), v.Record, claim("b", 2, long)); !errors.Is(err, lease.ErrTaken) {
			t.Errorf("the lease that is held was acquired: %v", err)
		}
	}
	if now := read(t, a); now.Record != c.Record {
		t.Errorf("a failed attempt changed the record to %+v", now.Record)
	}
}

func recordSeen(t *testing.T, client func() lease.Coordinator) {
	a, b := client(), client()
	must(t, acquire(t, a, claim("a", 1, long)).Resign(t.Context()))
	for _, seen := range []lease.Record{{}, {Number: 1, Node: "b"}, {Number: 2, Node: "a"}} {
		if _, err := b.Acquire(t.Context(), seen, claim("b", 2, long)); !errors.Is(err, lease.ErrTaken) {
			t.Errorf("acquired with %+v as the record: %v", seen, err)
		}
	}
	if v := read(t, a); !vacant(v) || v.Record.Number != 1 {
		t.Errorf("failed attempts left %+v", v)
	}
	acquire(t, b, claim("b", 2, long))
}

func oneOfMany(t *testing.T, client func() lease.Coordinator) {
	const many = 8
	var group sync.WaitGroup
	won := make(chan lease.Lease, many)
	seen := read(t, client()).Record
	for range many {
		r := client()
		group.Go(func() {
			held, err := r.Acquire(t.Context(), seen, claim("one", 1, long))
			switch {
			case err == nil:
				won <- held
			case !errors.Is(err, lease.ErrTaken):
				t.Error(err)
			}
		})
	}
	group.Wait()
	if len(won) != 1 {
		t.Errorf("%d of %d got the lease", len(won), many)
	}
}

func renewing(t *testing.T, client func() lease.Coordinator) {
	a, b := client(), client()
	held := acquire(t, a, claim("a", 1, long))
	c := claim("a", 1, long)
	c.Record.Begun, c.Holder.Tid = 1, 99
	must(t, held.Renew(t.Context(), c))
	v := read(t, b)
	if v.Record != c.Record {
		t.Errorf("record %+v, want %+v", v.Record, c.Record)
	}
	if diff := cmp.Diff(&c.Holder, v.Holder); diff != "" {
		t.Error(diff)
	}
}

func runsOut(t *testing.T, client func() lease.Coordinator) {
	a, b := client(), client()
	began := time.Now()
	held := acquire(t, a, claim("a", 1, ttl))
	for range 3 {
		began = time.Now()
		must(t, held.Renew(t.Context(), claim("a", 1, ttl)))
	}
	v := until(t, b, vacant)
	if held := time.Since(began); held < ttl {
		t.Errorf("the lease was vacant %v after the last renewal", held)
	}
	if v.Record.Node != "a" {
		t.Errorf("the record went with the lease: %+v", v.Record)
	}
}

func lost(t *testing.T, client func() lease.Coordinator) {
	a, b := client(), client()
	held := acquire(t, a, claim("a", 1, ttl))
	until(t, b, vacant)
	if err := held.Renew(t.Context(), claim("a", 1, ttl)); !errors.Is(err, lease.ErrLost) {
		t.Errorf("renewing a vacant lease: %v", err)
	}
	acquire(t, b, claim("b", 2, long))
	if err := held.Renew(t.Context(), claim("a", 1, ttl)); !errors.Is(err, lease.ErrLost) {
		t.Errorf("renewing the lease of another: %v", err)
	}
	if v := read(t, a); v.Holder == nil || v.Holder.Node != "b" || v.Record.Number != 2 {
		t.Errorf("a lost lease changed the lease: %+v", v)
	}
}

func vanishes(t *testing.T, client func() lease.Coordinator) {
	a, b := client(), client()
	began := time.Now()
	must(t, a.Publish(t.Context(), memberStatus("a"), ttl))
	must(t, a.Publish(t.Context(), memberStatus("c"), long))
	if got := len(read(t, b).Members); got != 2 {
		t.Fatalf("%d members, want 2", got)
	}
	v := until(t, b, func(v lease.View) bool { return len(v.Members) < 2 })
	if lived := time.Since(began); lived < ttl {
		t.Errorf("the status vanished after %v", lived)
	}
	if len(v.Members) != 1 || v.Members[0].Node != "c" {
		t.Errorf("left are %+v", v.Members)
	}
	must(t, a.Publish(t.Context(), memberStatus("a"), ttl))
	until(t, b, func(v lease.View) bool { return len(v.Members) == 2 })
}

func publishesStatus(t *testing.T, client func() lease.Coordinator) {
	a, b := client(), client()
	must(t, b.Publish(t.Context(), memberStatus("b"), long))
	must(t, a.Publish(t.Context(), memberStatus("a"), long))
	first := read(t, a)
	second := memberStatus("b")
	second.Tid, second.IsPrimary = 78, true
	must(t, b.Publish(t.Context(), second, long))
	v := read(t, a)
	got := []lease.MemberStatus{v.Members[0].MemberStatus, v.Members[1].MemberStatus}
	if diff := cmp.Diff([]lease.MemberStatus{memberStatus("a"), second}, got); diff != "" {
		t.Error(diff)
	}
	if was, is := first.Members[0].Revision, v.Members[0].Revision; was != is {
		t.Errorf("the revision of a went from %d to %d without it", was, is)
	}
	if is := v.Members[1].Revision; is <= first.Revision || is > v.Revision {
		t.Errorf("b published at %d, between views at %d and %d", is, first.Revision, v.Revision)
	}
}

func waits(t *testing.T, client func() lease.Coordinator) {
	a, b := client(), client()
	steps := []func() error{
		func() error { return a.Publish(t.Context(), memberStatus("a"), long) },
		func() error { return a.Maintain(t.Context(), lease.Maintenance{On: true}) },
		func() error { _, err := a.Acquire(t.Context(), lease.Record{}, claim("a", 1, long)); return err },
	}
	v := read(t, b)
	for _, step := range steps {
		done := make(chan error, 1)
		go func() { done <- step() }()
		next, err := b.Read(t.Context(), v.Revision)
		must(t, err)
		must(t, <-done)
		if next.Revision <= v.Revision {
			t.Errorf("revision %d follows %d", next.Revision, v.Revision)
		}
		v = next
	}
}

func maintenance(t *testing.T, client func() lease.Coordinator) {
	a, b := client(), client()
	on := lease.Maintenance{On: true, By: "somebody", Why: "new disks", Time: time.Unix(1e9, 0).UTC()}
	for _, m := range []lease.Maintenance{on, {By: "somebody"}, on} {
		must(t, a.Maintain(t.Context(), m))
		if diff := cmp.Diff(m, read(t, b).Maintenance); diff != "" {
			t.Error(diff)
		}
	}
}

func ends(t *testing.T, client func() lease.Coordinator) {
	r := client()
	v := read(t, r)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := r.Read(ctx, v.Revision)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the read ended with %v", err)
	}
}

func resigning(t *testing.T, client func() lease.Coordinator) {
	a, b := client(), client()
	first := acquire(t, a, claim("a", 1, long))
	must(t, first.Resign(t.Context()))
	acquire(t, b, claim("b", 2, long))
	must(t, first.Resign(t.Context()))
	if v := read(t, a); v.Holder == nil || v.Holder.Node != "b" {
		t.Errorf("the lease of b was given up by a: %+v", v)
	}
	if err := first.Renew(t.Context(), claim("a", 1, long)); !errors.Is(err, lease.ErrLost) {
		t.Errorf("renewing after resigning: %v", err)
	}
}
