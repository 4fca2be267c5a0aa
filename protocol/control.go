package protocol

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// maxMessage is the most bytes that a message of the control stream may have.
const maxMessage = 1 << 20

// MessageVersion is the version of the messages that this package has. The first message of each side carries it.
const MessageVersion = 2

// keptBuffer is how much room for messages a Control keeps between two of them.
const keptBuffer = 64 << 10

// A Control sends and receives the messages of a control stream: Hello, Welcome, Refusal, Ack, Heartbeat and Goodbye,
// before them Authenticate, Challenge and Proof, and for changes of the primary StatusRequest, NodeStatus, VoteRequest,
// Vote, HandoverCheck, HandoverReady and TakeOver, and to compare copies HistoryQuery, HistoryAnswer, BlobQuery,
// BlobAnswer, RecordQuery and RecordAnswer, always as pointers. Send may be called concurrently, also with Receive;
// Receive is for one goroutine.
//
// With a peer of an older version of the messages it speaks that one, which its callers do not notice: what they send
// and receive is of MessageVersion. The peer's version is that of its last message that has one. Who speaks first
// chooses it with Speak.
type Control struct {
	conn    net.Conn
	timeout time.Duration

	version atomic.Int64  // of the messages that are sent
	asked   atomic.Uint64 // the epoch of the vote request that was sent last; 0: a status request

	sending sync.Mutex

	r      *bufio.Reader
	buf    []byte
	limit  int   // bytes of a message that is received; 0: maxMessage
	broken error // ends all further receiving
}

// NewControl returns a Control on stream, which is a control stream after its header. The caller closes the stream.
func NewControl(stream net.Conn) *Control {
	c := &Control{conn: stream, timeout: defaultWriteTimeout, r: bufio.NewReader(stream)}
	c.Speak(MessageVersion)
	return c
}

// Speak sets the version of the messages that are sent from now on.
func (c *Control) Speak(version int) { c.version.Store(int64(version)) }

// Limit bounds the messages that are received from now on, in bytes: room for one is made as soon as it is announced.
func (c *Control) Limit(bytes int) { c.limit = min(bytes, maxMessage) }

// Send writes one message. When the peer does not take it in time, the session is closed and the error is a timeout.
func (c *Control) Send(msg any) error {
	kind, err := kindOf(msg)
	if err != nil {
		return err
	}
	setChecksums(msg)
	body := msg
	if c.version.Load() == OldestVersion {
		kind, body = toV1(kind, msg)
		setChecksums(body)
	}
	payload, err := marshalMessage(kind, body)
	if err != nil {
		return err
	}
	if len(payload) > maxMessage {
		return &TooLargeError{What: kind + " message to send", Size: int64(len(payload)), Max: maxMessage}
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	c.remember(msg)
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return fmt.Errorf("sending a %s message: %w", kind, err)
	}
	if err := WriteSized(c.conn, payload); err != nil {
		return fmt.Errorf("sending a %s message: %w", kind, err)
	}
	return nil
}

// Receive waits for the next message and returns a pointer to it. The end
// of the stream is io.EOF. After an error that wraps ErrUnknownMessage it can be called again; every other error, the
// end of ctx included, is final.
func (c *Control) Receive(ctx context.Context) (any, error) {
	if c.broken != nil {
		return nil, c.broken
	}
	var msg any
	err := withContext(ctx, c.conn.SetReadDeadline, func() (err error) {
		msg, err = c.receive()
		return err
	})
	if err != nil {
		err = fmt.Errorf("receiving a message: %w", err)
		if !errors.Is(err, ErrUnknownMessage) {
			c.broken = err
		}
		return nil, err
	}
	return msg, nil
}

func (c *Control) receive() (any, error) {
	payload, err := ReadSized(c.r, c.buf, cmp.Or(c.limit, maxMessage))
	if err != nil {
		return nil, err
	}
	if cap(payload) <= keptBuffer {
		c.buf = payload[:0]
	}
	kind, body, err := splitMessage(payload)
	if err != nil {
		return nil, err
	}
	if err := c.hearVersion(kind, body); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	msg := c.newMessage(kind)
	if msg == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownMessage, truncate(kind, maxPreface))
	}
	if err := unmarshalBody(body, msg); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	if err := verifyChecksums(msg); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	if old, is := msg.(messageV1); is {
		return c.answered(old.current()), nil
	}
	return msg, nil
}

// remember notes what an answer of version 1 is the answer to: it does not say that.
func (c *Control) remember(msg any) {
	switch m := msg.(type) {
	case *StatusRequest:
		c.asked.Store(0)
	case *VoteRequest:
		c.asked.Store(m.Epoch)
	}
}

// answered makes a vote of a status that has come as the answer to a vote request.
func (c *Control) answered(msg any) any {
	status, is := msg.(*NodeStatus)
	if epoch := c.asked.Load(); is && epoch != 0 {
		return &Vote{Epoch: epoch, NodeStatus: *status}
	}
	return msg
}

// hearVersion takes the version of the peer from a message that has one.
func (c *Control) hearVersion(kind string, body []byte) error {
	switch kind {
	case kindHello, kindWelcome, kindHistoryQuery, kindStatusRequest, kindVoteRequest, kindBid:
	default:
		return nil
	}
	var says struct {
		Version int `msgpack:"version"`
	}
	if err := unmarshalBody(body, &says); err != nil {
		return err
	}
	if says.Version == OldestVersion {
		c.Speak(OldestVersion)
	} else {
		c.Speak(MessageVersion)
	}
	return nil
}

// newMessage returns an empty message of a kind, in the version that the peer speaks; nil: it has none of this kind.
func (c *Control) newMessage(kind string) any {
	if c.version.Load() != OldestVersion {
		return newMessage(kind)
	}
	if msg := newMessageV1(kind); msg != nil {
		return msg
	}
	return newMessage(kind)
}

// The kinds of messages, as they stand on the wire.
const (
	kindHello     = "hello"
	kindWelcome   = "welcome"
	kindRefusal   = "refused"
	kindAck       = "ack"
	kindHeartbeat = "heartbeat"
	kindGoodbye   = "goodbye"

	kindAuthenticate = "authenticate"
	kindChallenge    = "challenge"
	kindProof        = "proof"

	kindStatusRequest = "status_request"
	kindNodeStatus    = "node_status"
	kindVoteRequest   = "vote_request"
	kindVote          = "vote"
	kindHandoverCheck = "handover_check"
	kindHandoverReady = "handover_ready"
	kindTakeOver      = "take_over"

	kindHistoryQuery  = "history_query"
	kindHistoryAnswer = "history_answer"
	kindBlobQuery     = "blob_query"
	kindBlobAnswer    = "blob_answer"
	kindRecordQuery   = "record_query"
	kindRecordAnswer  = "record_answer"
)

func newMessage(kind string) any {
	switch kind {
	case kindHello:
		return new(Hello)
	case kindWelcome:
		return new(Welcome)
	case kindRefusal:
		return new(Refusal)
	case kindAck:
		return new(Ack)
	case kindHeartbeat:
		return new(Heartbeat)
	case kindGoodbye:
		return new(Goodbye)
	case kindAuthenticate:
		return new(Authenticate)
	case kindChallenge:
		return new(Challenge)
	case kindProof:
		return new(Proof)
	case kindStatusRequest:
		return new(StatusRequest)
	case kindNodeStatus:
		return new(NodeStatus)
	case kindVoteRequest:
		return new(VoteRequest)
	case kindVote:
		return new(Vote)
	case kindHandoverCheck:
		return new(HandoverCheck)
	case kindHandoverReady:
		return new(HandoverReady)
	case kindTakeOver:
		return new(TakeOver)
	case kindHistoryQuery:
		return new(HistoryQuery)
	case kindHistoryAnswer:
		return new(HistoryAnswer)
	case kindBlobQuery:
		return new(BlobQuery)
	case kindBlobAnswer:
		return new(BlobAnswer)
	case kindRecordQuery:
		return new(RecordQuery)
	case kindRecordAnswer:
		return new(RecordAnswer)
	}
	return nil
}

func kindOf(msg any) (string, error) {
	switch msg.(type) {
	case *Hello:
		return kindHello, nil
	case *Welcome:
		return kindWelcome, nil
	case *Refusal:
		return kindRefusal, nil
	case *Ack:
		return kindAck, nil
	case *Heartbeat:
		return kindHeartbeat, nil
	case *Goodbye:
		return kindGoodbye, nil
	case *Authenticate:
		return kindAuthenticate, nil
	case *Challenge:
		return kindChallenge, nil
	case *Proof:
		return kindProof, nil
	case *StatusRequest:
		return kindStatusRequest, nil
	case *NodeStatus:
		return kindNodeStatus, nil
	case *VoteRequest:
		return kindVoteRequest, nil
	case *Vote:
		return kindVote, nil
	case *HandoverCheck:
		return kindHandoverCheck, nil
	case *HandoverReady:
		return kindHandoverReady, nil
	case *TakeOver:
		return kindTakeOver, nil
	case *HistoryQuery:
		return kindHistoryQuery, nil
	case *HistoryAnswer:
		return kindHistoryAnswer, nil
	case *BlobQuery:
		return kindBlobQuery, nil
	case *BlobAnswer:
		return kindBlobAnswer, nil
	case *RecordQuery:
		return kindRecordQuery, nil
	case *RecordAnswer:
		return kindRecordAnswer, nil
	}
	return "", fmt.Errorf("%T is no message of the control stream", msg)
}
