package filestorage

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/zrsd/zrsd/internal/watchdog"
)

// What a commit may wait for, as operators read it.
const (
	waitBlob   = "the disk: the place of a blob"
	waitWrite  = "the disk: a write to the Data.fs"
	waitSync   = "the disk: a sync of blobs and the Data.fs"
	waitNames  = "the disk: the final names of blobs"
	waitStatus = "the disk: the status in the Data.fs, and its sync"
	waitTold   = "the listeners for commits, such as ZEO clients"
)

// waits note where commits are, for a watchdog.
type waits struct {
	vote   *watchdog.Place // of the transaction that has the commit lock
	disk   *watchdog.Place // of what is being made durable
	lock   *watchdog.Place
	locked atomic.Int64 // when the commit lock was taken last, Unix nanoseconds
}

func (w *waits) begin(s *Storage, board *watchdog.Board) {
	w.vote, w.disk = board.Place("a transaction at its vote"), board.Place("a commit")
	w.lock = board.Found("beginning a transaction", func() (string, time.Time) {
		n := s.waiting.Load()
		if n == 0 || len(s.commit) == 0 {
			return "", time.Time{}
		}
		return fmt.Sprintf("the commit lock of %s: %d wait for it, and its holder has not finished", s.path, n),
			time.Unix(0, w.locked.Load())
	})
}

func (w *waits) end() {
	w.vote.Remove()
	w.disk.Remove()
	w.lock.Remove()
}

// tookLock notes that the commit lock has been taken.
func (w *waits) tookLock() { w.locked.Store(time.Now().UnixNano()) }
