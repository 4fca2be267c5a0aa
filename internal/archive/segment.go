package archive

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// HeaderLen is the length of the fixed part of a segment.
const HeaderLen = 408

const (
	segmentMagic = "zrsdseg1"
	flagAge      = 1 // the content is for age's recipients
	signedLen    = HeaderLen - sha256.Size
)

// Bounds of a segment: what is larger is not believed.
const (
	maxRange     = 64 << 20  // bytes of the file
	maxStored    = 96 << 20  // bytes of table or body
	maxSegBlobs  = 1 << 20   // entries of the table
	maxFileBytes = 1<<62 - 1 // of a data file
)

// A Digest is a SHA-256.
type Digest [sha256.Size]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText is for JSON.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is for JSON.
func (d *Digest) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(d) {
		return fmt.Errorf("%.80q is no digest of %d hexadecimal digits", text, 2*len(d))
	}
	copy(d[:], b)
	return nil
}

// A NodeID is the id of a node, a UUID, as bytes.
type NodeID [16]byte

// ParseNode returns the id of its text form.
func ParseNode(text string) (id NodeID, err error) {
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("node id %.60q is no UUID", text)
	}
	copy(id[:], b)
	return id, nil
}

func (n NodeID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", n[:4], n[4:6], n[6:8], n[8:10], n[10:])
}

// A History is the value of the hash chain over transactions, after one of them. Count 0: it is not known.
type History struct {
	Base  zodb.Tid
	Count uint64
	Value Digest
}

// A Header is the fixed part of a segment: see the package comment.
type Header struct {
	ID      SegmentID
	Epoch   uint64
	Node    NodeID
	Written time.Time

	From, To, End int64
	Last, Highest zodb.Tid
	Transactions  uint64

	Range         Digest // SHA-256 of the bytes of the file
	Before, After Digest // the chain over bytes

	Content Digest // of transaction Last, as zodb.DigestOf; zero: not known
	History History

	Age bool

	Blobs    uint64
	TableLen int64
	TableSum Digest
	BodyLen  int64
	BodySum  Digest
}

// A FormatError says that an object of an archive is not what was written.
type FormatError struct {
	Name string
	What string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s of the archive is damaged: %s", e.Name, e.What)
}

func damaged(name, format string, args ...any) error {
	return &FormatError{name, fmt.Sprintf(format, args...)}
}

// chainAfter is the chain after a range.
func chainAfter(before Digest, from, to int64, sum Digest) Digest {
	b := make([]byte, 0, 2*sha256.Size+16)
	b = append(b, before[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(from))
	b = binary.BigEndian.AppendUint64(b, uint64(to))
	return sha256.Sum256(append(b, sum[:]...))
}

// encode returns the fixed part.
func (h *Header) encode() []byte {
	b := make([]byte, 0, HeaderLen)
	put := func(n uint64) { b = binary.BigEndian.AppendUint64(b, n) }
	b = append(b, segmentMagic...)
	put(h.ID.Generation)
	put(h.ID.Sequence)
	put(h.Epoch)
	b = append(b, h.Node[:]...)
	put(uint64(h.Written.UnixNano()))
	put(uint64(h.From))
	put(uint64(h.To))
	put(uint64(h.End))
	put(uint64(h.Last))
	put(uint64(h.Highest))
	put(h.Transactions)
	b = append(b, h.Range[:]...)
	b = append(b, h.Before[:]...)
	b = append(b, h.After[:]...)
	b = append(b, h.Content[:]...)
	put(uint64(h.History.Base))
	put(h.History.Count)
	b = append(b, h.History.Value[:]...)
	flags := uint32(0)
	if h.Age {
		flags = flagAge
	}
	b = binary.BigEndian.AppendUint32(b, flags)
	b = binary.BigEndian.AppendUint32(b, 0)
	put(h.Blobs)
	put(uint64(h.TableLen))
	b = append(b, h.TableSum[:]...)
	put(uint64(h.BodyLen))
	b = append(b, h.BodySum[:]...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// A fieldReader takes fixed fields one after the other.
type fieldReader []byte

func (r *fieldReader) number() uint64 {
	n := binary.BigEndian.Uint64(*r)
	*r = (*r)[8:]
	return n
}

func (r *fieldReader) digest() (d Digest) {
	copy(d[:], *r)
	*r = (*r)[len(d):]
	return d
}

// decodeHeader parses the fixed part of the segment with this id, and believes nothing of it that cannot be.
func decodeHeader(id SegmentID, b []byte) (*Header, error) {
	name := id.name()
	if len(b) < HeaderLen {
		return nil, damaged(name, "it has %d bytes, and a header has %d", len(b), HeaderLen)
	}
	b = b[:HeaderLen]
	if string(b[:len(segmentMagic)]) != segmentMagic {
		return nil, damaged(name, "it begins with %q, want %q", b[:len(segmentMagic)], segmentMagic)
	}
	if sum := sha256.Sum256(b[:signedLen]); sum != [sha256.Size]byte(b[signedLen:]) {
		return nil, damaged(name, "the digest of its header is wrong")
	}
	r := fieldReader(b[len(segmentMagic):])
	h := &Header{ID: SegmentID{r.number(), r.number()}, Epoch: r.number()}
	copy(h.Node[:], r)
	r = r[len(h.Node):]
	h.Written = time.Unix(0, int64(r.number()))
	h.From, h.To, h.End = int64(r.number()), int64(r.number()), int64(r.number())
	h.Last, h.Highest, h.Transactions = zodb.Tid(r.number()), zodb.Tid(r.number()), r.number()
	h.Range, h.Before, h.After, h.Content = r.digest(), r.digest(), r.digest(), r.digest()
	h.History = History{zodb.Tid(r.number()), r.number(), r.digest()}
	flags := r.number() >> 32
	h.Age = flags&flagAge != 0
	h.Blobs, h.TableLen, h.TableSum = r.number(), int64(r.number()), r.digest()
	h.BodyLen, h.BodySum = int64(r.number()), r.digest()
	if err := h.check(id, flags); err != nil {
		return nil, damaged(name, "%v", err)
	}
	return h, nil
}

// check reports the first rule that a header breaks whose digest is right.
func (h *Header) check(id SegmentID, flags uint64) error {
	switch {
	case h.ID != id:
		return fmt.Errorf("it is %v", h.ID)
	case flags&^flagAge != 0:
		return fmt.Errorf("it has flags %#x; it was written by a newer version of zrsd, or is damaged", flags)
	case h.From < 0 || h.To <= h.From || h.To-h.From > maxRange || h.To > maxFileBytes:
		return fmt.Errorf("it is from %d to %d", h.From, h.To)
	case h.End < 0 || h.End > h.To || h.Transactions > 0 && h.End <= h.From:
		return fmt.Errorf("its last transaction ends at %d", h.End)
	case h.Highest < h.Last:
		return fmt.Errorf("its last transaction is %v, and the highest %v", h.Last, h.Highest)
	case h.Blobs > maxSegBlobs || h.TableLen < 0 || h.TableLen > maxStored || h.BodyLen < 0 || h.BodyLen > maxStored:
		return errors.New("its parts are too long")
	case h.After != chainAfter(h.Before, h.From, h.To, h.Range):
		return errors.New("its chain does not follow from its range")
	}
	return nil
}

// size is the length of the whole object.
func (h *Header) size() int64 { return HeaderLen + h.TableLen + h.BodyLen }

// follows reports why a segment cannot come after a place.
func (h *Header) follows(at *Place) error {
	if h.From != at.To || h.Before != at.Chain {
		return damaged(h.ID.name(), "it continues at %d after chain %v…, and the segment before it ends at %d with %v…",
			h.From, h.Before.String()[:8], at.To, at.Chain.String()[:8])
	}
	return nil
}

// A Place is the end of a segment on a path, or the beginning.
type Place struct {
	To      int64    `json:"to"`
	End     int64    `json:"end"`
	Last    zodb.Tid `json:"last"`
	Highest zodb.Tid `json:"highest"`
	Chain   Digest   `json:"chain"`
}

// place is the end of a segment.
func (h *Header) place() Place { return Place{h.To, h.End, h.Last, h.Highest, h.After} }

func sumOf(b []byte) Digest { return sha256.Sum256(b) }
