package filestorage

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// The index file (Data.fs.index) in the format that ZODB writes since 3.10. The same index gives the same bytes.
//
//	80 03  <pos>  2e                             end of Data.fs that the index belongs to
//	80 03  43 06 prefix(6)  <value>  86 2e       for each prefix, ascending
//	80 03  4e 2e                                 end
//
//	prefix   the first 6 bytes of the oids
//	value    suffix(2) * n  offset(6) * n        as 43 len(1), or above 255 bytes as 42 len(4, little-endian)
//	pos      4b n(1) | 4d n(2) | 4a n(4) | 8a len(1) n(len), little-endian, the shortest
//
// Each line is a pickle of its own. Readers also take what Python 2 wrote in this format (other opcodes), and the older
// formats of indexfile_old.go.
const (
	prefixLen = 6
	suffixLen = 2
	offsetLen = 6
	maxOids   = 1 << (8 * suffixLen)              // of one prefix
	maxValue  = maxOids * (suffixLen + offsetLen) // bytes
	maxOffset = int64(1)<<(8*offsetLen) - 1       // what an entry can express
)

// errIndexUnusable says that an index file is damaged, or in a format that is not read. Nothing is lost: everything in
// it can be found again by scanning the Data.fs.
var errIndexUnusable = errors.New("index file is unusable, the Data.fs has to be scanned")

func unusable(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errIndexUnusable, fmt.Sprintf(format, args...))
}

// saveIndex replaces the index file at path (Data.fs.index) by one with these entries, ascending, as the index of the
// Data.fs up to pos. On return the file is durable; after an error or a crash the old one is still there.
func saveIndex(disk vfs.FS, path string, entries iter.Seq2[zodb.Oid, int64], pos int64) error {
	err := vfs.WriteFileAtomic(disk, path, ".index_tmp", func(f vfs.File) error {
		out := bufio.NewWriterSize(io.NewOffsetWriter(f, 0), 64<<10)
		if err := writeIndex(out, entries, pos); err != nil {
			return err
		}
		return out.Flush()
	})
	if err != nil {
		return fmt.Errorf("save index: %w", err)
	}
	return nil
}

// writeIndex writes an index with memory for one prefix.
func writeIndex(out io.Writer, entries iter.Seq2[zodb.Oid, int64], pos int64) error {
	if err := writeAll(out, append(appendInt([]byte{opProto, 3}, pos), opStop)); err != nil {
		return err
	}
	var prefix uint64
	var suffixes, offsets []byte
	for oid, at := range entries {
		if at > maxOffset {
			return fmt.Errorf("oid %v is at offset %d, the format ends at %d", oid, at, maxOffset)
		}
		if p := uint64(oid) >> 16; p != prefix {
			if err := writeBucket(out, prefix, suffixes, offsets); err != nil {
				return err
			}
			prefix, suffixes, offsets = p, suffixes[:0], offsets[:0]
		}
		suffixes = binary.BigEndian.AppendUint16(suffixes, uint16(oid))
		offsets = binary.BigEndian.AppendUint16(offsets, uint16(at>>32))
		offsets = binary.BigEndian.AppendUint32(offsets, uint32(at))
	}
	if err := writeBucket(out, prefix, suffixes, offsets); err != nil {
		return err
	}
	return writeAll(out, []byte{opProto, 3, opNone, opStop})
}

func writeAll(out io.Writer, parts ...[]byte) error {
	for _, part := range parts {
		if _, err := out.Write(part); err != nil {
			return err
		}
	}
	return nil
}

func writeBucket(out io.Writer, prefix uint64, suffixes, offsets []byte) error {
	n := len(suffixes) + len(offsets)
	if n == 0 {
		return nil
	}
	var b [24]byte
	head := append(b[:0], opProto, 3, opShortBytes, prefixLen)
	head = binary.BigEndian.AppendUint16(head, uint16(prefix>>32))
	head = binary.BigEndian.AppendUint32(head, uint32(prefix))
	if n <= math.MaxUint8 {
		head = append(head, opShortBytes, byte(n))
	} else {
		head = binary.LittleEndian.AppendUint32(append(head, opBytes), uint32(n))
	}
	return writeAll(out, head, suffixes, offsets, []byte{opTuple2, opStop})
}

// appendInt appends the pickle of n, which must not be negative.
func appendInt(b []byte, n int64) []byte {
	switch {
	case n <= math.MaxUint8:
		return append(b, opInt1, byte(n))
	case n <= math.MaxUint16:
		return binary.LittleEndian.AppendUint16(append(b, opInt2), uint16(n))
	case n <= math.MaxInt32:
		return binary.LittleEndian.AppendUint32(append(b, opInt4), uint32(n))
	}
	b = append(b, opLong1, 0)
	at := len(b)
	for ; n > 0x7f; n >>= 8 {
		b = append(b, byte(n))
	}
	b = append(b, byte(n)) // its top bit is the sign
	b[at-1] = byte(len(b) - at)
	return b
}

// loadIndex reads the index file at path (Data.fs.index), whatever its format, and returns it with the end of the
// Data.fs at the time when it was saved. Whether it belongs to the Data.fs that is there now is for the caller to
// check, entries after pos included. A damaged file is errIndexUnusable, an absent one fs.ErrNotExist.
func loadIndex(disk vfs.FS, path string) (x *index, pos int64, err error) {
	f, err := disk.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("load index: %w", err)
	}
	info, err := f.Stat()
	if err == nil {
		x, pos, err = readIndex(io.NewSectionReader(f, 0, info.Size()))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, 0, fmt.Errorf("load index %s: %w", path, err)
	}
	return x, pos, nil
}

func readIndex(file *io.SectionReader) (*index, int64, error) {
	p := newPickleReader(file)
	op := p.start()
	if !isInt(op) {
		return readOldIndex(file)
	}
	pos := p.int(op)
	p.expect(opStop)
	x := newIndex()
	var value []byte
	for p.err == nil {
		op := p.start()
		if op == opNone {
			p.expect(opStop)
			p.expectEnd()
			break
		}
		var prefix uint64
		prefix, value = p.bucket(op, value)
		if p.err == nil {
			p.err = x.setBucket(prefix, value)
		}
	}
	if p.err == nil && pos < magicLen {
		p.err = unusable("position %d", pos)
	}
	return x, pos, p.err
}

// bucket reads one pickle (prefix, value) that begins with op, value into buf where it fits.
func (p *pickleReader) bucket(op byte, buf []byte) (prefix uint64, value []byte) {
	marked := op == opMark
	if marked {
		op = p.op()
	}
	prefix = p.prefix(p.bytes(op, prefixLen, buf[:0]))
	value = p.bytes(p.op(), maxValue, buf[:0])
	if marked {
		p.expect(opTuple)
	} else {
		p.expect(opTuple2)
	}
	p.expect(opStop)
	return prefix, value
}

func (p *pickleReader) prefix(b []byte) uint64 {
	if len(b) != prefixLen {
		p.fail("a prefix of %d bytes", len(b))
		return 0
	}
	return uint48(b)
}

func uint48(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
}

// setBucket enters all oids of one prefix.
func (x *index) setBucket(prefix uint64, value []byte) error {
	n := len(value) / (suffixLen + offsetLen)
	if len(value) == 0 || len(value) != n*(suffixLen+offsetLen) {
		return unusable("prefix %012x has %d bytes", prefix, len(value))
	}
	suffixes, offsets := value[:n*suffixLen], value[n*suffixLen:]
	var buf [pageOids]entry
	run := buf[:0]
	for i := range n {
		suffix := binary.BigEndian.Uint16(suffixes[i*suffixLen:])
		e := entry{zodb.Oid(prefix<<16 | uint64(suffix)), int64(uint48(offsets[i*offsetLen:]))}
		if i > 0 && suffix <= binary.BigEndian.Uint16(suffixes[(i-1)*suffixLen:]) {
			return unusable("prefix %012x has oids out of order", prefix)
		}
		if err := e.check(); err != nil {
			return err
		}
		if len(run) > 0 && pageStart(e.oid) != pageStart(run[0].oid) {
			x.setRun(run)
			run = run[:0]
		}
		run = append(run, e)
	}
	x.setRun(run)
	return nil
}

// check refuses an entry from a file that no Data.fs can have.
func (e entry) check() error {
	if e.pos < magicLen || e.pos > maxOffset {
		return unusable("oid %v is at offset %d", e.oid, e.pos)
	}
	return nil
}
