package filestorage

import (
	"iter"
	"sync"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// How much must have been committed for the index to be saved while the storage is open: saveEvery bytes, or more where
// the index is so large that saving it costs more than scanning them.
const (
	saveEvery    = 256 << 20
	savePerEntry = 64 // bytes committed for each entry
)

// An indexSaver saves the index: when the storage is closed, after a scan of the whole file, and in the background now
// and then, so that a storage that was killed need not be scanned from the front.
//
// A save in the background belongs to the position that was committed when it began, while commits continue. An object
// that is changed meanwhile gets the entry that it had at that position, which its new record names as its predecessor.
// Where that cannot be found out, the entry is left out: the scan that follows the loading of an index begins at that
// position and comes upon the new record.
type indexSaver struct {
	mu      sync.Mutex
	saved   int64         // position of the last save that was tried
	running chan struct{} // closed when the save in the background has ended; nil when there was none
	paused  bool          // a pack is about to put another file in the place of the one that the index is of
}

// moved gets each new end, and starts a save when it is time.
func (v *indexSaver) moved(s *Storage, end int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if end-v.saved < max(saveEvery, savePerEntry*int64(s.index.len())) || v.paused || v.busy() {
		return
	}
	v.saved, v.running = end, make(chan struct{})
	go func(done chan struct{}) {
		defer close(done)
		s.saveIndexAt(end)
	}(v.running)
}

func (v *indexSaver) busy() bool {
	if v.running == nil {
		return false
	}
	select {
	case <-v.running:
		return false
	default:
		return true
	}
}

// pause keeps the index from being saved in the background, until resume, and waits for a save that is under way.
func (v *indexSaver) pause() {
	v.mu.Lock()
	v.paused = true
	running := v.running
	v.mu.Unlock()
	if running != nil {
		<-running
	}
}

func (v *indexSaver) resume() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.paused = false
}

// restart gets the end of a file that has replaced another.
func (v *indexSaver) restart(end int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.saved = end
}

// finish waits for a save in the background and then saves for the last time. Nothing may be committed any more.
func (v *indexSaver) finish(s *Storage) {
	v.pause()
	s.saveIndexAt(s.Size())
}

// saveIndexAt saves the index as it was when the file ended at end. Without it nothing is lost but time. It belongs to
// the file that is open, and is not put beside another.
func (s *Storage) saveIndexAt(end int64) {
	e := s.hold()
	defer e.release()
	err := s.checkPlace(end, false)
	if err == nil {
		err = saveIndex(s.fs, s.path+indexSuffix, e.entriesAt(end), end)
	}
	if err != nil {
		s.log.Warn("cannot save the index; the next start takes longer",
			"file", s.path+indexSuffix, "error", err, "warning", warning.FilesWrong)
	}
}

// SaveIndexTo writes the index to another file, durably, as Data.fs.index of a copy of the Data.fs up to Size. It is
// for a storage that is open for reading only, to which nothing is added meanwhile.
func (s *Storage) SaveIndexTo(disk vfs.FS, path string) error {
	e := s.hold()
	defer e.release()
	end, _ := e.get()
	return saveIndex(vfs.OrOS(disk), path, e.entriesAt(end), end)
}

// entriesAt yields the index as it was when the file ended at end.
func (e *openDataFile) entriesAt(end int64) iter.Seq2[zodb.Oid, int64] {
	return func(yield func(zodb.Oid, int64) bool) {
		for oid, pos := range e.index.all() {
			if pos = e.entryAt(end, oid, pos); pos > 0 && !yield(oid, pos) {
				return
			}
		}
	}
}

// entryAt goes back from the record of oid at pos to the one that was current when the file ended at end, 0 when it
// cannot tell, for whatever reason.
func (e *openDataFile) entryAt(end int64, oid zodb.Oid, pos int64) int64 {
	for pos >= end {
		now, _ := e.get()
		r, err := e.record(oid, pos, now)
		if err != nil || r.Prev >= pos {
			return 0
		}
		pos = r.Prev
	}
	return pos
}
