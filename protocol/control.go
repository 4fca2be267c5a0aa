package protocol

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// maxMessage is the most bytes that a message of the control stream may have.
const maxMessage = 1 << 20

// MessageVersion is the version of the messages that this package has. Hello and Welcome carry it.
const MessageVersion = 1

// keptBuffer is how much room for messages a Control keeps between two of them.
const keptBuffer = 64 << 10

// A Control sends and receives the messages of a control stream: Hello, Welcome, Refusal, Ack, Heartbeat and Goodbye,
// before them Authenticate, Challenge and Proof, and for changes of the primary Bid, Promise, Prepare, Prepared and
// TakeOver, and to compare histories HistoryQuery and HistoryAnswer, always as pointers. Send may be called
// concurrently, also with Receive; Receive is for one goroutine.
type Control struct {
	conn    net.Conn
	timeout time.Duration

	sending sync.Mutex

	r      *bufio.Reader
	buf    []byte
	limit  int   // bytes of a message that is received; 0: maxMessage
	broken error // ends all further receiving
}

// NewControl returns a Control on stream, which is a control stream behind its header. The caller closes the stream.
func NewControl(stream net.Conn) *Control {
	return &Control{conn: stream, timeout: defaultWriteTimeout, r: bufio.NewReader(stream)}
}

// Limit bounds the messages that are received from now on, in bytes: room for one is made as soon as it is announced.
func (c *Control) Limit(bytes int) { c.limit = min(bytes, maxMessage) }

// Send writes one message. When the peer does not take it in time, the session is closed and the error is a timeout.
func (c *Control) Send(msg any) error {
	kind, err := kindOf(msg)
	if err != nil {
		return err
	}
	setChecksums(msg)
	payload, err := marshalMessage(kind, msg)
	if err != nil {
		return err
	}
	if len(payload) > maxMessage {
		return &TooLargeError{What: kind + " message to send", Size: int64(len(payload)), Max: maxMessage}
	}
	c.sending.Lock()
	defer c.sending.Unlock()
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
	msg := newMessage(kind)
	if msg == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownMessage, truncate(kind, maxPreface))
	}
	if err := unmarshalBody(body, msg); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	if err := verifyChecksums(msg); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return msg, nil
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

	kindBid      = "bid"
	kindPromise  = "promise"
	kindPrepare  = "prepare"
	kindPrepared = "prepared"
	kindTakeOver = "take_over"

	kindHistoryQuery  = "history_query"
	kindHistoryAnswer = "history_answer"
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
	case kindBid:
		return new(VoteRequest)
	case kindPromise:
		return new(NodeStatus)
	case kindPrepare:
		return new(HandoverCheck)
	case kindPrepared:
		return new(HandoverReady)
	case kindTakeOver:
		return new(TakeOver)
	case kindHistoryQuery:
		return new(HistoryQuery)
	case kindHistoryAnswer:
		return new(HistoryAnswer)
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
	case *VoteRequest:
		return kindBid, nil
	case *NodeStatus:
		return kindPromise, nil
	case *HandoverCheck:
		return kindPrepare, nil
	case *HandoverReady:
		return kindPrepared, nil
	case *TakeOver:
		return kindTakeOver, nil
	case *HistoryQuery:
		return kindHistoryQuery, nil
	case *HistoryAnswer:
		return kindHistoryAnswer, nil
	}
	return "", fmt.Errorf("%T is no message of the control stream", msg)
}
