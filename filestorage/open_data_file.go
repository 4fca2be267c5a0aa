package filestorage

import (
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// An openDataFile is one file that stands, or stood, at the path of a Storage: its content, its index, and how far it
// is committed. A pack puts another in its place. Offsets mean something within one data file only.
//
// Whoever reads holds the data file, which keeps its file open. Who has the commit lock need not, and neither need the
// syncer while it has a group, since a pack waits for both.
type openDataFile struct {
	path         string
	file         vfs.File
	id           fs.FileInfo  // which file it is
	index        *index       // oid to the offset of its current committed record
	*commitPoint              // end and last tid of what is committed: nothing after it is for readers
	holders      atomic.Int64 // readers, and the storage while the data file is the present one

	correcting  sync.Mutex
	corrections corrections                  // of correcting
	corrected   atomic.Pointer[openDataFile] // with the corrections; nil: there are none
	base        *openDataFile                // of a corrected one
	proved      vfs.File                     // of a corrected one: with the patches, and as it is elsewhere
}

// newEdition returns a data file without a file, held by its storage.
func newEdition(path string) *openDataFile {
	e := &openDataFile{path: path}
	e.holders.Store(1)
	return e
}

// present returns the present data file for a caller that needs its end or its index and does not read its file.
func (s *Storage) present() *openDataFile {
	s.view.RLock()
	defer s.view.RUnlock()
	return s.openDataFile
}

// hold returns the present data file, for the caller to release.
func (s *Storage) hold() *openDataFile {
	s.view.RLock()
	defer s.view.RUnlock()
	s.holders.Add(1)
	return s.openDataFile
}

// current returns the offset of the current record of oid, the end of what is committed at the same moment, and the
// data file that both are of, with what is known of its damage, for the caller to release.
func (s *Storage) current(oid zodb.Oid) (e *openDataFile, pos, end int64, ok bool) {
	s.view.RLock()
	defer s.view.RUnlock()
	e = s.openDataFile
	e.holders.Add(1)
	pos, ok = e.index.get(oid)
	end, _ = e.get()
	return e.asReadersSee(), pos, end, ok
}

// size returns where the committed part of the data file ends.
func (e *openDataFile) size() int64 {
	end, _ := e.get()
	return end
}

// release lets go of the data file. The last one to do so closes the file, of which nothing is left to be written.
func (e *openDataFile) release() {
	if e.base != nil {
		e = e.base
	}
	if e.holders.Add(-1) == 0 {
		_ = e.file.Close()
	}
}

func (e *openDataFile) corrupt(pos int64, want, got string) error {
	return corruptAt(e.path, pos, want, got)
}
