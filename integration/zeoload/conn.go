package zeoload

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/zrsd/zrsd/zodb"
)

const (
	readLen  = 64 << 10 // one chunk of a blob, or 15 objects of 4 KB
	writeLen = 8 << 10
)

// A Conn is a registered connection. It is for one goroutine; only Close may come from another.
type Conn struct {
	conn   net.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	packed bool     // the server speaks M5
	large  []byte   // the last message that was too large for r
	Last   zodb.Tid // of the storage at registration
}

// Dial connects to the server at addr, whose choice of encoding it takes, and registers for a storage.
func Dial(ctx context.Context, addr, storage string, readOnly bool) (*Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := newConn(conn)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends the handshake
	defer stop()
	if err := c.introduce(storage, readOnly); err != nil {
		_ = conn.Close() // given up
		return nil, fmt.Errorf("registering at %s: %w", addr, err)
	}
	return c, nil
}

func newConn(conn net.Conn) *Conn {
	return &Conn{conn: conn, r: bufio.NewReaderSize(conn, readLen), w: bufio.NewWriterSize(conn, writeLen)}
}

// Close ends the connection, and a call of it that waits.
func (c *Conn) Close() error { return c.conn.Close() }

func (c *Conn) introduce(storage string, readOnly bool) error {
	hello, err := c.next()
	if err != nil {
		return err
	}
	chosen := string(hello)
	if chosen != "Z5" && chosen != "M5" {
		return fmt.Errorf("the server announces %q, neither Z5 nor M5", chosen)
	}
	c.send(append([]byte{0, 0, 0, 2}, chosen...))
	c.packed = chosen == "M5"
	c.send(registerCall(storage, readOnly))
	a, err := c.answer()
	if err != nil {
		return err
	}
	c.Last, err = a.tid()
	return err
}

// send puts messages into the buffer; an error shows at the next flush.
func (c *Conn) send(messages ...[]byte) {
	for _, m := range messages {
		if c.packed {
			packed, err := pack(m)
			if err != nil {
				panic(err) // the message is one of ours
			}
			m = packed
		}
		_, _ = c.w.Write(m) // the writer remembers
	}
}

// answer returns the next reply, past what the server calls.
func (c *Conn) answer() (arrival, error) {
	for {
		a, err := c.receive()
		if err != nil || a.reply {
			return a, err
		}
	}
}

// receive returns the next message. Before it waits for one it sends what is buffered; while more is at hand it does
// not, so that a burst of replies is followed by a burst of calls, in one write.
func (c *Conn) receive() (arrival, error) {
	if !c.atHand() {
		if err := c.w.Flush(); err != nil {
			return arrival{}, err
		}
	}
	body, err := c.next()
	if err != nil {
		return arrival{}, err
	}
	if c.packed {
		return parsePacked(body)
	}
	return parse(body)
}

// atHand is whether the next message has arrived as a whole.
func (c *Conn) atHand() bool {
	if c.r.Buffered() < sizeLen {
		return false
	}
	head, _ := c.r.Peek(sizeLen) // it is buffered
	return uint64(c.r.Buffered()-sizeLen) >= uint64(binary.BigEndian.Uint32(head))
}

// next returns the next message, valid until the call after.
func (c *Conn) next() ([]byte, error) {
	head, err := c.r.Peek(sizeLen)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head)
	if n > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	size := int(n)
	if sizeLen+size > c.r.Size() {
		return c.nextLarge(size)
	}
	b, err := c.r.Peek(sizeLen + size)
	if err != nil {
		return nil, err
	}
	_, err = c.r.Discard(len(b)) // they stay where they are until the next read
	return b[sizeLen:], err
}

func (c *Conn) nextLarge(size int) ([]byte, error) {
	if size > cap(c.large) {
		c.large = make([]byte, size)
	}
	_, err := c.r.Discard(sizeLen)
	_, readErr := io.ReadFull(c.r, c.large[:size])
	return c.large[:size], errors.Join(err, readErr)
}
