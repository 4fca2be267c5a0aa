package filestorage

import (
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// The objects of the benchmarks of packs: each with two revisions of a kilobyte, and references to fanOut others.
const (
	packObjects = 200_000
	fanOut      = 8
)

// packRecord refers to the children of oid in a tree of all objects.
func packRecord(oid zodb.Oid) []byte {
	b := append([]byte("\x80\x03cm\nC\nq\x00.\x80\x03(B\x00\x04\x00\x00"), make([]byte, 1<<10)...)
	for i := range zodb.Oid(fanOut) {
		if child := oid*fanOut + i + 1; child < packObjects {
			b = binary.BigEndian.AppendUint64(append(b, "C\x08"...), uint64(child))
			b = append(b, "h\x00\x86Q"...)
		}
	}
	return append(b, "t."...)
}

// packBench makes a storage with two revisions of all objects and returns its path.
func packBench(b *testing.B) string {
	b.Helper()
	s := emptyStorage(b, Options{})
	serials := map[zodb.Oid]zodb.Tid{}
	for range 2 {
		for oid := zodb.Oid(0); oid < packObjects; {
			txn := mustBegin(b, s, &zodb.TxnMeta{})
			for range 20 {
				if err := txn.Store(oid, serials[oid], packRecord(oid)); err != nil {
					b.Fatal(err)
				}
				serials[oid] = txn.Tid()
				oid++
			}
			if _, err := txn.Enqueue(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return s.Path()
}

// The speed of packs, in bytes of the file before, to be compared with that of BenchmarkPackCopy.
func BenchmarkPack(b *testing.B) {
	path := packBench(b)
	for _, gc := range []bool{true, false} {
		name := "nogc"
		if gc {
			name = "gc"
		}
		b.Run(name, func(b *testing.B) {
			var pause time.Duration
			for b.Loop() {
				b.StopTimer()
				to := filepath.Join(b.TempDir(), "Data.fs")
				copyFile(b, path, to)
				s := mustOpen(b, to, Options{})
				b.SetBytes(s.Size())
				b.StartTimer()
				r := mustPack(b, s, forever, PackOptions{GC: gc})
				b.StopTimer()
				if r.Objects != packObjects {
					b.Fatalf("%+v", r)
				}
				pause = max(pause, r.Pause)
				s.Close()
				b.StartTimer()
			}
			b.ReportMetric(float64(pause.Microseconds())/1000, "ms-pause")
		})
	}
}

func BenchmarkPackCopy(b *testing.B) {
	path := packBench(b)
	b.SetBytes(int64(len(mustRead(b, path))))
	for b.Loop() {
		from, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		to, err := os.Create(filepath.Join(b.TempDir(), "copy"))
		if err == nil {
			_, err = io.Copy(struct{ io.Writer }{to}, from)
		}
		if err == nil {
			err = to.Sync()
		}
		if err != nil {
			b.Fatal(err)
		}
		from.Close()
		to.Close()
	}
}

// How long commits take, one after the other, while nothing else goes on and beside a pack.
func BenchmarkCommitBesideAPack(b *testing.B) {
	path := packBench(b)
	for b.Loop() {
		s := mustOpen(b, path, Options{})
		quiet := commitTimes(b, s, time.After(2*time.Second))
		packed := make(chan time.Time, 1)
		go func() {
			s.Pack(b.Context(), forever, PackOptions{GC: true})
			packed <- time.Now()
		}()
		beside := commitTimes(b, s, packed)
		for name, times := range map[string][]time.Duration{"quiet": quiet, "packing": beside} {
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds()), name+"-µs-p50")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), name+"-µs-p99")
			b.ReportMetric(float64(times[len(times)-1].Microseconds()), name+"-µs-max")
		}
		s.Close()
	}
}

func commitTimes(b *testing.B, s *Storage, end <-chan time.Time) (times []time.Duration) {
	b.Helper()
	data := string(make([]byte, 1<<10))
	serial := zodb.Tid(0)
	if tid, err := s.GetTid(packObjects); err == nil {
		serial = tid
	}
	for {
		select {
		case <-end:
			return times
		default:
		}
		begun := time.Now()
		serial = commit(b, s, packObjects, serial, data)
		times = append(times, time.Since(begun))
	}
}
