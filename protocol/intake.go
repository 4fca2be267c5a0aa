package protocol

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// maxUnread is how many bytes of one stream of an Intake may be in this process without having been read.
const maxUnread = 256 << 10

// An Intake keeps the bytes of a session that nobody has read yet with the kernel, and so with the sender, as far as
// they are of streams that somebody reads all the time. yamux takes what has arrived into a buffer for each stream, of
// up to three windows, whenever its own goroutine runs more often than those of the readers. Its methods may be called
// concurrently.
type Intake struct {
	active atomic.Bool   // somebody reads
	read   chan struct{} // one slot

	mu       sync.Mutex
	patience time.Duration
	unread   map[uint32]int64 // by stream
	last     uint32           // the stream of the frame that has arrived last
}

// NewIntake returns an Intake for the options of one session.
func NewIntake() *Intake {
	return &Intake{unread: make(map[uint32]int64), read: make(chan struct{}, 1)}
}

// Watch returns a stream of the session that is to be read all the time once Begin is called. It must be called before
// anything was asked for on it. A nil Intake watches nothing.
func (i *Intake) Watch(conn net.Conn) net.Conn {
	s, is := conn.(interface{ StreamID() uint32 })
	if !is || i == nil {
		return conn
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.unread[s.StreamID()] = 0
	return &watched{conn, i, s.StreamID()}
}

// Begin says that all streams that are watched are being read, until End. So long may all of the session be held up for
// a reader at a time.
func (i *Intake) Begin(patience time.Duration) {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.patience = patience
	i.active.Store(true)
}

// End lets everything pass from now on.
func (i *Intake) End() {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.active.Store(false)
	i.wake()
}

func (i *Intake) wake() {
	select {
	case i.read <- struct{}{}:
	default:
	}
}

// watches reports whether there is something to wait for. Nil is an Intake for which there never is.
func (i *Intake) watches() bool { return i != nil && i.active.Load() }

// came notes the header of a frame.
func (i *Intake) came(f frame) {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.last = f.stream()
	if n, is := i.unread[i.last]; is {
		i.unread[i.last] = n + f.body()
	}
}

func (i *Intake) took(id uint32, n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.unread[id] -= int64(n); id == i.last && i.unread[id] <= maxUnread {
		i.wake()
	}
}

// wait returns when the last stream has been read. It is called between two frames, when yamux holds no lock.
func (i *Intake) wait() {
	ready, most := i.ready()
	if ready {
		return
	}
	patience := time.NewTimer(most)
	defer patience.Stop()
	for !ready {
		select {
		case <-i.read:
		case <-patience.C:
			return
		}
		ready, _ = i.ready()
	}
}

// ready reports whether the next frame may be read, and for how long to wait for that otherwise.
func (i *Intake) ready() (bool, time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return !i.active.Load() || i.unread[i.last] <= maxUnread, i.patience
}

// A watched stream tells what was read from it.
type watched struct {
	net.Conn
	intake *Intake
	id     uint32
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.intake.took(w.id, n)
	return n, err
}
