package zeo

import (
	"errors"
	"io"
	"sync"
)

// errSlow ends the connection of a client that does not read.
var errSlow = errors.New("the client does not read its messages; it was disconnected and may reconnect")

// An outbox is what is on its way to a client: messages in their order. Its methods may be called concurrently.
//
// Whoever puts a message wakes the goroutine of run, which writes all that has gathered at once. The goroutine that
// reads from the client answers loads without that: it adds as many answers as it has questions, and then writes them
// itself, unless somebody else is writing.
type outbox struct {
	w      io.Writer // used by one goroutine at a time: the one that has set writing
	giveUp func()    // when the outbox is closed
	limit  int64     // bytes that may wait

	mu      sync.Mutex
	filled  sync.Cond // of mu: there is something to write and nobody writes, or the end
	room    sync.Cond // of mu: there is less than before
	waiting []byte
	spare   []byte // to gather in next
	writing int    // bytes that are being written
	last    bool   // nothing more comes
	err     error  // why nothing is taken any more
}

// newOutbox returns an outbox that writes to w. giveUp ends a Write that waits, and does not wait itself.
func newOutbox(w io.Writer, giveUp func(), limit int64) *outbox {
	o := &outbox{w: w, giveUp: giveUp, limit: limit}
	o.filled.L, o.room.L = &o.mu, &o.mu
	return o
}

// put appends a message. It never waits; beyond the limit the outbox is closed with errSlow.
func (o *outbox) put(message []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.take(len(message), func(waiting []byte) []byte { return append(waiting, message...) })
	o.filled.Signal()
}

// add is put for a message of about the size given that is made in place. Nobody is woken: flush or wake has to follow.
func (o *outbox) add(size int, message func(waiting []byte) []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.take(size, message)
}

func (o *outbox) take(size int, message func([]byte) []byte) {
	waits := int64(len(o.waiting) + o.writing)
	switch {
	case o.err != nil:
	case waits > 0 && waits+int64(size) > o.limit:
		o.shut(errSlow)
	default:
		o.waiting = message(o.waiting)
	}
}

// stream appends one of many large messages, made in place, and writes: it waits as the client makes it wait, and never
// has more than a few of them in memory. It returns why the outbox was closed.
func (o *outbox) stream(message func(waiting []byte) []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && len(o.waiting)+o.writing > maxSpare {
		o.room.Wait()
	}
	if o.err == nil {
		o.waiting = message(o.waiting)
		if o.writing == 0 {
			o.write()
		}
	}
	return o.err
}

// full reports whether a client that asks for more should read first.
func (o *outbox) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.crowded()
}

func (o *outbox) crowded() bool { return int64(len(o.waiting)+o.writing) > o.limit/4 }

// size returns how many bytes wait.
func (o *outbox) size() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return int64(len(o.waiting) + o.writing)
}

// end lets run write what is there and come to its end then, with errDone.
func (o *outbox) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = true
	o.filled.Broadcast()
}

// close ends the outbox; what is in it is dropped.
func (o *outbox) close(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.shut(err)
}

func (o *outbox) shut(err error) {
	if o.err == nil {
		o.err = err
		o.waiting, o.spare = nil, nil
		o.giveUp()
		o.filled.Broadcast()
		o.room.Broadcast()
	}
}

// run writes messages until the outbox is closed or writing fails, and returns why.
func (o *outbox) run() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		for o.err == nil && (len(o.waiting) == 0 && !o.last || o.writing > 0) {
			o.filled.Wait()
		}
		if o.err == nil && len(o.waiting) == 0 {
			o.shut(errDone)
		}
		if o.err != nil {
			return o.err
		}
		o.write()
	}
}

// flush writes what waits, unless another goroutine is about to. It waits for that one while the outbox is full.
func (o *outbox) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && o.writing > 0 && o.crowded() {
		o.room.Wait()
	}
	if o.err == nil && len(o.waiting) > 0 && o.writing == 0 {
		o.write()
	}
	return o.err
}

// wake lets run write what waits.
func (o *outbox) wake() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) > 0 {
		o.filled.Signal()
	}
}

// write writes all that waits. It is called with mu held and releases it meanwhile.
func (o *outbox) write() {
	batch := o.waiting
	o.waiting, o.spare = o.spare, nil
	o.writing = len(batch)
	o.mu.Unlock()
	_, err := o.w.Write(batch)
	o.mu.Lock()
	o.writing = 0
	if err != nil {
		o.shut(err)
	}
	if o.err == nil && cap(batch) <= maxSpare {
		o.spare = batch[:0]
	}
	if len(o.waiting) > 0 || o.last || o.err != nil {
		o.filled.Signal()
	}
	o.room.Broadcast()
}

// maxSpare is the largest buffer that an outbox keeps for later.
const maxSpare = 64 << 10
