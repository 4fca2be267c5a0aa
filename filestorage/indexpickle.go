package filestorage

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"strconv"
	"strings"
)

// The pickle opcodes that occur in index files of the current format, which may be too large to be in memory as values.
const (
	opProto      = 0x80
	opStop       = '.'
	opNone       = 'N'
	opMark       = '('
	opTuple      = 't'
	opTuple2     = 0x86
	opInt        = 'I'
	opInt1       = 'K'
	opInt2       = 'M'
	opInt4       = 'J'
	opLong       = 'L'
	opLong1      = 0x8a
	opShortBytes = 'C'
	opBytes      = 'B'
	opShortStr   = 'U' // Python 2's byte strings
	opStr        = 'T'
	opPut        = 'p'
	opBinPut     = 'q'
	opLongBinPut = 'r'
)

// A pickleReader reads the opcodes of the pickles in an index file. The first error sticks; after it all results are
// zero.
type pickleReader struct {
	in   *bufio.Reader
	left int64 // bytes of the file not yet read: no length can be above it
	err  error
}

func newPickleReader(file *io.SectionReader) *pickleReader {
	return &pickleReader{in: bufio.NewReaderSize(io.NewSectionReader(file, 0, file.Size()), 64<<10), left: file.Size()}
}

func (p *pickleReader) fail(format string, args ...any) {
	if p.err == nil {
		p.err = unusable(format, args...)
	}
}

// readErr keeps an error of the file. An early end is damage, others are the disk's.
func (p *pickleReader) readErr(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = unusable("it ends in the middle")
	}
	if p.err == nil {
		p.err = err
	}
}

func (p *pickleReader) byte() byte {
	if p.err != nil {
		return 0
	}
	b, err := p.in.ReadByte()
	if err != nil {
		p.readErr(err)
		return 0
	}
	p.left--
	return b
}

// start reads the protocol mark that a pickle may begin with, and returns its first opcode.
func (p *pickleReader) start() byte {
	op := p.op()
	if op != opProto {
		return op
	}
	if v := p.byte(); v > 3 {
		p.fail("pickle protocol %d", v)
	}
	return p.op()
}

// op returns the next opcode other than one that stores into the memo.
func (p *pickleReader) op() byte {
	for {
		switch op := p.byte(); op {
		case opPut:
			p.line()
		case opBinPut:
			p.byte()
		case opLongBinPut:
			p.uint(4)
		default:
			return op
		}
	}
}

func (p *pickleReader) expect(op byte) {
	if got := p.op(); got != op {
		p.fail("opcode %#x where %#x belongs", got, op)
	}
}

func (p *pickleReader) expectEnd() {
	if p.left > 0 {
		p.fail("%d bytes after its end", p.left)
	}
}

func isInt(op byte) bool {
	switch op {
	case opInt, opInt1, opInt2, opInt4, opLong, opLong1:
		return true
	}
	return false
}

// int reads the operand of an integer opcode. Integers of more than 8 bytes are damage: no offset has them.
func (p *pickleReader) int(op byte) int64 {
	switch op {
	case opInt1:
		return int64(p.byte())
	case opInt2:
		return int64(p.uint(2))
	case opInt4:
		return int64(int32(p.uint(4)))
	case opLong1:
		n := int(p.byte())
		if n > 8 {
			p.fail("an integer of %d bytes", n)
			return 0
		}
		shift := 64 - 8*n // sign extension; for n = 0 everything is shifted out
		return int64(p.uint(n)<<shift) >> shift
	case opInt, opLong:
		n, err := strconv.ParseInt(strings.TrimSuffix(p.line(), "L"), 10, 64)
		if err != nil {
			p.fail("a number that is none")
		}
		return n
	}
	p.fail("opcode %#x where an integer belongs", op)
	return 0
}

// uint reads a little-endian number of n bytes.
func (p *pickleReader) uint(n int) uint64 {
	var b [8]byte
	for i := range n {
		b[i] = p.byte()
	}
	return binary.LittleEndian.Uint64(b[:])
}

// bytes reads the operand of a byte string opcode, of at most limit bytes, into buf where it fits.
func (p *pickleReader) bytes(op byte, limit int, buf []byte) []byte {
	var n uint64
	switch op {
	case opShortBytes, opShortStr:
		n = uint64(p.byte())
	case opBytes, opStr:
		n = p.uint(4)
	default:
		p.fail("opcode %#x where a byte string belongs", op)
	}
	return p.take(n, limit, buf)
}

// take reads the next n bytes, at most limit, into buf where they fit.
func (p *pickleReader) take(n uint64, limit int, buf []byte) []byte {
	if n > uint64(limit) || n > uint64(p.left) {
		p.fail("a string of %d bytes, where %d are possible and the file has %d left", n, limit, p.left)
	}
	if p.err != nil {
		return nil
	}
	if uint64(cap(buf)) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(p.in, buf); err != nil {
		p.readErr(err)
		return nil
	}
	p.left -= int64(n)
	return buf
}

// line reads a text operand up to its newline, without it.
func (p *pickleReader) line() string {
	const limit = 64 // the longest is a number
	var b []byte
	for c := p.byte(); c != '\n' && p.err == nil; c = p.byte() {
		if len(b) == limit {
			p.fail("a line of more than %d bytes", limit)
			return ""
		}
		b = append(b, c)
	}
	return string(b)
}
