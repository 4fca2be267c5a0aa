package zeo

import (
	"runtime"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

func TestAThousandIteratorsOfAClientHoldTwoBuffers(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	w, _ := s.register(t)
	for i := range 40 {
		w.commit(zodb.Oid(i+1), 0, strings.Repeat("x", 10_000))
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p := s.dial(t, wire.Z5)
	p.call("register", "1", true)
	for range maxIterators {
		p.call("iterator_next", p.call("iterator_start", nil, nil))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if mb := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) >> 20; mb > 8 {
		t.Errorf("one reader holds %d MB", mb)
	}
	if n := len(s.warm); n > maxClientWarm {
		t.Errorf("%d buffers are kept", n)
	}
	_ = p.conn.Close()
	s.until(t, "its buffers are given back", func() bool { return len(s.warm) == 0 })
}

func TestClientsTogetherKeepFewBuffers(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	w, _ := s.register(t)
	w.commit(1, 0, "data")
	for range maxWarm + 10 {
		p, _ := s.register(t)
		if p.call("iterator_next", p.call("iterator_start", nil, nil)) == nil {
			t.Fatal("it has nothing")
		}
	}
	if n := len(s.warm); n != maxWarm {
		t.Errorf("%d buffers are kept", n)
	}
}

// Three iterators in turn over transactions, and three over records, when buffers are kept for two.
func TestIteratorsGoOnWhereTheyWereWhenTheirBuffersWereGivenBack(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	w, _ := s.register(t)
	var tids []zodb.Tid
	for i := range 5 {
		tids = append(tids, w.commit(zodb.Oid(i+1), 0, strings.Repeat("x", i+1)))
	}
	p := s.dial(t, wire.Z5)
	p.call("register", "1", true)
	var txns []pickle.Value
	for range 3 {
		txns = append(txns, p.call("iterator_start", nil, nil))
	}
	for i, tid := range tids {
		var recs []pickle.Value
		for _, id := range txns {
			if got := p.call("iterator_next", id).(pickle.Tuple); tidIn(t, got[0]) != tid {
				t.Fatalf("transaction %d is %v, want %v", i, got, tid)
			}
		}
		for _, id := range txns {
			recs = append(recs, p.call("iterator_record_start", id, tidValue(tid)))
		}
		for _, id := range recs {
			got := p.call("iterator_record_next", id).(pickle.Tuple)
			if data := string(got[2].(pickle.Bytes)); data != strings.Repeat("x", i+1) {
				t.Fatalf("record %d has %q", i, data)
			}
		}
		for _, id := range recs {
			if got := p.call("iterator_record_next", id); got != nil {
				t.Fatalf("after the end comes %v", got)
			}
		}
	}
	for _, id := range txns {
		if got := p.call("iterator_next", id); got != nil {
			t.Fatalf("after the end comes %v", got)
		}
	}
}
