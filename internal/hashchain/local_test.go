package hashchain_test

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/zodb"
)

func TestTheChainFollowsTheStorage(t *testing.T) {
	m := newMemory(plain(5)...)
	l := keep(t, m, hashchain.Options{})
	m.commit(plain(9)[5:]...)
	st := reaches(t, l, 90)
	want := values(t, 0, plain(9))
	if st.Base != 0 || st.Behind != 0 || st.Head != want[9] {
		t.Errorf("got %+v, want %+v", st, want[9])
	}
	for tid := range zodb.Tid(95) {
		if got, err := l.At(t.Context(), 0, tid); err != nil || got != want[tid/10] {
			t.Fatalf("at %v: %+v, %v, want %+v", tid, got, err, want[tid/10])
		}
	}
}

// A storage that cannot be read for a moment is followed again from where the chain is.
func TestAnErrorDoesNotEndTheChain(t *testing.T) {
	m := newMemory(plain(5)...)
	l := keep(t, m, hashchain.Options{Retry: time.Millisecond})
	reaches(t, l, 50)
	m.mu.Lock()
	before := m.reads
	m.fails = 3
	m.mu.Unlock()
	m.commit(plain(9)[5:]...)
	if st := reaches(t, l, 90); st.Head != values(t, 0, plain(9))[9] {
		t.Errorf("got %+v", st)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails > 0 || m.reads != before+4 {
		t.Errorf("%d transactions were read, %d errors are left", m.reads-before, m.fails)
	}
}

func TestAChainFromAnotherBaseIsComputed(t *testing.T) {
	l := keep(t, newMemory(plain(9)...), hashchain.Options{})
	want := values(t, 30, plain(9))
	for _, tid := range []zodb.Tid{30, 39, 40, 90, 1000, 55} {
		at := min(tid/10-3, 6)
		if got, err := l.At(t.Context(), 30, tid); err != nil || got != want[at] {
			t.Errorf("at %v: %+v, %v, want %+v", tid, got, err, want[at])
		}
	}
	for _, base := range []zodb.Tid{35, 2000} { // not in the file
		if _, err := l.At(t.Context(), base, 3000); !unknown(err) {
			t.Errorf("from %v: %v", base, err)
		}
	}
}

// What has been computed is not read again, nor is what was read before the time was over.
func TestComputingGoesOnWhereItWas(t *testing.T) {
	m := newMemory(plain(100)...)
	l := keep(t, m, hashchain.Options{})
	reaches(t, l, 1000)
	if _, err := l.At(t.Context(), 30, 900); err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	before := m.reads
	m.mu.Unlock()
	if _, err := l.At(t.Context(), 30, 910); err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.reads - before; n > 2 {
		t.Errorf("%d transactions were read for one", n)
	}
}

// appended is what an append says of transactions that end from a position on.
func appended(t fataler, pos int64, txns []txn) (all []filestorage.Appended) {
	t.Helper()
	for _, one := range txns {
		r := one.reader()
		pos += txnLen
		a := filestorage.Appended{Tid: one.tid, Status: r.meta.Status, End: pos}
		if !one.packed {
			var err error
			if a.Digest, err = zodb.DigestOf(r); err != nil {
				t.Fatalf("%v", err)
			}
		}
		all = append(all, a)
	}
	return all
}

// What an append says of its transactions is the chain of them: nothing has to be read for it.
func TestAppendedTransactionsNeedNotBeRead(t *testing.T) {
	m := newMemory(plain(5)...)
	l := keep(t, m, hashchain.Options{Retry: time.Millisecond})
	reaches(t, l, 50)
	m.mu.Lock()
	m.fails = math.MaxInt
	m.mu.Unlock()
	for n := 5; n < 100; n += 5 {
		more, pos := plain(n + 5)[n:], m.Size()
		m.commit(more...)
		l.Appended(zodb.Tid(10*n), pos, appended(t, pos, more))
	}
	if st := l.Status(); st.Head != values(t, 0, plain(100))[100] || st.Behind != 0 {
		t.Errorf("got %+v", st)
	}
	m.mu.Lock()
	m.fails = 0
	m.mu.Unlock()
	m.commit(plain(105)[100:]...)
	if st := reaches(t, l, 1050); st.Head != values(t, 0, plain(105))[105] {
		t.Errorf("got %+v", st)
	}
}

// What is appended to another place than where the chain is, is read when it is there.
func TestWhatIsAppendedElsewhereIsRead(t *testing.T) {
	for what, at := range map[string]struct {
		after zodb.Tid
		skip  int64
	}{"after another transaction": {40, 0}, "at another position": {50, txnLen}} {
		m := newMemory(plain(5)...)
		l := keep(t, m, hashchain.Options{})
		reaches(t, l, 50)
		l.Appended(at.after, m.Size()+at.skip, appended(t, m.Size(), []txn{{tid: 60, data: "wrong"}}))
		m.commit(plain(7)[5:]...)
		if st := reaches(t, l, 70); st.Head != values(t, 0, plain(7))[7] {
			t.Errorf("%s: got %+v", what, st)
		}
	}
}

// Whatever is appended, committed or packed when, the chain is that of the transactions.
func TestTheChainIsTheSameHoweverTransactionsCome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMemory()
		l := hashchain.Keep(m, hashchain.Options{})
		defer l.Close()
		var all []txn
		base := zodb.Tid(0)
		for range rapid.IntRange(1, 8).Draw(t, "turns") {
			last := zodb.Tid(10 * len(all))
			var more []txn
			for range rapid.IntRange(1, 5).Draw(t, "n") {
				packed := rapid.IntRange(0, 9).Draw(t, "p") == 0
				more = append(more, txn{tid: last + zodb.Tid(10*(len(more)+1)), data: "data", packed: packed})
			}
			if rapid.Bool().Draw(t, "caught up") && last > 0 {
				caughtUp(t, l, m.Size())
			}
			pos := m.Size()
			m.commit(more...)
			if rapid.Bool().Draw(t, "appended") {
				l.Appended(last, pos, appended(t, pos, more))
			}
			all = append(all, more...)
		}
		caughtUp(t, l, m.Size())
		st := l.Status()
		var counted []txn
		for i, one := range all {
			if one.packed {
				base, counted = 0, nil
				if i+1 < len(all) {
					base = all[i+1].tid
				}
				continue
			}
			counted = append(counted, one)
		}
		if all[len(all)-1].packed {
			if st.Known {
				t.Fatalf("the chain after a packed transaction is %+v", st)
			}
			return
		}
		points := values(t, base, counted)
		if want := points[len(points)-1]; st.Base != base || st.Head != want {
			t.Fatalf("got %+v, want %+v after %v", st, want, base)
		}
	})
}

// caughtUp waits until all of a file is in the chain.
func caughtUp(t fataler, l *hashchain.Local, size int64) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for st := l.Status(); st.Behind > 0; st = l.Status() {
		if time.Now().After(deadline) {
			t.Fatalf("the chain is %+v, of a file of %d bytes", st, size)
		}
		<-tick.C
	}
}

func TestAPackedFileHasItsBaseAfterThePack(t *testing.T) {
	m := newMemory(plain(9)...)
	m.pack(40)
	l := keep(t, m, hashchain.Options{})
	st := reaches(t, l, 90)
	if want := values(t, 50, plain(9)); st.Base != 50 || st.Head != want[4] {
		t.Errorf("got %+v, want %+v", st, want[4])
	}
	if _, err := l.At(t.Context(), 0, 90); !unknown(err) {
		t.Errorf("from the beginning: %v", err)
	}
}

func TestAFileThatIsPackedToItsEndHasNoBaseYet(t *testing.T) {
	m := newMemory(plain(5)...)
	m.pack(50)
	l := keep(t, m, hashchain.Options{})
	if _, err := l.Span(t.Context()); !unknown(err) {
		t.Errorf("got %v", err)
	}
	m.commit(plain(7)[5:]...)
	if st := reaches(t, l, 70); st.Base != 60 || st.Head.Count != 1 {
		t.Errorf("got %+v", st)
	}
}

func TestAChainOutlivesAPack(t *testing.T) {
	m := newMemory(plain(9)...)
	l := keep(t, m, hashchain.Options{})
	reaches(t, l, 90)
	m.pack(60)
	m.commit(plain(12)[9:]...)
	want := values(t, 0, plain(12))
	if st := reaches(t, l, 120); st.Base != 0 || st.Head != want[12] {
		t.Errorf("got %+v, want %+v", st, want[12])
	}
	if _, err := l.At(t.Context(), 0, 40); !unknown(err) {
		t.Errorf("between checkpoints, where a pack went over: %v", err)
	}
}

func TestPackedTransactionsThatArriveBeginTheChainAgain(t *testing.T) {
	m := newMemory(plain(3)...)
	l := keep(t, m, hashchain.Options{})
	reaches(t, l, 30)
	m.commit(txn{tid: 40, data: "x", packed: true}, txn{tid: 50}, txn{tid: 60})
	want := values(t, 50, []txn{{tid: 60}})
	if st := reaches(t, l, 60); st.Base != 50 || st.Head != want[1] {
		t.Errorf("got %+v, want %+v", st, want[1])
	}
}

// kept follows m up to tid, closes, and returns what was kept.
func kept(t *testing.T, m *memory, saved state.Chain, tid zodb.Tid) (c state.Chain) {
	t.Helper()
	c = saved
	l := hashchain.Keep(m, hashchain.Options{Saved: saved, Save: func(chain state.Chain) error {
		c = chain
		return nil
	}})
	defer func() { l.Close() }()
	reaches(t, l, tid)
	l.Close()
	return c
}

func TestTheNewestCheckpointThatIsRightIsUsed(t *testing.T) {
	all := plain(20)
	first := kept(t, newMemory(all[:10]...), state.Chain{}, 100)
	saved := kept(t, newMemory(all[:15]...), first, 150)
	if len(saved.Checkpoints) != 2 || saved.Last().Count != 15 {
		t.Fatalf("kept %+v", saved)
	}
	other := plain(20)
	other[12].data = "other"
	other[14].data = "other"
	for name, c := range map[string]struct {
		file  []txn
		pack  zodb.Tid
		base  zodb.Tid
		reads int // at most
	}{
		"the same file":              {file: all, reads: 5},
		"an older copy":              {file: all[:12], reads: 2},
		"another end":                {file: other, reads: 10},
		"packed before the last one": {file: all, pack: 120, reads: 5},
		"packed after the last one":  {file: all, pack: 170, base: 180, reads: 12},
	} {
		m := newMemory(c.file...)
		if c.pack != 0 {
			m.pack(c.pack)
		}
		want := values(t, c.base, c.file)
		l := keep(t, m, hashchain.Options{Saved: saved})
		st := reaches(t, l, c.file[len(c.file)-1].tid)
		l.Close()
		if st.Base != c.base || st.Head != want[len(want)-1] {
			t.Errorf("%s: got %+v, want %+v", name, st, want[len(want)-1])
		}
		if m.reads > c.reads {
			t.Errorf("%s: %d transactions were read", name, m.reads)
		}
	}
}

func TestOfAnEmptyStorageNothingIsKept(t *testing.T) {
	var saved state.Chain
	m := newMemory()
	l := hashchain.Keep(m, hashchain.Options{Save: func(c state.Chain) error { saved = c; return nil }})
	l.Close()
	if len(saved.Checkpoints) != 0 {
		t.Errorf("of an empty storage there is kept %+v", saved)
	}
}

func TestNearTellsOnlyWhatIsThere(t *testing.T) {
	l := keep(t, newMemory(plain(9)...), hashchain.Options{})
	reaches(t, l, 90)
	want := values(t, 0, plain(9))
	if base, at, ok := l.Near(t.Context(), 80); !ok || base != 0 || at != want[8] {
		t.Errorf("got %v, %+v, %v", base, at, ok)
	}
	if _, at, ok := l.Near(t.Context(), 85); ok {
		t.Errorf("for a transaction that is not there: %+v", at)
	}
}

func TestComputingEndsWithItsContext(t *testing.T) {
	l := keep(t, newMemory(plain(9)...), hashchain.Options{})
	reaches(t, l, 90)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.At(ctx, 0, 50); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// The values are those of integration/python/history.py, which reads the same files with ZODB.
func TestTheChainOfFixtures(t *testing.T) {
	for fixture, want := range map[string]string{} {
		path := filepath.Join("../../testdata/filestorage", fixture, "Data.fs")
		st, err := filestorage.Open(t.Context(), path, filestorage.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		l := hashchain.Keep(st, hashchain.Options{})
		got := reaches(t, l, st.LastTid())
		text, err := got.Head.Value.MarshalText()
		l.Close()
		if err := errors.Join(err, st.Close()); err != nil {
			t.Fatal(err)
		}
		if string(text) != want {
			t.Errorf("%s: base %v, %d transactions, value %s, want %s", fixture, got.Base, got.Head.Count, text, want)
		}
	}
}
