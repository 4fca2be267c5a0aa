package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// ErrClosed is the end of a connection that Close has ended.
var ErrClosed = errors.New("connection to the ZEO server is closed")

// A Conn is a registered connection. Its methods may be called concurrently; there is one transaction at a time.
type Conn struct {
	addr       string
	conn       net.Conn
	codec      wire.Codec
	opt        *Options
	registered zodb.Tid

	writing sync.Mutex // guards out; is locked before mu
	out     []byte     // messages that are yet to be written

	reader sync.WaitGroup
	in     *bufio.Reader // of the one who reads
	asked  []byte        // calls of the reader that it has yet to write; nobody else knows of them

	mu      sync.Mutex
	lastID  int64
	pending map[int64]call          // calls under way; the reader hands over their replies
	loads   map[wire.Load]loadQueue // loads under way
	blobs   map[blobRevision]*fetch // blobs that are being fetched
	err     error                   // why the connection has ended
	done    chan struct{}           // closed then
}

// A call is one whose reply goes to handle, which the reader calls.
type call struct {
	method string
	handle func(reply)
}

// A reply is what a call returned.
type reply struct {
	value pickle.Value
	err   error
}

func newConn(addr string, conn net.Conn, codec wire.Codec, opt *Options) *Conn {
	c := &Conn{
		addr: addr, conn: conn, codec: codec, opt: opt,
		pending: make(map[int64]call), loads: make(map[wire.Load]loadQueue),
		blobs: make(map[blobRevision]*fetch), done: make(chan struct{}), in: bufio.NewReaderSize(conn, readLen),
	}
	if !opt.Inline {
		c.reader.Go(func() { c.end(c.read()) })
	}
	return c
}

// Addr returns the address of the server, as it was given to Dial.
func (c *Conn) Addr() string { return c.addr }

// Registered returns the last transaction of the storage when the client was registered, 0 for none. All later ones
// that others commit are announced.
func (c *Conn) Registered() zodb.Tid { return c.registered }

// Done is closed when the connection has ended, for whatever reason.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err returns why the connection has ended, nil before that.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection and all calls that are under way. Nothing is announced after it has returned.
func (c *Conn) Close() {
	c.end(ErrClosed)
	c.reader.Wait()
}

// end ends the connection. The first reason counts.
func (c *Conn) end(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = reason
		_ = c.conn.Close() // of no use any more
		close(c.done)
	}
}

// until lets the connection end when ctx does, until the function returned is called.
func (c *Conn) until(ctx context.Context) func() bool {
	if ctx.Done() == nil { // it never ends
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, func() { c.end(context.Cause(ctx)) })
}

// call waits for the reply to a call.
func (c *Conn) call(ctx context.Context, method string, args ...pickle.Value) (pickle.Value, error) {
	defer c.until(ctx)()
	answer := make(chan reply, 1)
	if err := c.send(c.expect(func(r reply) { answer <- r }, method, args...)); err != nil {
		return nil, err
	}
	r := c.await(answer, method)
	return r.value, r.err
}

// expect makes a message of a call whose reply goes to handle, which the reader calls.
func (c *Conn) expect(handle func(reply), method string, args ...pickle.Value) *wire.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastID++
	c.pending[c.lastID] = call{method, handle}
	return &wire.Message{ID: c.lastID, Method: method, Args: pickle.Tuple(args)}
}

// goOn makes a call with the reply to another: the reader writes it before it waits.
func (c *Conn) goOn(handle func(reply), method string, args ...pickle.Value) {
	b, err := c.codec.Append(c.asked, c.expect(handle, method, args...))
	if err != nil {
		handle(reply{err: fmt.Errorf("%s: writing its arguments: %w", method, err)})
		return
	}
	c.asked = b
}

// await returns what came, or why nothing comes any more to what was asked for.
func (c *Conn) await(answer <-chan reply, what string) reply {
	for c.opt.Inline && len(answer) == 0 {
		if err := c.readOne(); err != nil {
			c.end(err)
			break
		}
	}
	select {
	case r := <-answer:
		return r
	case <-c.done:
	}
	select {
	case r := <-answer: // just before the end
		return r
	default:
		return reply{err: fmt.Errorf("%s: %w", what, &endedError{c.Err()})}
	}
}

// tell makes a call that has no reply. It may be sent together with the next one: then nothing waits, and a context
// that has not ended is not looked at any more.
func (c *Conn) tell(ctx context.Context, method string, args ...pickle.Value) error {
	if ctx.Err() != nil {
		c.end(context.Cause(ctx))
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.put(wire.Call(method, args...)); err != nil {
		return err
	}
	if len(c.out) < writeLen {
		return nil
	}
	defer c.until(ctx)()
	return named(method, c.flush())
}

const (
	writeLen = 8 << 10   // so much is written without a call that waits for its reply
	keepLen  = 128 << 10 // the longest buffer that is kept: more than a part of a blob
)

// send writes a message after those that wait for it.
func (c *Conn) send(m *wire.Message) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.put(m); err != nil {
		return err
	}
	return named(m.Method, c.flush())
}

// put puts a message after those that are yet to be written. writing is locked.
func (c *Conn) put(m *wire.Message) error {
	if err := c.Err(); err != nil {
		return named(m.Method, &endedError{err})
	}
	b, err := c.codec.Append(c.out, m)
	if err != nil {
		return fmt.Errorf("%s: writing its arguments: %w", m.Method, err)
	}
	c.out = b
	return nil
}

// named says in which call an error was.
func named(method string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", method, err)
}

// flush writes the messages that wait for it. writing is locked. What was not written as a whole ends the connection.
func (c *Conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.conn.Write(c.out)
	if c.out = c.out[:0]; cap(c.out) > keepLen {
		c.out = nil
	}
	if err != nil {
		c.end(err)
		return &endedError{c.Err()}
	}
	return nil
}
