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

// maxMessage bounds what the server may send at once: as much as it takes itself.
const maxMessage = 512 << 20

// ErrClosed is the end of a connection that Close has ended.
var ErrClosed = errors.New("connection to the ZEO server is closed")

// A Conn is a registered connection. Its methods may be called concurrently; there is one transaction at a time.
type Conn struct {
	addr       string
	conn       net.Conn
	codec      wire.Codec
	opt        *Options
	registered zodb.Tid

	writing sync.Mutex // one message after the other
	reader  sync.WaitGroup

	mu      sync.Mutex
	lastID  int64
	pending map[int64]chan<- reply // calls under way; each has room for its reply
	err     error                  // why the connection has ended
	done    chan struct{}          // closed then
}

// A reply is what a call returned.
type reply struct {
	value pickle.Value
	err   error
}

func newConn(addr string, conn net.Conn, codec wire.Codec, opt *Options) *Conn {
	c := &Conn{
		addr: addr, conn: conn, codec: codec, opt: opt,
		pending: make(map[int64]chan<- reply), done: make(chan struct{}),
	}
	c.reader.Go(func() { c.end(c.read()) })
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
	return context.AfterFunc(ctx, func() { c.end(context.Cause(ctx)) })
}

// call waits for the reply to a call.
func (c *Conn) call(ctx context.Context, method string, args ...pickle.Value) (pickle.Value, error) {
	defer c.until(ctx)()
	answer := make(chan reply, 1)
	c.mu.Lock()
	c.lastID++
	id := c.lastID
	c.pending[id] = answer
	c.mu.Unlock()
	err := c.send(&wire.Message{ID: id, Method: method, Args: pickle.Tuple(args)})
	if err != nil {
		return nil, err
	}
	r := c.await(answer)
	if r.err != nil {
		r.err = fmt.Errorf("%s: %w", method, r.err)
	}
	return r.value, r.err
}

// await returns what came, or why nothing comes any more.
func (c *Conn) await(answer <-chan reply) reply {
	select {
	case r := <-answer:
		return r
	case <-c.done:
	}
	select {
	case r := <-answer: // just before the end
		return r
	default:
		return reply{err: &endedError{c.Err()}}
	}
}

// tell makes a call that has no reply.
func (c *Conn) tell(ctx context.Context, method string, args ...pickle.Value) error {
	defer c.until(ctx)()
	return c.send(wire.Call(method, args...))
}

// send writes a message. One that was not written as a whole ends the connection.
func (c *Conn) send(m *wire.Message) error {
	b, err := c.codec.Append(nil, m)
	if err != nil {
		return fmt.Errorf("%s: writing its arguments: %w", m.Method, err)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if _, err := c.conn.Write(b); err != nil {
		c.end(err)
		return fmt.Errorf("%s: %w", m.Method, &endedError{c.Err()})
	}
	return nil
}

// read takes what the server sends until that ends, and returns why.
func (c *Conn) read() error {
	r := bufio.NewReader(c.conn)
	for {
		body, err := wire.Read(r, maxMessage)
		if err != nil {
			return fmt.Errorf("reading from the ZEO server: %w", err)
		}
		m, err := c.codec.Decode(body)
		if err != nil {
			return fmt.Errorf("a message of the ZEO server: %w", err)
		}
		if m.IsReply() {
			c.answered(m)
		} else if err := c.told(m); err != nil {
			return err
		}
	}
}

// answered hands a reply to its caller.
func (c *Conn) answered(m *wire.Message) {
	id, _ := m.ID.(int64)
	c.mu.Lock()
	answer := c.pending[id]
	delete(c.pending, id)
	c.mu.Unlock()
	if answer != nil {
		answer <- replyOf(m)
	}
}

// told takes a call of the server's.
func (c *Conn) told(m *wire.Message) error {
	if m.Method != "invalidateTransaction" {
		return nil // of nothing that is kept here
	}
	args, _ := m.Args.(pickle.Tuple)
	if len(args) != 2 {
		return fmt.Errorf("an invalidation of %d arguments: %w", len(args), errReply)
	}
	tid, err := tidOf(args[0])
	oids, err2 := oidsOf(args[1])
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("an invalidation: %w", err)
	}
	c.opt.Invalidated(tid, oids)
	return nil
}
