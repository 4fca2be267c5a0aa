package hashchain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A Remote is the chain of another node, which is asked over its replication port. It is for one goroutine. When a
// question has failed otherwise than by an *UnknownError, further ones fail, too.
type Remote struct {
	name    string // of the one who asks
	dial    func(context.Context) (net.Conn, error)
	secret  protocol.Secret
	session *yamux.Session
	control *protocol.Control
	version int // of the messages, on all connections
	asked   int // on this connection

	last protocol.HistoryAnswer
}

// Dial returns the chain of the node that dial connects to. The secret, if there is one, is proved to it. Name says to
// its operator who asks. The caller closes the Remote.
func Dial(ctx context.Context, dial func(context.Context) (net.Conn, error), secret protocol.Secret, name string) (
	*Remote, error) {
	r := &Remote{name: name, dial: dial, secret: secret, version: protocol.MessageVersion}
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// connectWithin bounds the time for a connection on which a node can be asked. What it says until then costs a node
// nothing, so one that does not say it in this time does nothing else either.
const connectWithin = 10 * time.Second

// A SilentError says that a node takes no connection, or takes one and says nothing.
type SilentError struct{ For time.Duration }

func (e *SilentError) Error() string {
	return fmt.Sprintf("no answer within %v: its machine does not answer, or the process there hangs or is stopped",
		e.For)
}

// Timeout is net.Error's.
func (*SilentError) Timeout() bool { return true }

func (r *Remote) connect(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	err := r.greet(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return &SilentError{connectWithin}
	}
	return err
}

// greet begins a session.
func (r *Remote) greet(ctx context.Context) error {
	conn, err := r.dial(ctx)
	if err != nil {
		return err
	}
	r.session, r.control, err = protocol.Call(ctx, conn, r.secret, protocol.SessionOptions{})
	r.asked = 0
	if err == nil {
		r.control.Speak(r.version)
	}
	return err
}

// Close ends the connection.
func (r *Remote) Close() error {
	if r.session == nil {
		return nil
	}
	return r.session.Close()
}

// Alive reports whether the connection is there.
func (r *Remote) Alive() bool { return r.session != nil && !r.session.IsClosed() }

// Node returns what the node said of itself: its name, and the id of its storage. They are empty before a question.
func (r *Remote) Node() (name, storageID string) { return r.last.Name, r.last.StorageID }

// Span is Chain.
func (r *Remote) Span(ctx context.Context) (Span, error) {
	a, err := r.ask(ctx, 0, 0)
	if err != nil {
		return Span{}, err
	}
	return Span{Base: a.Base, Last: a.Last}, nil
}

// At is Chain. At tid 0 there is nothing to ask for.
func (r *Remote) At(ctx context.Context, base, tid zodb.Tid) (Point, error) {
	if tid == 0 {
		return Point{}, nil
	}
	a, err := r.ask(ctx, base, tid)
	if err != nil {
		return Point{}, err
	}
	if a.Tid > tid || a.Tid < base {
		return Point{}, fmt.Errorf("asked for %v from %v, it answered with %v", tid, base, a.Tid)
	}
	return Point{a.Tid, a.Count, a.Value}, nil
}

// ask asks one question, on a new connection when the node answers no more on this one, or only in an older version.
func (r *Remote) ask(ctx context.Context, base, tid zodb.Tid) (*protocol.HistoryAnswer, error) {
	if r.asked == protocol.MaxHistoryQueries {
		if err := r.reconnect(ctx); err != nil {
			return nil, err
		}
	}
	if r.version != protocol.MessageVersion {
		return r.askHere(ctx, base, tid)
	}
	return protocol.InVersions(func(version int) (*protocol.HistoryAnswer, error) {
		if version != r.version {
			r.version = version
			if err := r.reconnect(ctx); err != nil {
				return nil, err
			}
		}
		return r.askHere(ctx, base, tid)
	})
}

func (r *Remote) reconnect(ctx context.Context) error { return errors.Join(r.Close(), r.connect(ctx)) }

// askHere asks on the present connection.
func (r *Remote) askHere(ctx context.Context, base, tid zodb.Tid) (*protocol.HistoryAnswer, error) {
	query := &protocol.HistoryQuery{Version: protocol.MessageVersion, Name: r.name, Base: base, Tid: tid}
	msg, err := r.exchange(ctx, query)
	if err != nil {
		return nil, err
	}
	m, is := msg.(*protocol.HistoryAnswer)
	if !is {
		return nil, fmt.Errorf("it answered a question about its history with a %T", msg)
	}
	r.last = *m
	if m.Unknown != "" {
		return nil, &UnknownError{base, tid, m.Unknown}
	}
	return m, nil
}

// exchange sends a question and returns the answer. A Refusal is an error.
func (r *Remote) exchange(ctx context.Context, query any) (any, error) {
	if r.session == nil {
		return nil, errors.New("the connection to the node is lost")
	}
	r.asked++
	defer context.AfterFunc(ctx, func() { _ = r.session.Close() })() // wakes whoever waits in the middle of a frame
	if err := r.control.Send(query); err != nil {
		return nil, err
	}
	msg, err := r.control.Receive(ctx)
	if err != nil {
		return nil, err
	}
	if refusal, refused := msg.(*protocol.Refusal); refused {
		return nil, refusal
	}
	return msg, nil
}

// begin makes a connection that can be asked about other things than the history.
func (r *Remote) begin(ctx context.Context) error {
	if r.asked == protocol.MaxHistoryQueries {
		if err := r.reconnect(ctx); err != nil {
			return err
		}
	}
	if r.asked > 0 {
		return nil
	}
	_, err := r.Span(ctx) // a connection begins with such a question
	return err
}

// ErrNoBlobs says that a node compares no blobs, or is of a version that does not.
var ErrNoBlobs = errors.New("the node compares no blobs: it has none of its own, or is of an older version")

// Blobs asks the node whether it has noted other content of blobs.
func (r *Remote) Blobs(ctx context.Context, query *protocol.BlobQuery) (*protocol.BlobAnswer, error) {
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	if !r.last.Blobs {
		return nil, ErrNoBlobs
	}
	msg, err := r.exchange(ctx, query)
	if err != nil {
		return nil, err
	}
	answer, is := msg.(*protocol.BlobAnswer)
	if !is {
		return nil, fmt.Errorf("it answered a question about blobs with a %T", msg)
	}
	if answer.Unknown != "" {
		return nil, errors.New(answer.Unknown)
	}
	return answer, answer.Check(query.Len())
}

// ErrNoRecords says that a node does not tell which records it has, or is of a version that does not.
var ErrNoRecords = errors.New("the node does not tell which records it has: it may be of an older version")

// Records asks the node which of some revisions its data file has.
func (r *Remote) Records(ctx context.Context, query *protocol.RecordQuery) (*protocol.RecordAnswer, error) {
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	if !r.last.Records {
		return nil, ErrNoRecords
	}
	msg, err := r.exchange(ctx, query)
	if err != nil {
		return nil, err
	}
	answer, is := msg.(*protocol.RecordAnswer)
	if !is {
		return nil, fmt.Errorf("it answered a question about records with a %T", msg)
	}
	if answer.Unknown != "" {
		return nil, errors.New(answer.Unknown)
	}
	return answer, answer.Check(query.Len())
}

// ErrNoRanges says that a node gives no parts of its data file, or is of a version that does not.
var ErrNoRanges = errors.New("the node gives no parts of its data file: it has none, or is of an older version")

// Ranges opens a stream of parts of the node's data file, and of its blobs, for who has a file in which transaction tid
// ends at pos. The answer may be a refusal, as where it ends elsewhere in the node's file. The caller closes the stream
// before it asks for another one.
func (r *Remote) Ranges(ctx context.Context, tid zodb.Tid, pos int64) (*protocol.RangeStream, *protocol.RangesHead,
	error) {
	return r.ranges(ctx, protocol.StreamHeader{Kind: protocol.StreamRanges, Start: tid, Position: pos})
}

// Data reports whether the node gives the data of single records, by a protocol.RecordRequest on a stream of Ranges.
// One of an older version does not.
func (r *Remote) Data() bool { return r.last.Ranges && r.last.Data }

// firstTransaction is where every data file has its first one.
const firstTransaction = 4

// BlobRanges is Ranges for who wants blobs, wherever the histories are. Digests are those of a seed, XXH64 where the
// node knows it: SHA-256 on both sides would take more time than all else.
func (r *Remote) BlobRanges(ctx context.Context) (*protocol.RangeStream, *protocol.RangesHead, error) {
	return r.ranges(ctx, protocol.StreamHeader{
		Kind: protocol.StreamRanges, Position: firstTransaction, Digest: protocol.DigestXX,
	})
}

func (r *Remote) ranges(ctx context.Context, h protocol.StreamHeader) (*protocol.RangeStream, *protocol.RangesHead,
	error) {
	if r.session == nil || r.session.IsClosed() || !r.last.Ranges {
		return nil, nil, ErrNoRanges
	}
	defer context.AfterFunc(ctx, func() { _ = r.session.Close() })()
	conn, err := protocol.OpenStream(ctx, r.session, h)
	if err != nil {
		return nil, nil, err
	}
	stream := protocol.NewRangeStream(conn)
	head, err := stream.ReceiveHead()
	if err != nil {
		return nil, nil, errors.Join(err, stream.Close())
	}
	return stream, head, nil
}
