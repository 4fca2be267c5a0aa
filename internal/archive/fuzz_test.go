package archive

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/zrsd/zrsd/protocol"
)

// someSegment returns a segment that is right.
func someSegment(tb testing.TB, p *packer) (SegmentID, []byte) {
	tb.Helper()
	h := &Header{
		ID:           SegmentID{2, 7},
		Epoch:        3,
		Written:      time.Unix(0, 99),
		From:         100,
		To:           164,
		End:          150,
		Last:         5,
		Highest:      9,
		Transactions: 1,
		History:      History{1, 2, Digest{3}},
	}
	list := []BlobEntry{{Oid: 1, Tid: 5, Size: 3, Name: 77}}
	b, err := p.encodeSegment(h, bytes.Repeat([]byte("abcd"), 16), list, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return h.ID, b
}

// Whatever is in an object, decoding it gives an error or what was written, in bounded memory.
func FuzzSegment(f *testing.F) {
	p, err := newPacker(Keys{})
	if err != nil {
		f.Fatal(err)
	}
	id, right := someSegment(f, p)
	f.Add(right)
	f.Add(right[:HeaderLen])
	f.Add([]byte(segmentMagic))
	a := &Archive{packer: p}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := a.decodeSegment(id, bytes.NewReader(b))
		if err != nil {
			return
		}
		if again := s.encode(); !bytes.Equal(again, b[:HeaderLen]) {
			t.Fatalf("a header that is taken for right is encoded in another way")
		}
		if sumOf(s.Bytes) != s.Range {
			t.Fatal("the content is not that of the header")
		}
	})
}

func FuzzManifest(f *testing.F) {
	m := &Manifest{Format: format, Generation: 3, Epochs: []protocol.Epoch{{Number: 1}}, Parts: []Part{{1, 4}, {2, 1}},
		Start: Place{To: 10, End: 8, Last: 1, Highest: 2}}
	b, err := encodeDocument(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeManifest(3, b)
		if err == nil && (m.Generation != 3 || len(m.Epochs) == 0) {
			t.Fatalf("%+v was taken for right", m)
		}
	})
}

// A scanner that gets anything, in any pieces, ends with an error or where a transaction ends.
func FuzzScanner(f *testing.F) {
	s := newSite(f, 1)
	s.commit(3, 100, true)
	s.undo(s.commit(2, 10, false))
	f.Add(readFile(f, s.disk, s.path()), 7)
	s.close()
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		if piece < 1 {
			piece = 1
		}
		whole, parts := newScanner(bytes.NewReader(b), 0), newScanner(bytes.NewReader(b), 0)
		err := whole.take(b)
		var other error
		for rest := b; len(rest) > 0 && other == nil; {
			n := min(piece, len(rest))
			other = parts.take(rest[:n])
			rest = rest[n:]
		}
		if (err == nil) != (other == nil) || len(whole.ends) != len(parts.ends) ||
			len(whole.blobs) != len(parts.blobs) {
			t.Fatalf("in pieces of %d: %v, as a whole: %v", piece, other, err)
		}
	})
}

func TestASegmentIsDecodedAsItWasEncoded(t *testing.T) {
	p, err := newPacker(Keys{})
	if err != nil {
		t.Fatal(err)
	}
	id, b := someSegment(t, p)
	s, err := (&Archive{packer: p}).decodeSegment(id, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if s.Epoch != 3 || s.From != 100 || s.Last != 5 || len(s.Blobs) != 1 || s.Blobs[0].Name != 77 ||
		s.Written.UnixNano() != 99 {
		t.Errorf("%+v", s.Header)
	}
	for i := range b {
		changed := bytes.Clone(b)
		changed[i] ^= 1
		got, err := (&Archive{packer: p}).decodeSegment(id, bytes.NewReader(changed))
		if err == nil && (i < len(b)-int(s.BodyLen) || !reflect.DeepEqual(got, s)) {
			t.Fatalf("byte %d has changed, and nobody notices", i)
		}
	}
	if _, err := (&Archive{packer: p}).decodeSegment(SegmentID{2, 8}, bytes.NewReader(b)); err == nil {
		t.Error("a segment was taken for another one")
	}
}
