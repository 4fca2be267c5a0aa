package zeoload

import (
	"bytes"
	"io"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

func TestABlobComesBackAsItWasStored(t *testing.T) {
	inBoth(t, func(t *testing.T, s *site) {
		t.Helper()
		ctx := within(t)
		c := s.clients(ctx, t, 1)[0]
		for i, size := range []int64{0, 1, blobChunk - 1, blobChunk, blobChunk + 1, 10*blobChunk + 7} {
			oid := first + zodb.Oid(i)
			tid, err := c.StoreBlob(oid, size)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := c.FetchBlob(oid, tid, &got); err != nil {
				t.Fatal(err)
			}
			if want := bytes.Repeat([]byte{blobByte}, int(size)); !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%d bytes came back of a blob of %d, or others", got.Len(), size)
			}
		}
	})
}

func TestABlobThatIsNotThereIsAnError(t *testing.T) {
	inBoth(t, func(t *testing.T, s *site) {
		t.Helper()
		ctx := within(t)
		c := s.clients(ctx, t, 1)[0]
		if err := c.FetchBlob(first, 1, io.Discard); err == nil {
			t.Error("a blob that nobody has stored was fetched")
		}
	})
}
