package protocol

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/zrsd/zrsd/zodb"
)

// A StreamKind says what a stream carries.
type StreamKind string

// The kinds of streams. Bulk of other sorts gets streams of its own, so that it never delays what is live.
const (
	StreamControl     StreamKind = "control"     // messages, both ways; the first stream of a session
	StreamReplication StreamKind = "replication" // transactions, from primary to secondary
	StreamRanges      StreamKind = "ranges"      // parts of files, asked for by the secondary; see RangeStream
)

// A StreamHeader is the first message on each stream, from the side that opened it: always the secondary.
type StreamHeader struct {
	Kind  StreamKind `msgpack:"-"`
	Start zodb.Tid   `msgpack:"start"` // the last transaction that the secondary has, 0 for none
	// Position is where that ends in its data file; of ranges only.
	Position int64 `msgpack:"position,omitempty"`
	// Digest is the one that the secondary would like to have; of ranges only.
	Digest string `msgpack:"digest,omitempty"`
	// Pack is how it would like to have answers compressed; of ranges only.
	Pack string `msgpack:"pack,omitempty"`
}

// maxHeader bounds a stream header, in bytes.
const maxHeader = 4096

// OpenStream opens a stream on s and writes its header. The peer may still close a stream whose kind it does not know.
func OpenStream(ctx context.Context, s *yamux.Session, h StreamHeader) (net.Conn, error) {
	payload, err := marshalMessage(string(h.Kind), &h)
	if err != nil {
		return nil, err
	}
	raw, err := s.OpenStream()
	if err != nil {
		return nil, fmt.Errorf("opening the %s stream: %w", h.Kind, err)
	}
	conn := newStream(raw)
	if err := withContext(ctx, conn.SetDeadline, func() error { return WriteSized(conn, payload) }); err != nil {
		_ = conn.Close() // the stream is of no use, whatever closing says
		return nil, fmt.Errorf("opening the %s stream: %w", h.Kind, err)
	}
	return conn, nil
}

// AcceptStream waits for the peer's next stream and reads its header. With a kind that it does not know, the caller
// closes the stream and goes on.
func AcceptStream(ctx context.Context, s *yamux.Session) (net.Conn, StreamHeader, error) {
	raw, err := s.AcceptStreamWithContext(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, StreamHeader{}, fmt.Errorf("waiting for a stream: %w", err)
	}
	conn := newStream(raw)
	var h StreamHeader
	err = withContext(ctx, conn.SetDeadline, func() error {
		payload, err := ReadSized(conn, nil, maxHeader)
		if err != nil {
			return err
		}
		kind, body, err := splitMessage(payload)
		if err != nil {
			return err
		}
		h.Kind = StreamKind(kind)
		return unmarshalBody(body, &h)
	})
	if err != nil {
		_ = conn.Close() // the stream is of no use, whatever closing says
		return nil, StreamHeader{}, fmt.Errorf("reading the header of a stream: %w", err)
	}
	return conn, h, nil
}

// A stream is a yamux stream that keeps two promises more.
//
// A write that times out closes the session. Half a frame may have left by then, of yamux's own framing as well as of
// ours, and a peer that takes nothing for so long is to be treated as dead.
//
// Close wakes a Read that waits, as that of every other net.Conn. yamux alone would let it wait for the peer's close.
type stream struct {
	*yamux.Stream
	closed *atomic.Bool
}

func newStream(s *yamux.Stream) stream { return stream{Stream: s, closed: new(atomic.Bool)} }

func (s stream) Read(b []byte) (int, error) {
	if s.closed.Load() {
		return 0, net.ErrClosed
	}
	n, err := s.Stream.Read(b)
	if err != nil && s.closed.Load() {
		err = net.ErrClosed
	}
	return n, err
}

func (s stream) Write(b []byte) (int, error) {
	n, err := s.Stream.Write(b)
	if err != nil && isTimeout(err) {
		_ = s.Session().Close() // returns nil always
	}
	return n, err
}

func (s stream) Close() error {
	s.closed.Store(true)
	return errors.Join(s.SetReadDeadline(time.Unix(1, 0)), s.Stream.Close())
}
