package network

import (
	"net"
	"sync"
	"time"
)

// A Condition is what a link does with what is sent over it.
type Condition int

// The conditions: see the package comment.
const (
	Open Condition = iota
	Cut
	Silent
)

// String returns the condition in words.
func (c Condition) String() string { return [...]string{"open", "cut", "silent"}[c] }

// A link is between two members.
type link struct {
	mu        sync.Mutex
	condition Condition
	delay     time.Duration
	changed   chan struct{} // closed, and replaced, when the condition changes
}

func newLink() *link { return &link{changed: make(chan struct{})} }

func (l *link) set(c Condition, delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.condition, l.delay = c, delay
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *link) now() (Condition, time.Duration, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.condition, l.delay, l.changed
}

// pass waits until something may pass, and reports whether it ever may. closed ends the wait.
func (l *link) pass(closed <-chan struct{}) bool {
	for {
		condition, delay, changed := l.now()
		var late <-chan time.Time
		switch {
		case condition == Cut:
			return false
		case condition == Open && delay == 0:
			return true
		case condition == Open:
			late = time.After(delay)
		}
		select {
		case <-late:
			return true
		case <-changed:
		case <-closed:
			return false
		}
	}
}

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
