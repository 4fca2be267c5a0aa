package archive

import (
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// BenchmarkArchive archives 10,000 transactions of about 1 KB, as they come: the work of one core for each of them.
func BenchmarkArchive(b *testing.B) {
	s := newSite(b, 1)
	defer s.close()
	const transactions = 10_000
	for range transactions {
		s.commit(1, 900, false)
	}
	for b.Loop() {
		w := s.writer(newStore(b, simdisk.New()))
		s.archive(w)
		w.closeFile()
	}
	b.SetBytes(s.st.Size())
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/transactions, "us/transaction")
}

// BenchmarkRestore restores what they are, from memory to memory.
func BenchmarkRestore(b *testing.B) {
	s := newSite(b, 1)
	defer s.close()
	for range 10_000 {
		s.commit(1, 900, false)
	}
	store := newStore(b, simdisk.New())
	s.archive(s.writer(store))
	a := open(b, store, Keys{})
	for b.Loop() {
		if _, _, err := restored(b, a, Latest, false); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(s.st.Size())
}
