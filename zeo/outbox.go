package zeo

import (
	"errors"
	"io"
	"sync"
)

// errSlow ends the connection of a client that does not read.
var errSlow = errors.New("the client does not read what it is sent; it is disconnected and may connect again")

// An outbox is what is on its way to a client: messages in their order, written by run. Its methods may be called
// concurrently.
type outbox struct {
	limit int64 // bytes that may wait

	mu     sync.Mutex
	filled sync.Cond // of mu: there is something to write, or the end
	room   sync.Cond // of mu: there is less than before
	parts  [][]byte
	bytes  int64
	last   bool  // nothing more comes
	err    error // why nothing is taken any more
}

func newOutbox(limit int64) *outbox {
	o := &outbox{limit: limit}
	o.filled.L, o.room.L = &o.mu, &o.mu
	return o
}

// put appends a message. It never waits; beyond the limit the outbox is closed with errSlow.
func (o *outbox) put(message []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return
	}
	if o.bytes > 0 && o.bytes+int64(len(message)) > o.limit {
		o.shut(errSlow)
		return
	}
	o.parts = append(o.parts, message)
	o.bytes += int64(len(message))
	o.filled.Signal()
}

// putPatiently waits until less than a quarter of the limit is taken before it appends a message: for what would fill
// the outbox by itself. It returns why the outbox was closed.
func (o *outbox) putPatiently(message []byte) error {
	o.mu.Lock()
	for o.err == nil && o.bytes > o.limit/4 {
		o.room.Wait()
	}
	err := o.err
	o.mu.Unlock()
	if err == nil {
		o.put(message)
	}
	return err
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
		o.parts = nil
		o.filled.Broadcast()
		o.room.Broadcast()
	}
}

// run writes messages to w until the outbox is closed or w fails, and returns why.
func (o *outbox) run(w io.Writer) error {
	var batch []byte
	for {
		parts, err := o.take()
		if err != nil {
			return err
		}
		batch = batch[:0]
		var size int64
		for _, p := range parts {
			batch = append(batch, p...)
			size += int64(len(p))
		}
		if _, err := w.Write(batch); err != nil {
			o.close(err)
			return err
		}
		if cap(batch) > maxBatch {
			batch = nil
		}
		o.written(size)
	}
}

// maxBatch is the largest buffer that a connection keeps between two writes.
const maxBatch = 256 << 10

// take waits for messages, and returns them up to about maxBatch.
func (o *outbox) take() ([][]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && len(o.parts) == 0 && !o.last {
		o.filled.Wait()
	}
	if o.err == nil && len(o.parts) == 0 {
		o.shut(errDone)
	}
	if o.err != nil {
		return nil, o.err
	}
	n, size := 0, 0
	for n < len(o.parts) && (n == 0 || size+len(o.parts[n]) <= maxBatch) {
		size += len(o.parts[n])
		n++
	}
	parts := o.parts[:n:n]
	o.parts = o.parts[n:]
	if len(o.parts) == 0 {
		o.parts = nil
	}
	return parts, nil
}

func (o *outbox) written(size int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= size
	o.room.Broadcast()
}
