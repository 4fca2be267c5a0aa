package verify

import (
	"bytes"
	"context"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

func TestOneFlippedBitIsLocatedByTheChecksumsAlone(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	block := make([]byte, blockLen)
	for i := range block {
		block[i] = byte(random.IntN(256))
	}
	was := crc32.Checksum(block, castagnoli)
	for _, at := range []int{0, 1, blockLen / 2, blockLen - 1, random.IntN(blockLen)} {
		for bit := range 8 {
			block[at] ^= 1 << bit
			if found, ok := flippedBit(was, crc32.Checksum(block, castagnoli)); !ok || found != at {
				t.Errorf("bit %d of byte %d: found %d, %v", bit, at, found, ok)
			}
			block[at] ^= 1 << bit
		}
	}
	copy(block[1000:], "other bytes, and not just one bit")
	if at, ok := flippedBit(was, crc32.Checksum(block, castagnoli)); ok {
		t.Errorf("many bits were taken for one, of byte %d", at)
	}
}

func TestChecksumsAreReadAsTheyWereWritten(t *testing.T) {
	for _, s := range []*blockSums{
		{inode: 1, born: 2},
		{inode: 1 << 60, born: -5, marks: []mark{{4, 7}, {1 << 40, 1 << 62}}, sums: []uint32{1, 1<<32 - 1, 0}},
	} {
		back, err := decodeBlocks(s.encode())
		if err != nil {
			t.Fatal(err)
		}
		if back.sums == nil {
			back.sums = []uint32{}
		}
		if !bytes.Equal(back.encode(), s.encode()) {
			t.Error(cmp.Diff(s.encode(), back.encode()))
		}
	}
}

func FuzzDecodeBlocks(f *testing.F) {
	f.Add((&blockSums{inode: 1, marks: []mark{{4, 7}}, sums: []uint32{1, 2}}).encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeBlocks(b)
		if err == nil && !bytes.Equal(s.encode(), b) {
			t.Error("it is not what was decoded")
		}
	})
}

// A reader gives the bytes of the file wherever it is asked, and sees each of them once, in order.
func TestAReaderSeesTheFileOnceInOrder(t *testing.T) {
	disk := simdisk.New()
	random := rand.New(rand.NewPCG(5, 6))
	content := make([]byte, 3*chunkLen+12345)
	for i := range content {
		content[i] = byte(random.IntN(256))
	}
	if err := writeFile(disk, "f", content); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		f, err := disk.OpenFile("f", os.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		size := int64(len(content)) - 1000
		var seen []byte
		r := newReader(t.Context(), f, info, size, func(f func()) { f() }, &pace{}, func(at int64, b []byte) {
			if at != int64(len(seen)) {
				t.Errorf("at %d after %d bytes", at, len(seen))
			}
			seen = append(seen, b...)
		})
		if info, err := r.Stat(); err != nil || info.Size() != size {
			t.Errorf("its size is %d, %v", info.Size(), err)
		}
		for pos := int64(0); pos < size; pos += random.Int64N(200_000) {
			n := min(random.Int64N(300_000), size-pos)
			at := pos
			if random.IntN(4) == 0 { // somewhere else, and little
				at, n = random.Int64N(size-100), random.Int64N(100)
			}
			b := make([]byte, n)
			if _, err := r.ReadAt(b, at); err != nil || !bytes.Equal(b, content[at:at+n]) {
				t.Fatalf("%d bytes at %d: %v", n, at, err)
			}
		}
		for r.now.end() < r.size { // what nobody has asked for
			if err := r.advance(); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Close(); err != nil || !bytes.Equal(seen, content[:size]) {
			t.Fatalf("it saw %d bytes, %v", len(seen), err)
		}
	}
}

func TestAPaceSharesOutTheTime(t *testing.T) {
	p := &pace{rate: 1000}
	now := time.Unix(1000, 0)
	var last time.Time
	for range 10 {
		last = p.turn(1000, now)
	}
	if d := last.Sub(now); d < 9*time.Second || d > 10*time.Second {
		t.Errorf("the tenth 1000 bytes are read after %v", d)
	}
	later := now.Add(time.Hour) // nothing was read: that is not made up for
	if d := p.turn(1000, later).Sub(later); d > time.Second || d < time.Second-maxBurst {
		t.Errorf("after an hour of rest: %v", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&pace{}).spend(ctx, 1); err == nil {
		t.Error("a reader goes on after its context has ended")
	}
}
