package filestorage

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/zodb"
)

// fixtures is the golden data written by the real ZODB, shared by all packages.
const fixtures = "../testdata/filestorage"

// An index answers every question as a map and its sorted keys would.
func TestIndexIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, model := newIndex(), map[zodb.Oid]int64{}
		oids := rapid.OneOf(
			rapid.Map(rapid.Uint64Range(0, 2000), toOid),
			rapid.Map(rapid.Uint64Range(1<<63, 1<<63+600), toOid),
			rapid.Map(rapid.Uint64(), toOid),
			rapid.Map(rapid.Uint64Range(1<<64-300, 1<<64-1), toOid),
		)
		for range rapid.IntRange(0, 30).Draw(t, "runs") {
			start, n := oids.Draw(t, "start"), rapid.IntRange(1, 400).Draw(t, "n")
			step := rapid.SampledFrom([]zodb.Oid{1, 1, 2, 3, 255, 256, 1 << 40}).Draw(t, "step")
			for i := range n {
				oid, pos := start+zodb.Oid(i)*step, rapid.Int64Range(1, 1<<48-1).Draw(t, "pos")
				x.set(oid, pos)
				model[oid] = pos
			}
		}
		checkIndex(t, x, model, oids.Draw(t, "probe"))
	})
}

func toOid(n uint64) zodb.Oid { return zodb.Oid(n) }

func checkIndex(t *rapid.T, x *index, model map[zodb.Oid]int64, probe zodb.Oid) {
	if x.len() != len(model) {
		t.Fatalf("len is %d, want %d", x.len(), len(model))
	}
	if got := maps.Collect(x.all()); !maps.Equal(got, model) {
		t.Fatalf("all yields %d entries, want %d, or others", len(got), len(model))
	}
	keys := slices.Sorted(maps.Keys(model))
	var order []zodb.Oid
	for oid, pos := range x.all() {
		order = append(order, oid)
		if got, ok := x.get(oid); !ok || got != pos {
			t.Fatalf("get(%v) = %d, %v; want %d", oid, got, ok, pos)
		}
	}
	if !slices.Equal(order, keys) {
		t.Fatalf("all is not in ascending order")
	}
	if got, ok := x.maxOid(); ok != (len(keys) > 0) || ok && got != keys[len(keys)-1] {
		t.Fatalf("maxOid is %v, %v", got, ok)
	}
	pos, ok := x.get(probe)
	if want, exists := model[probe]; ok != exists || pos != want {
		t.Fatalf("get(%v) = %d, %v; want %d, %v", probe, pos, ok, want, exists)
	}
	i, _ := slices.BinarySearch(keys, probe)
	oid, _, ok := x.next(probe)
	if ok != (i < len(keys)) || ok && oid != keys[i] {
		t.Fatalf("next(%v) = %v, %v", probe, oid, ok)
	}
}

// The smallest oid not below a key is the true one also where ZODB's own answer is not.
func TestIndexNextGolden(t *testing.T) {
	var vector struct {
		Oids    []zodb.Oid
		Queries []struct {
			Key  zodb.Oid
			Want *zodb.Oid `json:"smallest_not_below"`
		}
	}
	readJSON(t, filepath.Join(fixtures, "vectors/min-key.json"), &vector)
	x := newIndex()
	for _, oid := range vector.Oids {
		x.set(oid, 4)
	}
	for _, q := range vector.Queries {
		got, _, ok := x.next(q.Key)
		if ok != (q.Want != nil) || ok && got != *q.Want {
			t.Errorf("next(%v) = %v, %v; want %v", q.Key, got, ok, q.Want)
		}
	}
}

func readJSON(tb testing.TB, path string, into any) {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
}

// A million dense oids take at most 9 bytes each; random ones, in whatever order they come, a few times that.
func TestIndexMemory(t *testing.T) {
	const n = 1_000_000
	random := rand.New(rand.NewPCG(1, 2))
	var sparse []zodb.Oid
	for range n / 4 {
		sparse = append(sparse, zodb.Oid(random.Uint64()))
	}
	descending := slices.Sorted(slices.Values(sparse))
	slices.Reverse(descending)
	cases := []struct {
		name  string
		n     int
		oid   func(i int) zodb.Oid
		limit float64
	}{
		{"dense", n, func(i int) zodb.Oid { return zodb.Oid(i) }, 9},
		{"dense, descending", n, func(i int) zodb.Oid { return zodb.Oid(n - i) }, 9},
		{"random", len(sparse), func(i int) zodb.Oid { return sparse[i] }, 32},
		{"random, descending", len(sparse), func(i int) zodb.Oid { return descending[i] }, 36},
		{"every fourth", n / 4, func(i int) zodb.Oid { return zodb.Oid(i * 4) }, 36},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := heapInUse()
			x := newIndex()
			for i := range c.n {
				x.set(c.oid(i), int64(i+4))
			}
			each := float64(heapInUse()-before) / float64(x.len())
			runtime.KeepAlive(x)
			if each > c.limit {
				t.Errorf("%.2f bytes for each oid, want at most %v", each, c.limit)
			}
		})
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Readers run beside the writer and see, for each oid, nothing or a position that was set.
func TestIndexReadersBesideTheWriter(t *testing.T) {
	const n = 20_000
	x := newIndex()
	oid := func(i int) zodb.Oid { return zodb.Oid(i) * zodb.Oid(1+i%3) }
	var readers sync.WaitGroup
	for r := range 2 {
		readers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(r), 0))
			for i := 0; i < 1000 || x.len() < n/2; i++ {
				want := oid(random.IntN(n))
				if pos, ok := x.get(want); ok && pos != int64(want)+1 {
					t.Errorf("get(%v) = %d", want, pos)
				}
				if got, pos, ok := x.next(want); ok && (got < want || pos != int64(got)+1) {
					t.Errorf("next(%v) = %v at %d", want, got, pos)
				}
			}
		})
	}
	for i := range n {
		x.set(oid(i), int64(oid(i))+1)
	}
	readers.Wait()
}

func BenchmarkIndexGet(b *testing.B) {
	x := newIndex()
	for i := range 1_000_000 {
		x.set(zodb.Oid(i), int64(i+4))
	}
	random := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		x.get(zodb.Oid(random.Uint32N(1_000_000)))
	}
}
