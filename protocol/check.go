package protocol

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
)

// ErrDamaged says that a message arrived other than it was sent. Trying again is right.
var ErrDamaged = errors.New("the message was damaged on its way")

// A checked message says things by which nodes change what they are, for good: epochs, and the last transaction. A
// damaged number must not do that, so it carries the FNV-1a hash, 64 bits, of these numbers, 8 bytes each, big-endian.
// Control makes and compares it.
type checked interface {
	check() *uint64    // where it stands in the message
	weighty() []uint64 // the numbers
}

func sumOf(m checked) uint64 {
	h := fnv.New64a()
	for _, n := range m.weighty() {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, n)) // never fails
	}
	return h.Sum64()
}

// seal makes the sum of a message that has one.
func seal(msg any) {
	if m, ok := msg.(checked); ok {
		*m.check() = sumOf(m)
	}
}

// sound compares it.
func sound(msg any) error {
	if m, ok := msg.(checked); ok && *m.check() != sumOf(m) {
		return ErrDamaged
	}
	return nil
}

func number(yes bool) uint64 {
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

func (h *Hello) weighty() []uint64 { return []uint64{h.Highest(), uint64(h.Last.Tid)} }
func (w *Welcome) weighty() []uint64 {
	return []uint64{w.Highest(), uint64(w.LastTid), number(w.Leads)}
}
func (b *Bid) weighty() []uint64 { return []uint64{b.Epoch, b.Heard, uint64(b.LastTid)} }
func (p *Promise) weighty() []uint64 {
	return []uint64{p.Highest(), uint64(p.LastTid), number(p.Leads)}
}
func (p *Prepare) weighty() []uint64  { return []uint64{p.Epoch, uint64(p.Last)} }
func (t *TakeOver) weighty() []uint64 { return []uint64{t.Epoch, uint64(t.Last)} }
