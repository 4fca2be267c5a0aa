package filestorage

import (
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// An index with wrong entries, as after a flipped bit in the saved one, is corrected by the file, also for objects that
// do not exist; what is right stays.
func TestReindexCorrectsTheIndex(t *testing.T) {
	d, records := sampleFile()
	disk := simdisk.New()
	put(t, disk, "Data.fs", d.bytes)
	s := mustOpen(t, "Data.fs", Options{FS: disk})
	s.index.set(1, records[0][0])
	s.index.set(2, records[2][0])
	s.index.set(500, records[1][0])
	corrected, err := s.Reindex(t.Context())
	if err != nil || corrected != 3 {
		t.Errorf("%d entries, %v", corrected, err)
	}
	checkIndexOf(t, d, s)
	saved, _, err := SavedIndex(disk, "Data.fs")
	if err != nil || saved.Len() != d.x.len() || saved.Get(1) != records[3][0] {
		t.Errorf("the saved index has %d entries, %v", saved.Len(), err)
	}
	if corrected, err := s.Reindex(t.Context()); err != nil || corrected != 0 {
		t.Errorf("again: %d entries, %v", corrected, err)
	}
}

// Entries of an index are taken out from lists and from pages, wherever they are.
func TestAnEntryWithoutAnOffsetIsGone(t *testing.T) {
	for name, oids := range map[string]func(i int) zodb.Oid{
		"a page":  func(i int) zodb.Oid { return zodb.Oid(i) },
		"a list":  func(i int) zodb.Oid { return zodb.Oid(i * 7777) },
		"several": func(i int) zodb.Oid { return zodb.Oid(i*3 + i/200*100_000) },
	} {
		t.Run(name, func(t *testing.T) {
			x := newIndex()
			for i := 1; i <= 1000; i++ {
				x.set(oids(i), int64(i))
			}
			for i := 1000; i >= 1; i-- {
				x.put(oids(i), 0)
				if _, there := x.get(oids(i)); there || x.len() != i-1 {
					t.Fatalf("after %d: it is there: %v, there are %d", i, there, x.len())
				}
				if last, ok := x.maxOid(); ok != (i > 1) || ok && last != oids(i-1) {
					t.Fatalf("after %d: the largest oid is %v, %v", i, last, ok)
				}
			}
			x.set(oids(5), 5)
			if at, _ := x.get(oids(5)); at != 5 || x.len() != 1 {
				t.Errorf("set again: %d, %d entries", at, x.len())
			}
		})
	}
}

// The transaction of any offset is found, also when it is damaged itself, and a place before it when that is near
// damage.
func TestBoundary(t *testing.T) {
	d, _ := sampleFile()
	for pos := int64(0); pos < int64(len(d.bytes)); pos += 5 {
		n := 0
		for n+1 < len(d.at) && d.at[n+1] <= pos {
			n++
		}
		disk := simdisk.New()
		f := put(t, disk, "Data.fs", d.bytes)
		s := mustOpen(t, "Data.fs", Options{FS: disk})
		if at, err := s.Boundary(t.Context(), pos); err != nil || at != d.at[n] {
			t.Errorf("of %d: %d, want %d, %v", pos, at, d.at[n], err)
		}
		overwriteDurably(t, f, flipped(d.bytes, d.at[n]+15))
		if at, err := s.Boundary(t.Context(), pos); err != nil || at != d.at[n] {
			t.Errorf("of %d, whose transaction is damaged: %d, want %d, %v", pos, at, d.at[n], err)
		}
		s.Close()
	}
}
