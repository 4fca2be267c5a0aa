package protocol

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
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
// text ends with a zero byte. 0 is not compared: an older version made no such sum.
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

// finish makes the sums of a message that has any.
func setChecksums(msg any) {
	if m, ok := msg.(checksummed); ok {
		*m.checksum() = checksumOf(m)
	}
	if m, ok := msg.(identityChecksummed); ok {
		*m.identityChecksum() = identityChecksumOf(m)
	}
}

// verifyChecksums compares them.
func verifyChecksums(msg any) error {
	if m, ok := msg.(checksummed); ok && *m.checksum() != checksumOf(m) {
		return errDamaged
	}
	if m, ok := msg.(identityChecksummed); ok && *m.identityChecksum() != 0 &&
		*m.identityChecksum() != identityChecksumOf(m) {
		return errDamaged
	}
	return nil
}

func boolNumber(yes bool) uint64 {
	if yes {
		return 1
	}
	return 0
}

func (h *Hello) checksum() *uint64         { return &h.Checksum }
func (w *Welcome) checksum() *uint64       { return &w.Checksum }
func (b *VoteRequest) checksum() *uint64   { return &b.Checksum }
func (p *NodeStatus) checksum() *uint64    { return &p.Checksum }
func (p *HandoverCheck) checksum() *uint64 { return &p.Checksum }
func (t *TakeOver) checksum() *uint64      { return &t.Checksum }

// withEpochBegun adds what a node has heard of a begun epoch to the numbers. Older versions say nothing of it.
func withEpochBegun(numbers []uint64, epoch uint64) []uint64 {
	if epoch == 0 {
		return numbers
	}
	return append(numbers, epoch)
}

func (h *Hello) numbers() []uint64 {
	return withEpochBegun([]uint64{h.Highest(), uint64(h.Last.Tid)}, h.MaxEpochBegun)
}
func (w *Welcome) numbers() []uint64 {
	return []uint64{w.Highest(), uint64(w.LastTid), boolNumber(w.IsPrimary)}
}
func (b *VoteRequest) numbers() []uint64 {
	return []uint64{b.Epoch, b.MaxEpochBegun, uint64(b.LastTid)}
}
func (p *NodeStatus) numbers() []uint64 {
	return withEpochBegun([]uint64{p.Highest(), uint64(p.LastTid), boolNumber(p.IsPrimary)}, p.MaxEpochBegun)
}
func (p *HandoverCheck) numbers() []uint64 { return []uint64{p.Epoch, uint64(p.Last)} }
func (t *TakeOver) numbers() []uint64      { return []uint64{t.Epoch, uint64(t.Last)} }

func (h *Hello) identityChecksum() *uint64       { return &h.IdentityChecksum }
func (w *Welcome) identityChecksum() *uint64     { return &w.IdentityChecksum }
func (b *VoteRequest) identityChecksum() *uint64 { return &b.IdentityChecksum }
func (p *NodeStatus) identityChecksum() *uint64  { return &p.IdentityChecksum }

func (h *Hello) identity() ([]Epoch, []string) {
	return h.Epochs, []string{h.StorageID, h.Node, h.Successor}
}
func (w *Welcome) identity() ([]Epoch, []string) { return w.Epochs, []string{w.StorageID, w.Node} }
func (b *VoteRequest) identity() ([]Epoch, []string) { //nolint:unparam // a bid has no list of epochs
	return nil, []string{b.StorageID, b.Node, b.Run}
}
func (p *NodeStatus) identity() ([]Epoch, []string) {
	return p.Epochs, []string{p.StorageID, p.Node, p.Run}
}
