package filestorage

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// wantSeek is the offset of the first transaction above after, found by looking at all.
func wantSeek(tids []zodb.Tid, at []int64, end int64, after zodb.Tid) int64 {
	if i := slices.IndexFunc(tids, func(tid zodb.Tid) bool { return tid > after }); i >= 0 {
		return at[i]
	}
	return end
}

// In every fixture, each tid and the numbers beside it lead to the first transaction above them.
func TestSeekFixtures(t *testing.T) {
	forFixtures(t, func(t *testing.T, dir string, want *expectation) {
		t.Helper()
		src := fixtureSource(t, dir, want)
		x, _, err := loadIndex(vfs.OS{}, filepath.Join(dir, "Data.fs.index"))
		if err == nil {
			src.index = func() *index { return x }
		}
		var tids []zodb.Tid
		var at []int64
		for _, txn := range want.Transactions {
			tids, at = append(tids, txn.Tid), append(at, txn.Pos)
		}
		probes := []zodb.Tid{0, 1, zodb.MaxTid, 1<<64 - 1}
		for _, tid := range tids {
			probes = append(probes, tid-1, tid, tid+1)
		}
		for _, after := range probes {
			pos, err := src.seek(t.Context(), after)
			if w := wantSeek(tids, at, want.End, after); err != nil || pos != w {
				t.Errorf("seek(%v) = %d, %v; want %d", after, pos, err, w)
			}
		}
	})
}

// Among many transactions, with and without an index, the place is always the right one and never costs the whole file.
func TestSeekReadsLittle(t *testing.T) {
	const n = 20_000
	cases := []struct {
		name        string
		oids        int
		size        int
		hint        bool
		reads       int64
		bytesOfFile float64 // at most this part of the file
	}{
		{"many objects", n, 200, true, 100, 0.30},
		{"many objects, large", n / 4, 5000, true, 6000, 0.01},
		{"few objects", 50, 200, true, 100, 1},
		{"no index", n, 200, false, 100, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := newDataFile()
			d.fill(n*200/c.size, c.oids, c.size)
			src := d.source(t)
			if !c.hint {
				src.index = nil
			}
			counter := counted(src)
			random := rand.New(rand.NewPCG(1, 2))
			for range 200 {
				after := zodb.Tid(random.Uint64N(uint64(d.last) + 3))
				counter.reset()
				pos, err := src.seek(t.Context(), after)
				if w := wantSeek(d.tids, d.at, int64(len(d.bytes)), after); err != nil || pos != w {
					t.Fatalf("seek(%v) = %d, %v; want %d", after, pos, err, w)
				}
				if reads := counter.reads.Load(); reads > c.reads {
					t.Fatalf("seek(%v) took %d reads", after, reads)
				}
				if part := float64(counter.bytes.Load()) / float64(len(d.bytes)); part > c.bytesOfFile {
					t.Fatalf("seek(%v) read %.2f of the file", after, part)
				}
			}
		})
	}
}

// Resuming a thousand transactions after costs the same in a file of any size.
func TestSeekNearEndDoesNotDependOnSize(t *testing.T) {
	var costs []int64
	for _, n := range []int{10_000, 40_000} {
		d := newDataFile()
		d.fill(n, n, 200)
		src := d.source(t)
		counter := counted(src)
		if _, err := src.seek(t.Context(), d.tids[n-1000]); err != nil {
			t.Fatal(err)
		}
		costs = append(costs, counter.bytes.Load())
	}
	if costs[0] != costs[1] {
		t.Errorf("bytes read: %v", costs)
	}
}

// An index that does not belong to the file misleads nobody.
func TestSeekWithTheIndexOfAnotherFile(t *testing.T) {
	d, other := newDataFile(), newDataFile()
	d.fill(10_000, 5000, 100)
	other.fill(9000, 7000, 120)
	src := d.source(t)
	src.index = func() *index { return other.x }
	for i := 0; i < len(d.tids); i += 97 {
		if pos, err := src.seek(t.Context(), d.tids[i]-1); err != nil || pos != d.at[i] {
			t.Fatalf("seek(%v) = %d, %v; want %d", d.tids[i]-1, pos, err, d.at[i])
		}
	}
}

// Tids that do not rise make a search end somewhere in the file, not hang or crash.
func TestSeekUnordered(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDataFile()
		for i, tid := range rapid.SliceOfN(rapid.Uint64Range(1, 50), 1, 60).Draw(rt, "tids") {
			d.add(zodb.Tid(tid), zodb.StatusCommitted, written{oid: zodb.Oid(i % 20), data: []byte("x")})
		}
		src := d.source(t)
		p, err := src.headerCursor()
		if err != nil {
			rt.Fatal(err)
		}
		after := zodb.Tid(rapid.Uint64Range(0, 51).Draw(rt, "after"))
		lower, upper := txnPosition{cursor: cursor{pos: magicLen}}, p.txnPosition
		if err := p.narrow(t.Context(), after, &lower, &upper); err != nil {
			rt.Fatal(err)
		}
		if lower.pos > upper.pos {
			rt.Fatalf("between %d and %d", lower.pos, upper.pos)
		}
		pos, err := src.seek(t.Context(), after)
		if err != nil || !slices.Contains(append(d.at, int64(len(d.bytes))), pos) {
			rt.Fatalf("seek came to %d, %v", pos, err)
		}
	})
}

// Find knows a transaction by its tid, and the neighbours of one that is absent.
func TestFind(t *testing.T) {
	forFixtures(t, func(t *testing.T, dir string, want *expectation) {
		t.Helper()
		src := fixtureSource(t, dir, want)
		it, err := iterate(src, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		var before Neighbour
		for _, w := range want.Transactions {
			txn, err := it.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			status := txn.Meta().Status
			digest, err := zodb.DigestOf(txn)
			if err != nil {
				t.Fatal(err)
			}
			found, err := src.find(t.Context(), w.Tid)
			if err != nil || found != (Found{Pos: w.Pos, Status: status, Digest: digest}) {
				t.Errorf("find(%v) = %+v, %v", w.Tid, found, err)
			}
			absent, err := src.find(t.Context(), w.Tid-1)
			after := Neighbour{w.Tid, status}
			if !errors.Is(err, zodb.ErrNoTid) || absent != (Found{Pos: w.Pos, Before: before, After: after}) {
				t.Errorf("find(%v) = %+v, %v", w.Tid-1, absent, err)
			}
			before = after
		}
		last, err := src.find(t.Context(), zodb.MaxTid)
		if !errors.Is(err, zodb.ErrNoTid) || last != (Found{Pos: want.End, Before: before}) {
			t.Errorf("find above all = %+v, %v", last, err)
		}
		if first, err := src.find(t.Context(), 0); !errors.Is(err, zodb.ErrNoTid) || first.Pos != magicLen {
			t.Errorf("find(0) = %+v, %v", first, err)
		}
	})
}

// Count tells how many transactions an iterator would yield, and the last of them.
func TestCount(t *testing.T) {
	forFixtures(t, func(t *testing.T, dir string, want *expectation) {
		t.Helper()
		src := fixtureSource(t, dir, want)
		tids := []zodb.Tid{0}
		for _, txn := range want.Transactions {
			tids = append(tids, txn.Tid)
		}
		for i, after := range tids {
			n, upTo, err := src.count(t.Context(), after)
			if err != nil || n != int64(len(tids)-1-i) || upTo != tids[len(tids)-1] {
				t.Errorf("count(%v) = %d up to %v, %v", after, n, upTo, err)
			}
		}
	})
}

// Searches and counts end with their context, and say why.
func TestSearchEndsWithContext(t *testing.T) {
	d := newDataFile()
	d.fill(100, 10, 10)
	src := d.source(t)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := src.seek(ctx, 1); !errors.Is(err, cause) {
		t.Errorf("seek: %v", err)
	}
	if _, _, err := src.count(ctx, d.last-1); !errors.Is(err, cause) {
		t.Errorf("count: %v", err)
	}
	if _, err := src.find(ctx, 4); !errors.Is(err, cause) {
		t.Errorf("find: %v", err)
	}
}

func BenchmarkCount(b *testing.B) {
	d := newDataFile()
	d.fill(1_000_000, 100_000, 100)
	src := d.source(b)
	for b.Loop() {
		if n, _, err := src.count(b.Context(), 1); err != nil || n != 1_000_000 {
			b.Fatal(n, err)
		}
	}
}
