package primary

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// limit is how long a test waits for what must happen.
const limit = 5 * time.Minute

// A running is a Primary that serves on a loopback socket until the test ends.
type running struct {
	*Primary
	addr string
}

const storageID = "7f6a1c22-storage"

// start fills in what a test leaves open.
func start(t *testing.T, src Source, opt Options) *running {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if opt.Identity == nil {
		opt.Identity = func() (string, []protocol.Epoch) { return storageID, []protocol.Epoch{{Number: 1}} }
	}
	if opt.Heartbeat == 0 {
		opt.Heartbeat = 10 * time.Millisecond
	}
	p := New(src, opt)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return &running{Primary: p, addr: l.Addr().String()}
}

// A client is a secondary as the protocol sees one.
type client struct {
	t       *testing.T
	ctx     context.Context
	conn    net.Conn
	session *yamux.Session
	control *protocol.Control
	decoder interface {
		Next() (zodb.Transaction, error)
	}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// connect goes as far as the first message.
func connect(t *testing.T, addr string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	c := &client{t: t, ctx: ctx, conn: dial(t, addr)}
	if err := protocol.ClientPreface(ctx, c.conn); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.session, err = protocol.ClientSession(c.conn, protocol.SessionOptions{Window: 256 << 10}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.hangUp)
	s, err := protocol.OpenStream(ctx, c.session, protocol.StreamHeader{Kind: protocol.StreamControl})
	if err != nil {
		t.Fatal(err)
	}
	c.control = protocol.NewControl(s)
	return c
}

func (c *client) hangUp() { _ = c.session.Close() }

// hello returns what a well-behaved secondary with this last transaction says.
func hello(last protocol.Position) *protocol.Hello {
	return &protocol.Hello{Version: protocol.MessageVersion, StorageID: storageID, Last: last, Magic: zodb.MagicFS30,
		Blobs: true, Name: "test"}
}

// ask sends a message and returns the answer.
func (c *client) ask(h any) any {
	c.t.Helper()
	if err := c.control.Send(h); err != nil {
		c.t.Fatal(err)
	}
	return c.receive()
}

func (c *client) receive() any {
	c.t.Helper()
	msg, err := c.control.Receive(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return msg
}

// follow connects with h and opens the replication stream.
func follow(t *testing.T, addr string, h *protocol.Hello) *client {
	t.Helper()
	c := connect(t, addr)
	if msg, ok := c.ask(h).(*protocol.Welcome); !ok {
		t.Fatalf("answer to hello: %#v", msg)
	}
	s, err := protocol.OpenStream(c.ctx, c.session, protocol.StreamHeader{Kind: protocol.StreamReplication,
		Start: h.Last.Tid})
	if err != nil {
		t.Fatal(err)
	}
	c.decoder = protocol.NewDecoder(s, h.Last.Tid, protocol.Limits{})
	return c
}

// next reads the next transaction and returns its tid.
func (c *client) next() zodb.Tid {
	c.t.Helper()
	txn, err := c.decoder.Next()
	if err != nil {
		c.t.Fatal(err)
	}
	for {
		if _, err := txn.NextRecord(); errors.Is(err, io.EOF) {
			return txn.Meta().Tid
		} else if err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *client) ack(tid zodb.Tid) {
	c.t.Helper()
	if err := c.control.Send(&protocol.Ack{Applied: tid, Durable: tid}); err != nil {
		c.t.Fatal(err)
	}
}

// until receives messages until one is of type T.
func until[T any](c *client) T {
	c.t.Helper()
	for {
		if msg, ok := c.receive().(T); ok {
			return msg
		}
	}
}

// eventually waits until the status is as ok wants it.
func (r *running) eventually(t *testing.T, what string, ok func(Status) bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for !ok(r.Status()) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never happened: %s; status %+v", what, r.Status())
		}
	}
}

// only returns the status of the one secondary, the zero value when there is none or more.
func only(s Status) SecondaryStatus {
	if len(s.Secondaries) != 1 {
		return SecondaryStatus{}
	}
	return s.Secondaries[0]
}
