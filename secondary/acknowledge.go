package secondary

import (
	"context"
	"sync"
	"time"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// An acker sends acknowledgements. It may be used concurrently.
type acker struct {
	control *protocol.Control

	mu   sync.Mutex
	last protocol.Ack
}

func newAcker(control *protocol.Control, start zodb.Tid) *acker {
	return &acker{control: control, last: protocol.Ack{Applied: start, Durable: start}}
}

// send changes the last acknowledgement and sends it.
func (a *acker) send(change func(*protocol.Ack)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.last)
	return a.control.Send(&a.last)
}

// again repeats the last acknowledgement.
func (a *acker) again() error { return a.send(func(*protocol.Ack) {}) }

// acknowledge waits for the newest transaction handed over to become durable and reports it, until in is closed. With
// the first error it ends the connection, and still waits: the next connection begins where the storage stands then.
// When ctx ends it waits for a while only; the storage's Close does the rest.
func (s *Secondary) acknowledge(ctx context.Context, in <-chan pendingCommit, report func(pendingCommit) error,
	end context.CancelCauseFunc) {
	ctx, cancel := outliving(ctx, closeTimeout)
	defer cancel()
	var reported uint64
	for h := range in {
		select {
		case <-h.commit.Done():
		case <-ctx.Done():
			return
		}
		if err := h.commit.Err(); err != nil {
			end(&localError{err})
			continue
		}
		s.track.durable(h.tid, int64(h.count-reported))
		reported = h.count
		s.tellMissing(h.lacks)
		if err := report(h); err != nil {
			end(err)
		}
	}
}

// outliving returns a context that ends d after ctx does.
func outliving(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return out, func() {
		stop()
		cancel()
	}
}
