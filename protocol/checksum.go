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
	check() *uint64    // where it stands in the message
	numbers() []uint64 // the numbers
}

func sumOf(m checksummed) uint64 {
	h := fnv.New64a()
	for _, n := range m.numbers() {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, n)) // never fails
	}
	return h.Sum64()
}

// A summed message says who a node is and which epochs it knows. It carries the FNV-1a hash, 64 bits, of all of that:
// of each epoch the number and the beginning, 8 bytes each, big-endian, and the node; then the texts. Each text ends
// with a zero byte. 0 is not compared: an older version made no such sum.
type summed interface {
	sum() *uint64 // where it stands in the message
	says() (epochs []Epoch, texts []string)
}

func hashOf(m summed) uint64 {
	h := fnv.New64a()
	epochs, texts := m.says()
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
		*m.check() = sumOf(m)
	}
	if m, ok := msg.(summed); ok {
		*m.sum() = hashOf(m)
	}
}

// verifyChecksums compares them.
func verifyChecksums(msg any) error {
	if m, ok := msg.(checksummed); ok && *m.check() != sumOf(m) {
		return errDamaged
	}
	if m, ok := msg.(summed); ok && *m.sum() != 0 && *m.sum() != hashOf(m) {
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

func (h *Hello) check() *uint64    { return &h.Check }
func (w *Welcome) check() *uint64  { return &w.Check }
func (b *Bid) check() *uint64      { return &b.Check }
func (p *Promise) check() *uint64  { return &p.Check }
func (p *Prepare) check() *uint64  { return &p.Check }
func (t *TakeOver) check() *uint64 { return &t.Check }

// heard adds what a node has heard of a begun epoch to the numbers. Older versions say nothing of it.
func heard(numbers []uint64, epoch uint64) []uint64 {
	if epoch == 0 {
		return numbers
	}
	return append(numbers, epoch)
}

func (h *Hello) numbers() []uint64 { return heard([]uint64{h.Highest(), uint64(h.Last.Tid)}, h.Heard) }
func (w *Welcome) numbers() []uint64 {
	return []uint64{w.Highest(), uint64(w.LastTid), boolNumber(w.Leads)}
}
func (b *Bid) numbers() []uint64 { return []uint64{b.Epoch, b.Heard, uint64(b.LastTid)} }
func (p *Promise) numbers() []uint64 {
	return heard([]uint64{p.Highest(), uint64(p.LastTid), boolNumber(p.Leads)}, p.Heard)
}
func (p *Prepare) numbers() []uint64  { return []uint64{p.Epoch, uint64(p.Last)} }
func (t *TakeOver) numbers() []uint64 { return []uint64{t.Epoch, uint64(t.Last)} }

func (h *Hello) sum() *uint64   { return &h.Sum }
func (w *Welcome) sum() *uint64 { return &w.Sum }
func (b *Bid) sum() *uint64     { return &b.Sum }
func (p *Promise) sum() *uint64 { return &p.Sum }

func (h *Hello) says() ([]Epoch, []string) {
	return h.Epochs, []string{h.StorageID, h.Node, h.HandedTo}
}
func (w *Welcome) says() ([]Epoch, []string) { return w.Epochs, []string{w.StorageID, w.Node} }
func (b *Bid) says() ([]Epoch, []string) { //nolint:unparam // a bid has no list of epochs
	return nil, []string{b.StorageID, b.Node, b.Run}
}
func (p *Promise) says() ([]Epoch, []string) {
	return p.Epochs, []string{p.StorageID, p.Node, p.Run}
}
