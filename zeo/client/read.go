package client

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
)

const (
	readLen    = 64 << 10  // a part of a blob, or 15 objects of 4 KB
	maxMessage = 512 << 20 // what the server may send at once: as much as it takes itself
)

// read takes what the server sends until that ends, and returns why. While more is at hand it does not write what
// Loads has asked for meanwhile, so that a burst of replies is followed by a burst of calls, in one write.
func (c *Conn) read() error {
	for {
		if err := c.readOne(); err != nil {
			return err
		}
	}
}

// readOne takes one message.
func (c *Conn) readOne() error {
	if len(c.asked) > 0 && !atHand(c.in) {
		c.writing.Lock()
		c.out = append(c.out, c.asked...)
		err := c.flush()
		c.writing.Unlock()
		if c.asked = c.asked[:0]; err != nil {
			return err
		}
	}
	body, err := next(c.in)
	if err != nil {
		return fmt.Errorf("reading from the ZEO server: %w", err)
	}
	return c.take(body)
}

// atHand is whether the next message has arrived as a whole.
func atHand(r *bufio.Reader) bool {
	if r.Buffered() < wire.SizeLen {
		return false
	}
	head, _ := r.Peek(wire.SizeLen) // it is buffered
	return uint64(r.Buffered()-wire.SizeLen) >= uint64(binary.BigEndian.Uint32(head))
}

// next returns the next message without its size, valid until the call after.
func next(r *bufio.Reader) ([]byte, error) {
	n, err := wire.Next(r)
	if err != nil {
		return nil, err
	}
	if n > int64(r.Size()) {
		return wire.Read(r, maxMessage)
	}
	b, err := r.Peek(int(n))
	if err != nil {
		return nil, err
	}
	_, err = r.Discard(len(b)) // they stay where they are until the next read
	return b[wire.SizeLen:], err
}

// take takes one message, which is valid as long as the call.
func (c *Conn) take(body []byte) error {
	if l, r, ok := c.codec.Loaded(body); ok {
		c.loaded(l, Revision{Data: r.Data, Tid: r.Tid, Next: r.Next}, nil)
		return nil
	}
	switch method, ok := c.codec.Called(body); {
	case !ok: // a reply: somebody else reads it, and later
		body = bytes.Clone(body)
	case !c.wants(method):
		return nil
	}
	m, err := c.codec.Decode(body)
	if err != nil {
		return fmt.Errorf("a message of the ZEO server: %w", err)
	}
	if m.IsReply() {
		c.answered(m)
		return nil
	}
	return c.told(m)
}

// wants is whether a call of the server's says something that is kept here.
func (c *Conn) wants(method []byte) bool {
	switch string(method) {
	case wire.InvalidationMethod:
		return c.opt.Invalidated != nil
	case "receiveBlobStart", "receiveBlobChunk", "receiveBlobStop":
		return true
	}
	return false
}

// answered hands a reply to its caller.
func (c *Conn) answered(m *wire.Message) {
	if l, ok := loadOf(m.ID); ok {
		r, err := revision(l, replyOf(m))
		c.loaded(l, r, err)
		return
	}
	id, _ := m.ID.(int64)
	c.mu.Lock()
	call, pending := c.pending[id]
	delete(c.pending, id)
	c.mu.Unlock()
	if !pending {
		return
	}
	r := replyOf(m)
	r.err = named(call.method, r.err)
	call.handle(r)
}

// told takes a call of the server's. It keeps none of its arguments.
func (c *Conn) told(m *wire.Message) error {
	args, _ := m.Args.(pickle.Tuple)
	switch m.Method {
	case wire.InvalidationMethod:
		return c.invalidated(args)
	case "receiveBlobStart", "receiveBlobChunk", "receiveBlobStop":
		return c.receiveBlob(m.Method, args)
	}
	return nil // of nothing that is kept here
}

func (c *Conn) invalidated(args pickle.Tuple) error {
	if len(args) != 2 {
		return fmt.Errorf("an invalidation of %d arguments: %w", len(args), errReply)
	}
	tid, err := tidOf(args[0])
	oids, err2 := oidsOf(args[1])
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("an invalidation: %w", err)
	}
	if c.opt.Invalidated != nil {
		c.opt.Invalidated(tid, oids)
	}
	return nil
}
