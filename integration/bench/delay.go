package main

import (
	"context"
	"net"
	"sync"
	"time"
)

// inFlight bounds what a delay line holds per direction: far more than a fast link of the delays used here.
const inFlight = 64 << 20

// A delayLine forwards TCP connections and lets every byte arrive a fixed time later, without limiting how many
// arrive.
type delayLine struct {
	addr     string
	upstream string
	delay    time.Duration
	listener net.Listener
	ctx      context.Context //nolint:containedctx // ends the line's goroutines
	cancel   context.CancelFunc
	wg       sync.WaitGroup
}

func newDelayLine(ctx context.Context, upstream string, delay time.Duration) (*delayLine, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &delayLine{addr: l.Addr().String(), upstream: upstream, delay: delay, listener: l}
	d.ctx, d.cancel = context.WithCancel(ctx)
	d.wg.Go(d.accept)
	return d, nil
}

func (d *delayLine) close() error {
	d.cancel()
	err := d.listener.Close()
	d.wg.Wait()
	return err
}

func (d *delayLine) accept() {
	for {
		near, err := d.listener.Accept()
		if err != nil {
			return // the listener was closed
		}
		far, err := (&net.Dialer{}).DialContext(d.ctx, "tcp", d.upstream)
		if err != nil {
			near.Close() //nolint:errcheck // the near side learns it by this
			continue
		}
		d.wg.Go(func() { d.join(near, far) })
	}
}

func (d *delayLine) join(near, far net.Conn) {
	stop := context.AfterFunc(d.ctx, func() {
		near.Close() //nolint:errcheck // ends the copying
		far.Close()  //nolint:errcheck // ends the copying
	})
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { d.carry(far, near) })
	both.Go(func() { d.carry(near, far) })
	both.Wait()
}

// A parcel is what was read at once, and when it is due at the other end.
type parcel struct {
	data []byte
	due  time.Time
}

// carry reads from src at once and writes to dst when each parcel is due.
func (d *delayLine) carry(dst, src net.Conn) {
	defer dst.Close() //nolint:errcheck // the other end learns by this that it is over
	const size = 64 << 10
	parcels := make(chan parcel, inFlight/size)
	go func() {
		defer close(parcels)
		for {
			buf := make([]byte, size)
			n, err := src.Read(buf)
			if n > 0 {
				parcels <- parcel{buf[:n], time.Now().Add(d.delay)}
			}
			if err != nil {
				return // io.EOF, or the connection is gone: the writer below closes the other end
			}
		}
	}()
	failed := false
	for p := range parcels {
		if failed {
			continue // let the reader come to its end
		}
		wait := time.NewTimer(time.Until(p.due))
		<-wait.C
		if _, err := dst.Write(p.data); err != nil {
			failed = true
			src.Close() //nolint:errcheck // ends the reader
		}
	}
}
