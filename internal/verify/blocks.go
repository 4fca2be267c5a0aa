package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// The file of checksums of blocks. All numbers are big-endian:
//
//	magic(16) "zrsd blocks 1" and zeros
//	inode(8) born(8)              of the data file: what a pack or a copy makes is another file
//	marks(4) sums(4)              how many follow
//	marks × offset(8) tid(8)      where a transaction ends, with its tid: at most one in 4 MiB, and the last one
//	sums × CRC-32C(4)             of blocks of 64 KiB from the start of the data file; only whole blocks
//	SHA-256(32)                   of all before it
//
// The marks tell a changed block from another history: after a rewind a transaction that a mark names is not there any
// more, and from the last mark that stands nothing is compared.
const (
	blocksSuffix = ".blocks.zrsd"
	blockLen     = 64 << 10
	markLen      = 4 << 20 // there is one mark in as many bytes, at most
	blocksHead   = 40
)

var blocksMagic = [16]byte{'z', 'r', 's', 'd', ' ', 'b', 'l', 'o', 'c', 'k', 's', ' ', '1'}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A mark is a place where a transaction ends.
type mark struct {
	pos int64
	tid zodb.Tid
}

// blockSums are the checksums of a data file up to some place.
type blockSums struct {
	inode uint64
	born  int64
	marks []mark
	sums  []uint32
}

// sumsOf returns no checksums, of this file.
func sumsOf(f vfs.File) (*blockSums, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &blockSums{inode: vfs.Number(info), born: vfs.Born(f)}, nil
}

// sameFile reports whether both are of one file.
func (s *blockSums) sameFile(other *blockSums) bool {
	return s.inode == other.inode && s.born == other.born
}

func (s *blockSums) encode() []byte {
	b := make([]byte, 0, blocksHead+16*len(s.marks)+4*len(s.sums)+sha256.Size)
	b = append(b, blocksMagic[:]...)
	b = binary.BigEndian.AppendUint64(b, s.inode)
	b = binary.BigEndian.AppendUint64(b, uint64(s.born))
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.marks)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.sums)))
	for _, m := range s.marks {
		b = binary.BigEndian.AppendUint64(b, uint64(m.pos))
		b = binary.BigEndian.AppendUint64(b, uint64(m.tid))
	}
	for _, sum := range s.sums {
		b = binary.BigEndian.AppendUint32(b, sum)
	}
	digest := sha256.Sum256(b)
	return append(b, digest[:]...)
}

var errBlocks = errors.New("it is damaged, or of another version")

func decodeBlocks(b []byte) (*blockSums, error) {
	if len(b) < blocksHead+sha256.Size || !bytes.Equal(b[:16], blocksMagic[:]) {
		return nil, errBlocks
	}
	body := b[:len(b)-sha256.Size]
	if digest := sha256.Sum256(body); !bytes.Equal(digest[:], b[len(body):]) {
		return nil, errBlocks
	}
	s := &blockSums{inode: binary.BigEndian.Uint64(b[16:]), born: int64(binary.BigEndian.Uint64(b[24:]))}
	marks, sums := int(binary.BigEndian.Uint32(b[32:])), int(binary.BigEndian.Uint32(b[36:]))
	if body = body[blocksHead:]; len(body) != 16*marks+4*sums {
		return nil, errBlocks
	}
	for ; marks > 0; marks-- {
		pos, tid := binary.BigEndian.Uint64(body), binary.BigEndian.Uint64(body[8:])
		s.marks = append(s.marks, mark{int64(pos), zodb.Tid(tid)})
		body = body[16:]
	}
	s.sums = make([]uint32, sums)
	for i := range s.sums {
		s.sums[i] = binary.BigEndian.Uint32(body[4*i:])
	}
	return s, nil
}

// maxOwnFile is more than a file of this package ever has: the checksums of 16 TiB.
const maxOwnFile = 1 << 30

// loadBlocks reads the checksums of the data file at path. The error wraps fs.ErrNotExist when there are none.
func loadBlocks(disk vfs.FS, path string) (*blockSums, error) {
	b, err := vfs.ReadFile(disk, path+blocksSuffix, maxOwnFile)
	if err != nil {
		return nil, err
	}
	s, err := decodeBlocks(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path+blocksSuffix, err)
	}
	return s, nil
}

// save replaces the checksums of the data file at path.
func (s *blockSums) save(disk vfs.FS, path string) error {
	return writeFile(disk, path+blocksSuffix, s.encode())
}

func writeFile(disk vfs.FS, path string, content []byte) error {
	return vfs.WriteFileAtomic(disk, path, ".tmp", func(f vfs.File) error {
		_, err := f.WriteAt(content, 0)
		return err
	})
}

// flippedBit returns which byte of a block of blockLen has one bit that differs, when one flipped bit is what turns the
// checksum it had into the one it has. The checksum of a flip depends on its place alone.
func flippedBit(was, is uint32) (at int, ok bool) {
	want := was ^ is
	// The flip of the last bit of the block, and from there towards the front: each step is a bit of zero behind it.
	sum := uint32(1) // the register before the last bit, reflected
	for bit := blockLen*8 - 1; bit >= 0; bit-- {
		if sum&1 != 0 {
			sum = sum>>1 ^ crc32.Castagnoli
		} else {
			sum >>= 1
		}
		if sum == want {
			return bit / 8, true
		}
	}
	return 0, false
}
