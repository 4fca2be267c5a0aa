package node

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/warning"
)

// filesEvery is how often it is looked whether the files that a storage uses are still the ones that others find.
const filesEvery = 2 * time.Second

// files are those that a storage uses. A commit looks at some of them; they are looked at here while nobody commits.
type files struct {
	c     *Config
	st    *filestorage.Storage // nil: the Data.fs is another process's
	keep  *state.Keeper        // nil: there is no state file
	blobs blobDir
	ends  func(*filestorage.FailedError) // the storage has stopped; may be nil
	tries func() bool                    // transactions are to find room on the disk; nil: there are none

	mu       sync.Mutex
	troubles map[string]trouble // what was found last, by what was looked at
	disks    []admin.Disk
	growth   []admin.Size
	ended    bool
	marked   bool // the markers of the disks are made, or cannot be made
}

// A trouble is what was found, and since when it has been so.
type trouble struct {
	err   error
	since time.Time
}

// watch checks until ctx ends. It may hang with the disk, which the watchdog reports.
func (f *files) watch(ctx context.Context) {
	waits := f.c.board.Entry("a check of the files")
	defer waits.Remove()
	if f.st != nil {
		waits.Waits("the disk")
		grown := growth(ctx, f.st, time.Now())
		waits.Done()
		f.mu.Lock()
		f.growth = grown
		f.mu.Unlock()
	}
	tick := time.NewTicker(filesEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			waits.Waits("the disk")
			f.look(now)
			waits.Done()
		case <-ctx.Done():
			return
		}
	}
}

// look looks once, and logs what is new. What is wrong with the data file is logged by the storage.
func (f *files) look(now time.Time) {
	f.lookAtData()
	f.mark()
	f.note("the room on the disk", f.lookForRoom(), now)
	f.note("the state file", f.lookAtState(), now)
	f.note("the blob directory", f.lookAtBlobs(), now)
	disks := f.c.disks()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.disks = disks
}

func (f *files) lookAtData() {
	if f.st == nil || f.ended {
		return
	}
	var failed *filestorage.FailedError
	if err := f.st.Look(); errors.As(err, &failed) && f.ends != nil {
		f.ended = true
		f.ends(failed)
	}
}

// lookForRoom returns the trouble of a full disk.
func (f *files) lookForRoom() error {
	if f.tries == nil || !f.tries() {
		return nil
	}
	_ = f.st.TryRoom() // counts for Ailment
	var full *filestorage.FullError
	if err := f.st.Ailment(); errors.As(err, &full) {
		return full
	}
	return nil
}

// lookAtState returns what could not be mended.
func (f *files) lookAtState() error {
	if f.keep == nil {
		return nil
	}
	err := f.keep.Look()
	if replaced := (*state.ReplacedError)(nil); errors.As(err, &replaced) && replaced.Err == nil {
		f.c.Logger.Error(err.Error(), "warning", warning.FilesWrong)
		return nil
	}
	return err
}

func (f *files) lookAtBlobs() error {
	if f.blobs.own == nil {
		return nil
	}
	return f.blobs.own.Here()
}

func (f *files) note(about string, err error, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, was := f.troubles[about]
	switch {
	case err != nil && !was:
		f.c.Logger.Error(err.Error(), "warning", warning.FilesWrong)
		before.since = now
	case err == nil && was:
		f.c.Logger.Info(about + ": recovered")
	}
	if err == nil {
		delete(f.troubles, about)
		return
	}
	if f.troubles == nil {
		f.troubles = map[string]trouble{}
	}
	f.troubles[about] = trouble{err, before.since}
}

// show adds what was found to what a node says of itself. It is not ready: it cannot show what it is to serve, or does
// not know who it is after a restart.
func (f *files) show(st *admin.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	st.Storage.Disks, st.Storage.Growth = f.disks, f.growth
	for _, about := range slices.Sorted(maps.Keys(f.troubles)) {
		t := f.troubles[about]
		st.Troubles = append(st.Troubles, admin.Trouble{
			Code: warning.FilesWrong, Text: t.err.Error(), Since: t.since.UTC(),
		})
		if st.Ready {
			st.Ready, st.NotReady = false, admin.Known(t.err.Error())
		}
	}
}
