package repozo

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// half is content of which half can be compressed.
func half(length int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, length)
	for i := 0; i < length; i += 2 {
		b[i] = byte(random.Uint32())
	}
	return b
}

// What is compressed on all cores is one gzip stream, which others read.
func TestAZipperMakesOneGzipStream(t *testing.T) {
	for _, length := range []int{0, 1, zipBlockLen - 1, zipBlockLen, 3*zipBlockLen + 5} {
		want := half(length)
		var out bytes.Buffer
		z, err := newZipper(&out)
		if err == nil {
			_, _, err = sum(t.Context(), bytes.NewReader(want), z)
		}
		if err = errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
		r, err := gzip.NewReader(&out)
		if err != nil {
			t.Fatal(err)
		}
		r.Multistream(false)
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) || out.Len() != 0 {
			t.Errorf("%d bytes: %d were read, %d are left: %v", length, len(got), out.Len(), err)
		}
	}
}

type failsAfter struct{ left int }

var errNoRoom = errors.New("no room")

func (f *failsAfter) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errNoRoom
	}
	return len(b), nil
}

// A disk that refuses is an error, wherever that is, and no goroutine is left (TestMain). Nothing more is taken then.
func TestAZipperWhoseDiskRefusesEnds(t *testing.T) {
	content := half(3 * zipBlockLen)
	for _, left := range []int{0, 10, 1000, zipBlockLen, len(content) / 2} {
		z, err := newZipper(&failsAfter{left})
		if err == nil {
			_, _, err = sum(t.Context(), bytes.NewReader(content), z)
		}
		if err = errors.Join(err, z.Close()); !errors.Is(err, errNoRoom) {
			t.Errorf("after %d bytes: %v", left, err)
		}
		if _, err := z.Write([]byte("x")); !errors.Is(err, errNoRoom) {
			t.Errorf("after %d bytes more is taken: %v", left, err)
		}
	}
}
