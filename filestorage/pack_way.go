package filestorage

import (
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
)

// A pack reads and marks as fast as a processor can, and writes as fast as the disk takes it: who commits meanwhile
// waits for both. So it yields to commits: before each of its steps it waits while a transaction is between its vote
// and the disk, but not for long, and for a third of its own working time at most.
const (
	wayStep = 100 * time.Microsecond
	wayMost = time.Millisecond
	wayPart = 3 // the part of the time that was worked
)

// A politeFile is the file that a pack reads, in large steps, before each of which it yields to commits.
type politeFile struct {
	vfs.File
	way *way
}

func (f politeFile) ReadAt(b []byte, at int64) (int, error) {
	f.way.make()
	return f.File.ReadAt(b, at)
}

// A way is how a pack yields to commits. It is for one goroutine.
type way struct {
	busy   func() bool // a transaction is under way
	sleep  func(time.Duration)
	now    func() time.Time
	begun  time.Time
	waited time.Duration
	hurry  bool // everybody waits for the pack
}

func (s *Storage) newWay() *way {
	return &way{busy: s.commits, sleep: time.Sleep, //nolint:forbidigo // a pause, not a wait
		now: time.Now, begun: time.Now()}
}

// commits reports whether somebody has the commit lock or waits for the disk.
func (s *Storage) commits() bool {
	return len(s.commit) > 0 || s.queue.busy()
}

// make waits for who commits.
func (w *way) make() {
	if w.hurry || !w.busy() {
		return
	}
	from := w.now()
	for now := from; ; now = w.now() {
		worked := from.Sub(w.begun) - w.waited
		waited := now.Sub(from)
		if !w.busy() || waited >= wayMost || w.waited+waited > worked/wayPart {
			w.waited += waited
			return
		}
		w.sleep(wayStep)
	}
}
