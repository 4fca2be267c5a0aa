package filestorage

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// Each object is visited once, as what a load says that it is: whatever blocks its records are cut into.
func TestCurrentRecordsAreThoseOfLoad(t *testing.T) {
	d := newDataFile()
	d.fill(300, 100, 7000)
	large := bytes.Repeat([]byte("x"), 2*blockLen)
	first := d.add(1000, zodb.StatusCommitted, written{oid: 200, data: large}, written{oid: 201, data: []byte("a")})
	d.add(1002, zodb.StatusPacked, written{oid: 201, data: []byte("b")})
	d.add(1004, zodb.StatusCommitted, written{oid: 200, back: first[0]}, written{oid: 201, back: first[1]})
	d.add(1006, zodb.StatusCommitted, written{oid: 202, data: []byte("created")})
	d.add(1008, zodb.StatusCommitted, written{oid: 202}) // and undone
	d.add(1010, zodb.StatusCommitted)
	d.fill(10, 5, 10)
	s := d.storage(t)
	var mu sync.Mutex
	seen := make(map[zodb.Oid]int)
	err := s.VisitCurrent(t.Context(), CurrentVisit{Workers: 3, Visit: func(_ int, r *CurrentRecord) error {
		mu.Lock()
		defer mu.Unlock()
		seen[r.Oid]++
		data, tid, err := s.Load(r.Oid)
		var none *zodb.POSKeyError
		if errors.As(err, &none) && r.Data == nil && r.Err == nil {
			return nil
		}
		if err != nil || r.Err != nil || r.Tid != tid || !bytes.Equal(r.Data, data) {
			t.Errorf("oid %v: tid %v, %d bytes, %v; loaded: %v, %d bytes, %v", r.Oid, r.Tid, len(r.Data), r.Err, tid,
				len(data), err)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for oid := range s.Oids() {
		if seen[oid] != 1 {
			t.Errorf("oid %v was visited %d times", oid, seen[oid])
		}
		delete(seen, oid)
	}
	if len(seen) > 0 {
		t.Errorf("visited and not in the index: %v", seen)
	}
}

func TestAVisitEndsWithItsFirstError(t *testing.T) {
	d := newDataFile()
	d.fill(2000, 2000, 5000)
	s := d.storage(t)
	stop := errors.New("stop")
	err := s.VisitCurrent(t.Context(), CurrentVisit{Workers: 2, Visit: func(int, *CurrentRecord) error { return stop }})
	if !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

func TestAVisitFindsDamage(t *testing.T) {
	d := newDataFile()
	d.fill(50, 50, 1000)
	s := d.storage(t)
	if err := s.file.Truncate(int64(len(d.bytes)) - 500); err != nil {
		t.Fatal(err)
	}
	err := s.VisitCurrent(t.Context(), CurrentVisit{Visit: func(int, *CurrentRecord) error { return nil }})
	if err == nil {
		t.Error("a file that is cut is visited without an error")
	}
}

// What lies at the end of a block is found whole, wherever the block ends in it.
func TestAVisitFindsWhatABlockEndsIn(t *testing.T) {
	for cut := range 120 {
		sizes := map[zodb.Oid]int{
			1: blockLen - magicLen - txnHeaderLen - recHeaderLen - cut,
			2: 3, 3: 2 * afterBlock, 4: longestInBlock + 1, 5: 4,
		}
		of := func(oid zodb.Oid) written { return written{oid: oid, data: make([]byte, sizes[oid])} }
		d := newDataFile()
		d.add(1000, zodb.StatusCommitted, of(1))
		d.add(1002, zodb.StatusCommitted, of(2), of(3))
		d.add(1004, zodb.StatusCommitted, of(4), of(5))
		s := d.storage(t)
		for workers := range 3 {
			var mu sync.Mutex
			seen := make(map[zodb.Oid]int)
			visit := func(_ int, r *CurrentRecord) error {
				mu.Lock()
				defer mu.Unlock()
				seen[r.Oid] += len(r.Data)
				return r.Err
			}
			err := s.VisitCurrent(t.Context(), CurrentVisit{Workers: workers + 1, Visit: visit})
			if err != nil || !maps.Equal(seen, sizes) {
				t.Fatalf("%d bytes before the end of a block: %v, %v, want %v", cut, err, seen, sizes)
			}
		}
	}
}

// A worker whose visit fails leaves nobody waiting, and neither does the end of the context.
func TestAVisitThatEndsEarlyLeavesNobodyWaiting(t *testing.T) {
	d := newDataFile()
	d.fill(3000, 3000, 5000)
	s := d.storage(t)
	for after := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		var visits atomic.Int64
		err := s.VisitCurrent(ctx, CurrentVisit{Workers: 3, Visit: func(int, *CurrentRecord) error {
			if visits.Add(1) == int64(after*100+1) {
				cancel()
			}
			return nil
		}})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("ended after %d visits: %v", after*100+1, err)
		}
		cancel()
	}
}
