package filestorage

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// benchBytes is how much the benchmarks of appends append.
const benchBytes = 490 << 20

// benchFile is a file of that size, with one record of this size in each transaction, to a quarter as many objects.
func benchFile(size int) *builtFile {
	d := newDataFile()
	d.bytes = append(make([]byte, 0, benchBytes+2*size+1000), d.bytes...)
	data := make([]byte, size)
	objects := benchBytes / (size + 100) / 4
	for i := 0; len(d.bytes) < benchBytes; i++ {
		d.add(d.last+2, zodb.StatusCommitted, written{oid: zodb.Oid(i * 7919 % objects), data: data})
	}
	return d
}

// cpuSeconds is the processor time that this process has used.
func cpuSeconds(tb testing.TB) float64 {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func benchmarkAppend(b *testing.B, size int) {
	b.Helper()
	d := benchFile(size)
	b.SetBytes(int64(len(d.bytes)))
	used := 0.0
	opt := AppendOptions{Durable: func(zodb.Tid, int64, []Appended) {}}
	for b.Loop() {
		s := mustOpen(b, filepath.Join(b.TempDir(), "Data.fs"), Options{})
		begun := cpuSeconds(b)
		if err := appendBytesOf(b, s, d.bytes, 1<<20, opt); err != nil {
			b.Fatal(err)
		}
		used += cpuSeconds(b) - begun
		b.StopTimer()
		if s.Size() != int64(len(d.bytes)) {
			b.Fatal("it is not all there")
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(used/float64(b.N)/(float64(len(d.bytes))/1e9), "cpu-s/GB")
	b.ReportMetric(float64(len(d.tids)), "transactions")
}

// Pieces of 1 MiB of a file of transactions of one record of 1 MiB.
func BenchmarkAppendLarge(b *testing.B) { benchmarkAppend(b, 1<<20) }

// The same of more than a million transactions of one record of 400 bytes.
func BenchmarkAppendSmall(b *testing.B) { benchmarkAppend(b, 380) }
