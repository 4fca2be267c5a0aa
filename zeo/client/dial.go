package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/service"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// Options of a connection. Zero values mean the defaults.
type Options struct {
	Storage  string // its name at the server; default "1"
	ReadOnly bool   // take servers that refuse writers, too, and refuse to write

	// Invalidated is called for every transaction that another client commits, in order, by the goroutine that reads.
	// It must neither block nor call the Conn. May be nil.
	Invalidated func(tid zodb.Tid, oids []zodb.Oid)

	// AsyncBegin lets Begin send tpc_begin without waiting for its answer, as ZEO's own client does: a round trip less
	// for each transaction. A server that refuses one then ends the connection, without a word why.
	AsyncBegin bool

	// Inline has nobody read what the server sends but the goroutine that waits for a reply: less to do for each call.
	// The Conn is for one goroutine then, which must not be away for long: servers disconnect who does not read. Loads
	// and FetchBlob are not for it.
	Inline bool

	// Timeout is how long each address may take until it has taken the client; default 10 s.
	Timeout time.Duration
	// Dial connects to one of the addresses; default: as package endpoint reads them, without TLS.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
}

func (o Options) withDefaults() Options {
	if o.Storage == "" {
		o.Storage = "1"
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Dial == nil {
		o.Dial = dial
	}
	return o
}

func dial(ctx context.Context, addr string) (net.Conn, error) {
	e, err := endpoint.Parse(addr)
	if err != nil {
		return nil, err
	}
	return e.Dial(ctx)
}

// Dial connects to the first of the addresses that takes the client, in their order, each tried once. The error is why
// each of them did not: zodb.ErrReadOnly, for one that takes no writers, among others.
func Dial(ctx context.Context, addrs []string, opt Options) (*Conn, error) {
	opt = opt.withDefaults()
	refused := []error{}
	for _, addr := range addrs {
		c, err := enter(ctx, addr, &opt)
		if err == nil {
			return c, nil
		}
		refused = append(refused, fmt.Errorf("ZEO server at %s: %w", addr, err))
		if ctx.Err() != nil {
			break
		}
	}
	if len(refused) == 0 {
		return nil, errors.New("no address of a ZEO server was given")
	}
	return nil, errors.Join(refused...)
}

// enter connects to one address and registers.
func enter(ctx context.Context, addr string, opt *Options) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, opt.Timeout)
	defer cancel()
	conn, err := opt.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	codec, err := greet(ctx, conn)
	if err != nil {
		_ = conn.Close() // given up
		return nil, err
	}
	c := newConn(addr, conn, codec, opt)
	if err := c.register(ctx, opt.Storage); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// maxGreeting is the length of the longest name of a protocol.
const maxGreeting = 100

// greet takes the encoding that the server announces.
func greet(ctx context.Context, conn net.Conn) (wire.Codec, error) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // ends the wait
	announced, err := wire.Read(conn, maxGreeting)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("it said nothing, where a ZEO server speaks first: %w", context.Cause(ctx))
	case err != nil:
		return nil, fmt.Errorf("waiting for its protocol: %w", otherService(err))
	}
	codec, known := wire.CodecFor(string(announced))
	if !known {
		return nil, fmt.Errorf("it speaks %q, and this client %s and %s", announced, wire.Z5, wire.M5)
	}
	if _, err := conn.Write(wire.AppendRaw(nil, announced)); err != nil {
		return nil, fmt.Errorf("answering its protocol: %w", errors.Join(err, context.Cause(ctx)))
	}
	return codec, nil
}

// otherService says which service it is whose first bytes were no message of ZEO.
func otherService(err error) error {
	var large *wire.SizeError
	if errors.As(err, &large) {
		first := binary.BigEndian.AppendUint32(nil, uint32(large.Size))
		if other := service.Check(first, service.WantZEO); other != nil {
			return other
		}
	}
	return err
}

// register names the storage. Tid is that of its last transaction: all later ones are announced.
func (c *Conn) register(ctx context.Context, storage string) error {
	v, err := c.call(ctx, "register", storage, c.opt.ReadOnly)
	if err != nil {
		return err
	}
	if v == nil { // the storage is empty, or the client is to try the other addresses: then this is the end
		if v, err = c.call(ctx, "lastTransaction"); v == nil || err != nil {
			return err
		}
	}
	c.registered, err = tidOf(v)
	return err
}
