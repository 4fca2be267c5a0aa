package zeoload

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"

	"github.com/zrsd/zrsd/zodb"
)

const bufferLen = 64 << 10

// A Conn is a registered connection. It is for one goroutine.
type Conn struct {
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	buf  []byte   // the last message
	Last zodb.Tid // of the storage at registration
}

// Dial connects to the server at addr, which serves protocol Z5, and registers for a storage.
func Dial(ctx context.Context, addr, storage string, readOnly bool) (*Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &Conn{conn: conn, r: bufio.NewReaderSize(conn, bufferLen), w: bufio.NewWriterSize(conn, bufferLen)}
	if err := c.introduce(storage, readOnly); err != nil {
		_ = conn.Close() // given up
		return nil, fmt.Errorf("registering at %s: %w", addr, err)
	}
	return c, nil
}

// Close ends the connection, and a call of it that waits.
func (c *Conn) Close() error { return c.conn.Close() }

func (c *Conn) introduce(storage string, readOnly bool) error {
	hello, err := c.next()
	if err != nil {
		return err
	}
	if string(hello) != "Z5" {
		return fmt.Errorf("the server announces %q, not Z5", hello)
	}
	c.send(append([]byte{0, 0, 0, 2}, "Z5"...), registerCall(storage, readOnly))
	r, err := c.answer()
	if err != nil {
		return err
	}
	c.Last, err = r.tid()
	return err
}

// send puts messages into the buffer; an error shows at the next flush.
func (c *Conn) send(messages ...[]byte) {
	for _, m := range messages {
		_, _ = c.w.Write(m) // the writer remembers
	}
}

// answer returns the next reply, past what the server calls. Before it waits for one it sends what is buffered.
func (c *Conn) answer() (reply, error) {
	for {
		if !c.arrived() {
			if err := c.w.Flush(); err != nil {
				return reply{}, err
			}
		}
		r, err := c.receive()
		if err != nil || !r.call {
			return r, err
		}
	}
}

// arrived reports whether the next message is in the buffer, all of it.
func (c *Conn) arrived() bool {
	if c.r.Buffered() < sizeLen {
		return false
	}
	head, err := c.r.Peek(sizeLen)
	return err == nil && uint64(c.r.Buffered()) >= sizeLen+uint64(binary.BigEndian.Uint32(head))
}

func (c *Conn) receive() (reply, error) {
	body, err := c.next()
	if err != nil {
		return reply{}, err
	}
	return parse(body)
}

// next returns the next message, valid until the call after.
func (c *Conn) next() ([]byte, error) {
	var head [sizeLen]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	if int(n) > cap(c.buf) {
		c.buf = make([]byte, n)
	}
	c.buf = c.buf[:n]
	_, err := io.ReadFull(c.r, c.buf)
	return c.buf, err
}
