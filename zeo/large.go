package zeo

import (
	"bufio"
	"io"

	"github.com/zrsd/zrsd/zeo/wire"
)

const (
	largeMessage = 1 << 20  // from which on a record goes to the transaction's file while it is read
	maxTail      = 64 << 10 // what may be after it: the name of the transaction
)

// largeStore handles the next message if it stores a large record that stays as it is, which then is not in memory as a
// whole. All others take the general way, with the same answers.
func (c *client) largeStore(r *bufio.Reader) (handled bool, err error) {
	if c.storage == nil || c.storage.opt.Compress {
		return false, nil
	}
	n, err := wire.Next(r)
	if n -= wire.SizeLen; err != nil || n < largeMessage || n > c.srv.opt.MaxMessage {
		return false, nil // the general way meets an error again
	}
	head, err := r.Peek(wire.SizeLen + wire.StoreHead)
	if err != nil {
		return false, nil
	}
	s, ok := c.codec.LargeStore(head[wire.SizeLen:])
	if tail := n - s.At - s.Size; !ok || tail < 0 || tail > maxTail {
		return false, nil
	}
	if _, err := r.Discard(int(wire.SizeLen + s.At)); err != nil {
		return true, err
	}
	if err := c.take(r, s.Size); err != nil {
		return true, err
	}
	defer func() { c.large = nil }()
	small := append(s.Before, make([]byte, n-s.At-s.Size)...)
	if _, err := io.ReadFull(r, small[len(s.Before):]); err != nil {
		return true, err
	}
	m, err := c.codec.Decode(small)
	if err != nil {
		return true, violation("a message that cannot be read: %v", err)
	}
	return true, c.dispatch(m)
}

// take reads a record into the file of the transaction, or to nowhere if there is none that buffers, or one that takes
// nothing any more: the call finds that out itself. An error is one of the connection.
func (c *client) take(r io.Reader, size int64) error {
	from := &io.LimitedReader{R: r, N: size}
	if t := c.txn; t != nil && t.is() == buffering {
		t.awaitVote(false) // a vote that is answered
		record, _ := t.Take(size, from)
		c.large = &record
	}
	_, err := io.CopyN(io.Discard, from, from.N) // what could not be taken; an error of the connection comes again
	return err
}
