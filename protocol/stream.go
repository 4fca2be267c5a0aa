package protocol

import (
	"context"
	"fmt"
	"net"

	"github.com/hashicorp/yamux"

	"github.com/zrsd/zrsd/zodb"
)

// A StreamKind says what a stream carries.
type StreamKind string

// The kinds of streams. Bulk of other sorts gets streams of its own later, so that it never delays the two that are
// live.
const (
	StreamControl     StreamKind = "control"     // messages, both ways; the first stream of a session
	StreamReplication StreamKind = "replication" // transactions, from primary to secondary
)

// A StreamHeader is the first message on each stream, from the side that opened it: always the secondary.
type StreamHeader struct {
	Kind  StreamKind `msgpack:"-"`
	Start zodb.Tid   `msgpack:"start"` // replication: the last transaction that the secondary has, 0 for none
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
	conn := stream{raw}
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
	conn := stream{raw}
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

// A stream is a yamux stream that closes its session when a write times out. Half a frame may have left by then, for
// yamux's own framing as well as for ours, and a peer that takes nothing for so long is to be treated as dead.
type stream struct{ *yamux.Stream }

func (s stream) Write(b []byte) (int, error) {
	n, err := s.Stream.Write(b)
	if err != nil && isTimeout(err) {
		_ = s.Session().Close() // returns nil always
	}
	return n, err
}
