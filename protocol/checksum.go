package protocol

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/fnv"

	"github.com/zrsd/zrsd/zodb"
)

// errDamaged says that a message arrived other than it was sent. Trying again is right.
var errDamaged = errors.New("the message was damaged on its way")

// A checksummed message says things by which nodes change what they are, for good: epochs, and the last transaction. A
// damaged number must not do that, so it carries the FNV-1a hash, 64 bits, of these numbers, 8 bytes each, big-endian.
// Control makes and compares it.
type checksummed interface {
	checksum() *uint64 // where it stands in the message
	numbers() []uint64 // the numbers
}

func checksumOf(m checksummed) uint64 {
	h := fnv.New64a()
	for _, n := range m.numbers() {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, n)) // never fails
	}
	return h.Sum64()
}

// An identityChecksummed message says who a node is and which epochs it knows. It carries the FNV-1a hash, 64 bits, of
// all of that: of each epoch the number and the beginning, 8 bytes each, big-endian, and the node; then the texts. Each
// text ends with a zero byte. In version 1 nodes may leave it out, and 0 is not compared.
type identityChecksummed interface {
	identityChecksum() *uint64 // where it stands in the message
	identity() (epochs []Epoch, texts []string)
}

func identityChecksumOf(m identityChecksummed) uint64 {
	h := fnv.New64a()
	epochs, texts := m.identity()
	var b []byte
	for _, e := range epochs {
		b = binary.BigEndian.AppendUint64(b, e.Number)
		b = binary.BigEndian.AppendUint64(b, uint64(e.Begin))
		b = append(append(b, e.Node...), 0)
	}
	for _, text := range texts {
		b = append(append(b, text...), 0)
	}
	_, _ = h.Write(b) // never fails
	return max(h.Sum64(), 1)
}

// identityDigest is SHA-256 over the storage id, and of each epoch the number, the beginning and how many voters it
// has, 8 bytes each, big-endian, then node, by, at and the voters. Each text ends with a zero byte.
func (w *Welcome) identityDigest() zodb.Digest {
	b := append([]byte(w.StorageID), 0)
	for _, e := range w.Epochs {
		for _, n := range []uint64{e.Number, uint64(e.Begin), uint64(len(e.Voters))} {
			b = binary.BigEndian.AppendUint64(b, n)
		}
		for _, text := range append([]string{e.Node, e.By, e.At}, e.Voters...) {
			b = append(append(b, text...), 0)
		}
	}
	return sha256.Sum256(b)
}

// setChecksums makes the checksums of a message that has any.
func setChecksums(msg any) {
	if m, ok := msg.(checksummed); ok {
		*m.checksum() = checksumOf(m)
	}
	if m, ok := msg.(identityChecksummed); ok {
		*m.identityChecksum() = identityChecksumOf(m)
	}
	if w, ok := msg.(*Welcome); ok {
		w.IdentityDigest = w.identityDigest()
	}
	if h, ok := msg.(*Hello); ok {
		h.ChecksumV1 = checksumOf(&helloV1{Epochs: h.Epochs, Last: h.Last}) // all that version 1 reads of it
	}
}

// verifyChecksums compares them.
func verifyChecksums(msg any) error {
	if m, ok := msg.(checksummed); ok && *m.checksum() != checksumOf(m) {
		return errDamaged
	}
	if w, ok := msg.(*Welcome); ok && w.IdentityDigest != (zodb.Digest{}) && w.IdentityDigest != w.identityDigest() {
		return errDamaged
	}
	m, ok := msg.(identityChecksummed)
	if !ok {
		return nil
	}
	sum := *m.identityChecksum()
	if _, mayLack := msg.(messageV1); mayLack && sum == 0 || sum == identityChecksumOf(m) {
		return nil
	}
	return errDamaged
}

func boolNumber(yes bool) uint64 {
	if yes {
		return 1
	}
	return 0
}

func (h *Hello) checksum() *uint64         { return &h.Checksum }
func (w *Welcome) checksum() *uint64       { return &w.Checksum }
func (r *StatusRequest) checksum() *uint64 { return &r.Checksum }
func (s *NodeStatus) checksum() *uint64    { return &s.Checksum }
func (c *HandoverCheck) checksum() *uint64 { return &c.Checksum }
func (t *TakeOver) checksum() *uint64      { return &t.Checksum }

func (h *Hello) numbers() []uint64 { return []uint64{h.Highest(), h.Begun(), uint64(h.Last.Tid)} }
func (w *Welcome) numbers() []uint64 {
	return []uint64{w.Highest(), uint64(w.LastTid), boolNumber(w.IsPrimary)}
}
func (r *StatusRequest) numbers() []uint64 {
	return []uint64{r.MaxEpochBegun, uint64(r.LastTid), boolNumber(r.IsPrimary)}
}
func (r *VoteRequest) numbers() []uint64 { return append(r.StatusRequest.numbers(), r.Epoch) }
func (s *NodeStatus) numbers() []uint64 {
	list := []uint64{s.Highest(), s.Begun(), uint64(s.LastTid), boolNumber(s.IsPrimary)}
	if s.Learner { // so that those who have never heard of it still understand all others
		list = append(list, 1)
	}
	if s.Spare {
		list = append(list, 2)
	}
	return list
}
func (v *Vote) numbers() []uint64          { return append(v.NodeStatus.numbers(), v.Epoch) }
func (c *HandoverCheck) numbers() []uint64 { return []uint64{c.Epoch, uint64(c.Last)} }
func (t *TakeOver) numbers() []uint64      { return []uint64{t.Epoch, uint64(t.Last)} }

func (h *Hello) identityChecksum() *uint64         { return &h.IdentityChecksum }
func (w *Welcome) identityChecksum() *uint64       { return &w.IdentityChecksum }
func (r *StatusRequest) identityChecksum() *uint64 { return &r.IdentityChecksum }
func (s *NodeStatus) identityChecksum() *uint64    { return &s.IdentityChecksum }

func (h *Hello) identity() ([]Epoch, []string) {
	return h.Epochs, []string{h.StorageID, h.Node, h.Successor}
}
func (w *Welcome) identity() ([]Epoch, []string) { return w.Epochs, []string{w.StorageID, w.Node} }
func (r *StatusRequest) identity() ([]Epoch, []string) { //nolint:unparam // it has no list of epochs
	return nil, []string{r.StorageID, r.Node, r.Run}
}
func (s *NodeStatus) identity() ([]Epoch, []string) {
	return s.Epochs, []string{s.StorageID, s.Node, s.Run}
}
