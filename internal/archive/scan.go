package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// Lengths of the fixed parts of a Data.fs: see package filestorage.
const (
	magicLen     = 4
	txnHeaderLen = 23
	recHeaderLen = 42
	backLen      = 8
	lengthLen    = 8
)

// A blobRecord is a record whose revision has a blob.
type blobRecord struct {
	Oid zodb.Oid
	Tid zodb.Tid
}

// A boundary is the end of a transaction, or its beginning.
type boundary struct {
	Tid zodb.Tid
	End int64
}

// A scanner goes through the bytes of a data file, in pieces of any size, and says where transactions end and which
// records have blobs. It checks lengths only: what the bytes say is the business of who wrote them.
type scanner struct {
	file io.ReaderAt // for what back pointers lead to; nil: blobs are not looked for

	offset int64 // of the next byte
	skip   int64 // bytes that are of no interest
	split  []byte
	part   scanPart

	tid    zodb.Tid
	length uint64
	end    int64 // of the records of the transaction
	rec    struct {
		oid  zodb.Oid
		at   int64
		plen int64
	}

	// What was found.
	whole  int // blobs of transactions that have ended
	ends   []boundary
	begins []boundary // without a file: where transactions begin
	blobs  []blobRecord
}

// A scanPart is a fixed part of a file.
type scanPart int

const (
	scanMagic scanPart = iota
	scanTxn
	scanRecord
	scanHead
	scanBack
	scanLength
)

// newScanner begins where a transaction begins; 0: at the beginning of the file.
func newScanner(file io.ReaderAt, pos int64) *scanner {
	s := &scanner{file: file, offset: pos, part: scanTxn}
	if pos == 0 {
		s.part = scanMagic
	}
	return s
}

// after returns the scanner as it is after b, and leaves s as it is.
func (s *scanner) after(b []byte) (*scanner, error) {
	next := *s
	next.split, next.ends, next.blobs, next.whole = slices.Clone(s.split), nil, nil, 0
	return &next, next.take(b)
}

// atLastEnd returns the scanner as it was where the last transaction ended.
func (s *scanner) atLastEnd() *scanner {
	at := newScanner(s.file, s.ends[len(s.ends)-1].End)
	at.ends, at.blobs, at.whole = s.ends, s.blobs[:s.whole], s.whole
	return at
}

func (s *scanner) partLen() int64 {
	switch s.part {
	case scanMagic:
		return magicLen
	case scanTxn:
		return txnHeaderLen
	case scanRecord:
		return recHeaderLen
	case scanHead:
		return min(s.rec.plen, zodb.BlobHeadLen)
	case scanBack:
		return backLen
	case scanLength:
		return lengthLen
	}
	return 0
}

// take passes b.
func (s *scanner) take(b []byte) error {
	for len(b) > 0 {
		if s.skip > 0 {
			n := min(s.skip, int64(len(b)))
			s.skip, s.offset, b = s.skip-n, s.offset+n, b[n:]
			continue
		}
		n := min(s.partLen()-int64(len(s.split)), int64(len(b)))
		part := b[:n]
		s.offset, b = s.offset+n, b[n:]
		if len(s.split) > 0 || n < s.partLen() {
			s.split = append(s.split, part...)
			if int64(len(s.split)) < s.partLen() {
				return nil
			}
			part = s.split
		}
		if err := s.pass(part); err != nil {
			return fmt.Errorf("the data file makes no sense at %d: %w", s.offset, err)
		}
		s.split = s.split[:0]
	}
	return nil
}

// pass takes a whole fixed part.
func (s *scanner) pass(b []byte) error {
	switch s.part {
	case scanMagic:
		s.part = scanTxn
	case scanTxn:
		return s.enterTxn(b)
	case scanRecord:
		return s.enterRecord(b)
	case scanHead:
		if s.file != nil && zodb.IsBlobRecord(b) {
			s.blobs = append(s.blobs, blobRecord{s.rec.oid, s.tid})
		}
		s.skip = s.rec.plen - int64(len(b))
		s.next(s.offset + s.skip)
	case scanBack:
		is, err := s.leadsToBlob(int64(binary.BigEndian.Uint64(b)), s.rec.at)
		if err != nil {
			return err
		}
		if is {
			s.blobs = append(s.blobs, blobRecord{s.rec.oid, s.tid})
		}
		s.next(s.offset)
	case scanLength:
		if got := binary.BigEndian.Uint64(b); got != s.length {
			return fmt.Errorf("transaction %v has length %d before it and %d after it", s.tid, s.length, got)
		}
		s.ends = append(s.ends, boundary{s.tid, s.offset})
		s.whole = len(s.blobs)
		s.part = scanTxn
	}
	return nil
}

func (s *scanner) enterTxn(b []byte) error {
	s.tid = zodb.Tid(binary.BigEndian.Uint64(b))
	s.length = binary.BigEndian.Uint64(b[8:])
	meta := int64(binary.BigEndian.Uint16(b[17:])) + int64(binary.BigEndian.Uint16(b[19:])) +
		int64(binary.BigEndian.Uint16(b[21:]))
	if s.length > maxFileBytes || int64(s.length) < txnHeaderLen+meta {
		return fmt.Errorf("transaction %v has length %d", s.tid, s.length)
	}
	s.end = s.offset - txnHeaderLen + int64(s.length)
	if s.file == nil {
		s.begins = append(s.begins, boundary{s.tid, s.offset - txnHeaderLen})
	}
	s.skip = meta
	s.next(s.offset + meta)
	return nil
}

// next says what comes at a position in a transaction.
func (s *scanner) next(pos int64) {
	s.part = scanRecord
	if pos == s.end {
		s.part = scanLength
	}
}

func (s *scanner) enterRecord(b []byte) error {
	s.rec.oid = zodb.Oid(binary.BigEndian.Uint64(b))
	s.rec.at = s.offset - recHeaderLen
	plen := binary.BigEndian.Uint64(b[34:])
	s.rec.plen, s.part = int64(plen), scanHead
	rest := int64(plen)
	if plen == 0 {
		s.part, rest = scanBack, backLen
	}
	if plen > maxFileBytes || rest > s.end-s.offset {
		return fmt.Errorf("a record of oid %v has %d bytes, beyond the end of its transaction", s.rec.oid, plen)
	}
	return nil
}

// leadsToBlob reports whether a back pointer of the record at pos leads to the record of a blob.
func (s *scanner) leadsToBlob(to, pos int64) (bool, error) {
	if s.file == nil {
		return false, nil
	}
	for to != 0 {
		if to < magicLen || to >= pos {
			return false, fmt.Errorf("a back pointer leads to %d", to)
		}
		var b [recHeaderLen + max(backLen, zodb.BlobHeadLen)]byte
		n, err := s.file.ReadAt(b[:], to)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, fmt.Errorf("read what a back pointer leads to: %w", err)
		}
		plen := binary.BigEndian.Uint64(b[34:])
		want := recHeaderLen + min(max(plen, backLen), zodb.BlobHeadLen)
		if uint64(n) < want {
			return false, fmt.Errorf("a back pointer leads to %d, where the file ends", to)
		}
		if plen > 0 {
			return zodb.IsBlobRecord(b[recHeaderLen:][:min(plen, zodb.BlobHeadLen)]), nil
		}
		pos, to = to, int64(binary.BigEndian.Uint64(b[recHeaderLen:]))
	}
	return false, nil
}
