package archive

import (
	"bytes"
	"reflect"
	"testing"
)

// A scanner that is set back to the last end of a transaction is as one that has read no further.
func TestAScannerIsSetBackToTheLastEnd(t *testing.T) {
	s := newSite(t, 1)
	defer s.close()
	for range 8 {
		s.undo(s.commit(2, 40, true))
		s.commit(1, 10, true)
	}
	b := readFile(t, s.disk, s.path())
	file := bytes.NewReader(b)
	for _, begin := range []int{0, len(b) / 3} { // in the middle of a transaction, too
		from := newScanner(file, 0)
		if err := from.take(b[:begin]); err != nil {
			t.Fatal(err)
		}
		for end := begin; end <= len(b); end++ {
			all, err := from.after(b[begin:end])
			if err != nil {
				t.Fatal(err)
			}
			if len(all.ends) == 0 {
				continue
			}
			got := all.atLastEnd()
			want, err := from.after(b[begin:got.offset])
			if err != nil {
				t.Fatal(err)
			}
			if got.offset != want.offset || got.part != want.part || got.skip != 0 || want.skip != 0 ||
				len(got.split)+len(want.split) > 0 || !reflect.DeepEqual(got.ends, want.ends) ||
				len(got.blobs) != len(want.blobs) || len(got.blobs) > 0 && !reflect.DeepEqual(got.blobs, want.blobs) {
				t.Fatalf("from %d to %d, set back: %+v, want %+v", begin, end, got, want)
			}
		}
	}
}

// A buffer of a segment is used again, but not one that is far too large for what there is now.
func TestABufferIsUsedAgain(t *testing.T) {
	var r reused
	large := r.of(32 << 20)
	if again := r.of(20 << 20); &again[0] != &large[0] {
		t.Error("a smaller segment gets another buffer")
	}
	if r.of(1 << 20); cap(r) > 8<<20 {
		t.Errorf("of a large segment %d bytes stay in memory", cap(r))
	}
	if grown := append(r.of(1<<20), make([]byte, 8<<20)...); len(grown) > 0 {
		r.is(grown)
		if again := r.of(8 << 20); &again[0] != &grown[0] {
			t.Error("a buffer that has grown is not used again")
		}
	}
}
