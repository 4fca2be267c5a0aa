package verify

import (
	"os"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// Sizes are those that the digests have: the last one of each blob, whatever a crash or damage has left of the file.
func TestNotedSizesAreThoseOfTheDigests(t *testing.T) {
	disk := simdisk.New()
	if n := ReadNotedSizes(disk, "Data.fs"); len(n.known) > 0 {
		t.Errorf("of no file: %v", n.known)
	}
	b := digestsMagic[:]
	const blobs = 3*digestBatch + 7
	for i := range blobs {
		d := blobDigest{oid: zodb.Oid(blobs - i), tid: zodb.Tid(i % 5), size: int64(i)}
		b = d.append(b)
	}
	again := blobDigest{oid: 3, tid: zodb.Tid((blobs - 3) % 5), size: 1_000_000}
	b = again.append(b)
	b[len(digestsMagic)+5*digestLen] ^= 1
	b = append(b, 1, 2, 3) // the rest is lost
	f, err := disk.OpenFile("Data.fs"+digestsSuffix, os.O_RDWR|os.O_CREATE, 0o666)
	if err == nil {
		_, err = f.WriteAt(b, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	sizes, digests := ReadNotedSizes(disk, "Data.fs"), NotedBlobs(disk, "Data.fs")
	if len(sizes.known) != blobs-1 {
		t.Errorf("%d are known, want %d", len(sizes.known), blobs-1)
	}
	for i := range blobs + 1 {
		for tid := range zodb.Tid(6) {
			oid := zodb.Oid(i)
			want, _, known := digests.Of(oid, tid)
			if got, ok := sizes.Of(oid, tid); got != want || ok != known {
				t.Fatalf("oid %v tid %v: got %d, %v, want %d, %v", oid, tid, got, ok, want, known)
			}
		}
	}
}
