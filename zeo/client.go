package zeo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admission"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zeo/commit"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// A client is one connection. Its fields belong to the goroutine that reads from it (see relief: not always the same
// one), but for those that say otherwise.
type client struct {
	srv      *Server
	conn     net.Conn
	since    time.Time  // when it connected
	counters clientInfo // anybody's
	log      atomic.Pointer[hclog.Logger]
	out      *outbox // anybody's
	ctx      context.Context
	stop     context.CancelFunc

	until time.Time  // what the client has until it says something; zero: not set
	over  chan error // one slot: why the last of the goroutines that read has ended, unless it is that of serve

	source  string          // see admission.Source
	pending *admission.Conn // until it has registered
	known   bool            // of Server.mu: it has

	in         *bufio.Reader
	greeted    bool       // late, so that a node that leads could greet the client first
	encoding   string     // the name of codec
	codec      wire.Codec // fixed before anybody else knows the client
	storage    *storage   // nil before registration
	readOnly   bool
	looksAgain *time.Timer // while it seeks: ends the connection
	turned     bool        // it was refused as a writer, and may come again as a reader
	onlyReads  bool        // it wants to write and is admitted as a reader, because no node is primary
	changes    uint64      // of the seeker, as its place was decided
	entered    zodb.Tid    // the last transaction that it was told as it entered
	spoke      bool        // it has asked for something since
	leaves     bool        // it is to connect, and then to look for the leader
	seeks      bool        // the seeker keeps looking for it

	helpers   sync.WaitGroup // goroutines of votes, packs, blobs and the like
	slots     chan struct{}  // one for each call that background answers
	txn       *transaction   // nil: none
	large     *commit.Record // the record of the message that is being handled; nil: it is in the message
	upload    zodb.BlobDraft // of storeBlobStart; nil: none
	spare     []byte         // for the next chunk of the upload; nil: none
	iterators iterators
}

// errDone ends a connection that has got all that it asked for.
var errDone = errors.New("done")

// A protocolError is what a client must not do; it ends the connection.
type protocolError struct{ text string }

func (e *protocolError) Error() string { return e.text }

func violation(format string, args ...any) error { return &protocolError{fmt.Sprintf(format, args...)} }

func (c *client) logger() hclog.Logger { return *c.log.Load() }

// logWith names the client in the log.
func (c *client) logWith(names ...any) {
	log := c.srv.log.With(append(names, "client", c.conn.RemoteAddr().String())...)
	c.log.Store(&log)
}

// serve runs the connection to its end.
func (c *client) serve() {
	var writer sync.WaitGroup
	writer.Go(func() {
		err := recovered.Do(c.logger(), "sending to a client", c.out.run)
		if !errors.Is(err, errDone) {
			c.logger().Debug("writing to a client ended", "error", err)
			c.stop() // whatever the reader waits for
		}
		_ = c.conn.Close() // wakes the reader; the writer's error is the one that counts
	})
	err := recovered.Do(c.logger(), "handling a message of a client", c.read)
	if errors.Is(err, errRelieved) {
		err = <-c.over
	}
	if errors.Is(err, errDone) {
		c.out.end()
		writer.Wait()
	}
	c.end(err)
	writer.Wait()
}

// end releases everything that the connection held.
func (c *client) end(err error) {
	c.stop()
	c.out.close(err)
	_ = c.conn.Close() // given up
	c.helpers.Wait()
	if e := c.dropTransaction(); e != nil {
		c.logger().Error("aborting the transaction of a disconnected client failed", "error", e,
			"warning", warning.StorageFailed)
	}
	c.dropUpload()
	c.iterators.close()
	if c.storage != nil {
		c.storage.leave(c)
	}
	var wrong *protocolError
	var fault *recovered.Error
	switch {
	case errors.As(err, &wrong), errors.As(err, &fault), errors.Is(err, errSlow):
		c.say(hclog.Info, err, "disconnecting a client", "error", err)
	case c.storage != nil && !c.spoke && !c.turned && !c.leaves && left(err):
		c.srv.logLimit.Log(c.logger(), hclog.Info, c.source, behindText, behindText, "last", c.entered)
		if behind := c.storage.opt.Behind; behind != nil {
			behind()
		}
	case c.storage != nil:
		c.say(hclog.Info, err, "disconnected", "reason", err)
	}
}

// read greets the client and handles its messages, one after the other.
func (c *client) read() error {
	c.greet()
	c.out.put(wire.AppendRaw(nil, []byte(c.srv.announced())))
	if err := c.out.flush(); err != nil { // before its first message, which may end the connection
		return err
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(c.srv.opt.HandshakeTimeout)); err != nil {
		return err
	}
	c.in = bufio.NewReaderSize(countingReader{c.conn, &c.counters.received}, 32<<10)
	answer, err := wire.Read(c.in, maxAnswer)
	if err != nil {
		return err
	}
	if string(answer) == ruok {
		return c.imok()
	}
	var ok bool
	if c.codec, ok = wire.CodecFor(string(answer)); !ok {
		return violation("the client answers %.20q to %q%s", answer, c.srv.announced(), strangeClient(string(answer)))
	}
	c.encoding = string(answer)
	return c.handle()
}

// handle handles the client's messages, one after the other, until it ends, or errRelieved.
func (c *client) handle() error {
	for {
		if err := c.next(c.in); err != nil {
			return err
		}
		if complete(c.in) && !c.out.full() {
			continue
		}
		if err := c.rest(); err != nil {
			return err
		}
	}
}

// complete reports whether the next message is in the buffer, so that reading it does not wait.
func complete(r *bufio.Reader) bool {
	if r.Buffered() < wire.SizeLen {
		return false
	}
	n, err := wire.Next(r)
	return err == nil && n <= int64(r.Buffered())
}

// rest is what is done before the connection waits for the client: it is sent what it waits for.
func (c *client) rest() error {
	if err := c.out.flush(); err != nil {
		return err
	}
	if c.storage == nil {
		return nil // the time for the handshake runs on
	}
	idle, now := c.srv.opt.IdleTimeout, time.Now()
	if c.until.Sub(now) > idle-idle/16 {
		return nil // to the moment is not worth what it costs
	}
	c.until = now.Add(idle)
	return c.conn.SetReadDeadline(c.until)
}

// maxRegister is how long the message of a client may be that has not registered: the name of a storage.
const maxRegister = 64 << 10

// What may come instead of a message: the choice of an encoding, or a monitor's question.
const (
	ruok      = "ruok"
	maxAnswer = 16
)

// imok answers a monitor.
func (c *client) imok() error {
	all := make(map[string]map[string]pickle.Value)
	for _, s := range c.srv.storages() {
		s.view(func(visible zodb.Tid) {
			m := make(map[string]pickle.Value)
			for _, p := range s.status(visible, len(s.clients), c.srv.opt.TransactionTimeout > 0).Items {
				m[p.Key.(string)] = p.Value //nolint:forcetypeassert // the keys are written in status
			}
			all[s.name] = m
		})
	}
	body, err := json.Marshal(all)
	if err != nil {
		return err
	}
	c.out.put(wire.AppendRaw(nil, body))
	return errDone
}

// next handles one message.
func (c *client) next(r *bufio.Reader) error {
	if answered, err := c.load(r); answered || err != nil {
		return err
	}
	if handled, err := c.largeStore(r); handled || err != nil {
		return err
	}
	limit := c.srv.opt.MaxMessage
	if c.storage == nil {
		limit = maxRegister
	}
	body, err := wire.ReadInto(c.spare, r, limit)
	c.spare = nil // whatever this is, it may keep its message
	var size *wire.SizeError
	if errors.As(err, &size) {
		return violation("%v: raise the server's limit if it is genuine", err)
	}
	if err != nil {
		return err
	}
	m, err := c.codec.Decode(body)
	if err != nil {
		return violation("a message that cannot be read: %v", err)
	}
	if m.IsReply() { // a keep-alive
		return nil
	}
	c.spoke = c.storage != nil
	err = c.dispatch(m)
	if m.Method == chunkMethod && c.upload != nil && cap(body) <= maxSpare {
		c.spare = body // the chunk is written, and large messages are what the garbage collector is busy with
	}
	return err
}

// behindText is about a client that has left without a message after it was admitted. ZEO's client does so when its
// cache is ahead, and logs the reason only in its own log. (One with a fallback also does so when another server has
// admitted it first.)
const behindText = "a client has left as soon as it knew the last transaction here. If it logs \"Server behind " +
	"client\", " +
	"its cache has seen later ones, and this is an older copy: stop the client, delete its cache files (*.zec), and " +
	"start it again"

// left reports whether the client itself has ended the connection.
func left(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) }

// encode never fails for what the server says; if it does, the client learns that its call failed.
func (c *client) encode(m *wire.Message) []byte {
	b, err := c.codec.Append(nil, m)
	if err == nil {
		return b
	}
	c.say(hclog.Error, err, "an answer cannot be written", "method", m.Method, "error", err, "warning", warning.Fault)
	why := pickle.Tuple{"the result cannot be sent: " + err.Error()}
	b, err = c.codec.Append(nil, wire.Failure(m.ID, classValue, why))
	if err != nil {
		c.out.close(err)
		return nil
	}
	return b
}

func (c *client) send(m *wire.Message) { c.out.put(c.encode(m)) }

// add is send without waking the writer: flush or wake of the outbox must follow.
func (c *client) add(message []byte) {
	c.out.add(len(message), func(waiting []byte) []byte { return append(waiting, message...) })
}

// reply answers a call, unless it wants no answer.
func (c *client) reply(m *wire.Message, result pickle.Value) {
	if !m.OneWay() {
		c.send(wire.Reply(m.ID, result))
	}
}

// fail answers a call with an exception. A call that wants no answer can only be answered by the end of the connection.
func (c *client) fail(m *wire.Message, err error) error {
	f, internal := failureOf(err)
	if internal {
		c.say(hclog.Error, err, "a call failed", "method", m.Method, "error", err, "warning", warningOf(err))
	}
	if m.OneWay() {
		return violation("%s failed, and the protocol has no way to tell the caller: %v %v", m.Method, f.class, err)
	}
	c.send(wire.Failure(m.ID, f.class, f.details))
	return nil
}

// warningOf is what an operator hears about when a call fails with an error that is no answer.
func warningOf(err error) warning.Code {
	if errors.Is(err, zodb.ErrDamagedBlob) || filestorage.DamageIn(err) != nil {
		return warning.Damaged
	}
	return warning.StorageFailed
}

// maxBackground is how many calls of a client are answered beside its connection at a time. A blob upload has a file
// open.
const maxBackground = 32

// background runs f, which answers m, beside the connection. With too many of them the connection waits.
func (c *client) background(m *wire.Message, f func() (pickle.Value, error)) {
	c.slots <- struct{}{}
	c.run(m, func() error {
		result, err := f()
		if err == nil {
			c.reply(m, result)
			return nil
		}
		return c.fail(m, err)
	})
}

// run runs f, which answers m, in a slot that it lets go of.
func (c *client) run(m *wire.Message, f func() error) {
	c.helpers.Go(func() {
		defer func() { <-c.slots }()
		if err := recovered.Do(c.logger(), "answering a client's "+m.Method, f); err != nil {
			c.out.close(err)
		}
	})
}

// A patientWriter gives up a client that takes nothing for a while, or when it is told to.
type patientWriter struct {
	conn  net.Conn
	limit time.Duration
	sent  *atomic.Int64 // bytes

	mu   sync.Mutex // of the deadline
	over bool
}

func (w *patientWriter) Write(b []byte) (int, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	n, err := w.conn.Write(b)
	w.sent.Add(int64(n))
	return n, err
}

// A countingReader counts the bytes of a connection.
type countingReader struct {
	conn net.Conn
	n    *atomic.Int64
}

func (r countingReader) Read(b []byte) (int, error) {
	n, err := r.conn.Read(b)
	r.n.Add(int64(n))
	return n, err
}

func (w *patientWriter) begin() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return net.ErrClosed
	}
	return w.conn.SetWriteDeadline(time.Now().Add(w.limit))
}

// giveUp ends a Write that waits for the client, and lets no other begin.
func (w *patientWriter) giveUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	_ = w.conn.SetWriteDeadline(time.Now()) // fails for a connection that is closed, where nothing waits
}
