package feed

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zrsd/zrsd/zodb"
)

// JetStream is a sink that publishes each transaction into a stream of NATS, which nobody else writes. The last message
// of the stream is the cursor: data and cursor are the same message.
//
//	stream   1 tid A │ 2 tid B │ 3 tid C       Cursor: C
//	publish          4 tid D, if the last sequence is 3;  5 tid E, if it is 4; …
//
// A message is taken only as the next one of the stream, so that what a killed process has still under way, an answer
// that was lost, or a second feed make no message come twice or out of order. After any trouble the sink asks the
// stream where it is, and goes on from there.
type JetStream struct {
	conn    *nats.Conn
	js      jetstream.JetStream
	stream  string
	subject string
	trouble func(error)
	last    zodb.Tid // of the last message; 0: there is none
	seq     uint64   // its sequence
}

const (
	tidHeader  = "Zrsd-Tid"
	natsUnacks = 64               // messages that wait for their acknowledgement
	natsWait   = 10 * time.Second // for an answer
)

// OpenJetStream connects to a server at nats://[USER:PASSWORD@]HOST:PORT/STREAM/SUBJECT; the stream must be there, and
// take that subject. Trouble is told why something is tried again.
func OpenJetStream(ctx context.Context, address string, trouble func(error)) (*JetStream, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	stream, subject, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if !ok || stream == "" || subject == "" || u.Host == "" {
		return nil, fmt.Errorf("%s: give nats://HOST:PORT/STREAM/SUBJECT", u.Redacted())
	}
	u.Path = ""
	conn, err := nats.Connect(u.String(), nats.Name("zrsd feed"), nats.MaxReconnects(-1), nats.Timeout(natsWait))
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", u.Host, err)
	}
	s := &JetStream{conn: conn, stream: stream, subject: subject, trouble: trouble}
	s.js, err = jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(natsUnacks))
	if err == nil {
		err = s.resume(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

// resume asks the stream for its last message.
func (s *JetStream) resume(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, natsWait)
	defer cancel()
	stream, err := s.js.Stream(ctx, s.stream)
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", s.stream, err)
	}
	state := stream.CachedInfo().State
	s.last, s.seq = 0, state.LastSeq
	if state.LastSeq == 0 {
		return nil
	}
	msg, err := stream.GetMsg(ctx, state.LastSeq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("%v %w: it no longer has its last message, which is the cursor: use a new stream, with "+
			"limits that keep at least one message", s, errFinal)
	}
	if err != nil {
		return fmt.Errorf("read message %d of stream %s: %w", state.LastSeq, s.stream, err)
	}
	if s.last, err = zodb.ParseTid(msg.Header.Get(tidHeader)); err != nil || msg.Subject != s.subject {
		return fmt.Errorf("%v %w: message %d, of subject %.100q, is no transaction: a feed needs a stream of its own",
			s, errFinal, state.LastSeq, msg.Subject)
	}
	return nil
}

// Cursor is of Sink.
func (s *JetStream) Cursor(context.Context) (tid zodb.Tid, ok bool, err error) {
	return s.last, s.seq > 0, nil
}

// Put is of Sink. It ends when all lines were taken, when the stream has something else, or with ctx.
func (s *JetStream) Put(ctx context.Context, lines []Line) error {
	for _, line := range lines {
		if size := int64(len(line.JSON)); size > s.conn.MaxPayload() {
			return fmt.Errorf("transaction %v has %d bytes, and the NATS server takes %d: raise its max_payload, or "+
				"choose objects with --class", line.Tid, size, s.conn.MaxPayload())
		}
	}
	return publishAll(ctx, s, lines, s.trouble)
}

func (s *JetStream) position() zodb.Tid { return s.last }

// String is of fmt.Stringer.
func (s *JetStream) String() string { return "stream " + s.stream }

// publish sends lines, each as the next one of the stream, and waits until all are stored. On an error some may be.
func (s *JetStream) publish(ctx context.Context, lines []Line) error {
	var sent []jetstream.PubAckFuture
	var failed error
	for i, line := range lines {
		msg := nats.NewMsg(s.subject)
		msg.Data = line.JSON
		msg.Header.Set(tidHeader, line.Tid.String())
		future, err := s.js.PublishMsgAsync(msg, jetstream.WithExpectStream(s.stream),
			jetstream.WithExpectLastSequence(s.seq+uint64(i)), jetstream.WithMsgID(line.Tid.String()))
		if err != nil {
			failed = err
			break
		}
		sent = append(sent, future)
	}
	for i, future := range sent {
		if err := stored(ctx, future, s.seq+uint64(i)+1); err != nil {
			return err
		}
	}
	if failed == nil {
		s.seq += uint64(len(lines))
		s.last = lines[len(lines)-1].Tid
	}
	return failed
}

var errNoAck = fmt.Errorf("no acknowledgement in %v", natsWait)

// stored waits until a message is, as number seq. The server may have had it already, from a process that was killed.
func stored(ctx context.Context, future jetstream.PubAckFuture, seq uint64) error {
	timeout := time.NewTimer(natsWait)
	defer timeout.Stop()
	select {
	case ack := <-future.Ok():
		if ack.Sequence != seq {
			return fmt.Errorf("it is message %d of the stream, and should be %d", ack.Sequence, seq)
		}
		return nil
	case err := <-future.Err():
		return err
	case <-timeout.C:
		return errNoAck
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close ends the connection.
func (s *JetStream) Close() error {
	s.conn.Close()
	return nil
}
