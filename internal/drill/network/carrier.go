package network

import (
	"net"
	"sync"
)

// A carrier is a connection on its way over a link.
type carrier struct {
	between   pair
	link      *link
	near, far net.Conn
	once      sync.Once
	closed    chan struct{}
}

// end ends the connection at both sides.
func (k *carrier) end() {
	k.once.Do(func() {
		close(k.closed)
		_ = k.near.Close() // of no use any more
		_ = k.far.Close()
	})
}

// run carries both directions until either side ends.
func (k *carrier) run() {
	var back sync.WaitGroup
	back.Go(func() { k.copy(k.near, k.far) })
	k.copy(k.far, k.near)
	back.Wait()
}

// window is how much is under way in one direction.
const window = 64 << 10

func (k *carrier) copy(to, from net.Conn) {
	defer k.end()
	buf := make([]byte, window)
	for {
		n, err := from.Read(buf)
		if n > 0 && !k.link.pass(k.closed) {
			return
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			// The end passes, too, when the link lets something pass.
			k.link.pass(k.closed)
			return
		}
	}
}
