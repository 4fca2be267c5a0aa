package filestorage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/watchdog"
	"github.com/zrsd/zrsd/zodb"
)

// Options of Open. The zero value opens or creates one for writing, without blobs.
type Options struct {
	FS        vfs.FS                  // the disk; nil: the real one
	Blobs     Blobs                   // nil: no blob directory
	Magic     zodb.Magic              // for a file that is created; zero: FS30
	ReadOnly  bool                    // no lock, nothing written or cut; what was committed at open is what it stays
	MustExist bool                    // a missing file is an error instead of a new storage
	Logger    hclog.Logger            // nil: silent
	Progress  func(done, total int64) // called now and then while the file is scanned, in bytes
	Now       func() time.Time        // the clock of new tids; nil: time.Now
	Resolve   Resolver                // resolves conflicts in Undo; nil: none is
	Watch     *watchdog.Board         // is told of waits for the disk and the commit lock; nil: nobody is
}

// Blobs is what a storage needs of a blob directory. All methods may be called concurrently.
type Blobs interface {
	// Stage reads content to its end into a temporary file, which its Publish moves to where OpenBlob finds it.
	Stage(oid zodb.Oid, tid zodb.Tid, content io.Reader) (zodb.StagedBlob, error)
	// Draft begins a blob whose revision is not known yet.
	Draft() (zodb.BlobDraft, error)
	// AdoptDraft makes a draft of a complete file on the file system of the directory, and removes its name.
	AdoptDraft(path string) (zodb.BlobDraft, error)
	BlobOpener
	// SetAside moves a published blob out of the way, to where an operator finds it under label, durably. Where there
	// is no such blob it does nothing.
	SetAside(oid zodb.Oid, tid zodb.Tid, label string) error
	// Empty reports whether there is no published blob at all.
	Empty() (bool, error)
}

// A Storage is an open Data.fs. Reading methods may be called concurrently with each other and with the one transaction
// that may be in progress at a time.
type Storage struct {
	// Set by Open and never changed.
	path     string // of the Data.fs
	fs       vfs.FS
	blobs    Blobs // nil without a blob directory
	log      hclog.Logger
	now      func() time.Time
	resolver Resolver // nil: no conflict can be resolved
	readOnly bool
	lock     *ownership // nil when read-only

	// Published state. A group is published under the write lock of view: its index entries, then the commit point. So
	// is a data file.
	view sync.RWMutex
	*openDataFile
	magic zodb.Magic // changes while the storage is empty only

	watchers watchers // told of what becomes visible

	maxOid  atomic.Uint64 // the largest oid seen, committed or not
	queue   *queue        // transactions on their way to the disk
	commit  chan struct{} // one slot, the commit lock: held from Begin to the end of the transaction
	waiting atomic.Int32  // how many wait for the commit lock
	waits   waits
	writer  writer     // belongs to the holder of the commit lock
	saver   indexSaver // saves the index now and then
	room    room       // on the disk

	packing chan struct{} // one slot, held by a pack, and by whoever does what one has left
	left    *leftovers

	closed   chan struct{} // closed when Close begins
	closing  sync.Once
	closeErr error
}

// Open opens the storage whose Data.fs is at path, creating it where there is none, takes its lock, loads or rebuilds
// the index and cuts off what an interrupted commit left at the end (see the package comment). ctx ends a long scan.
//
// Errors: *LockError, *CreateError, *zodb.CorruptError, ErrVersions, and those of the disk.
func Open(ctx context.Context, path string, opt Options) (*Storage, error) {
	s := newStorage(path, opt)
	if err := s.open(ctx, opt); err != nil {
		return nil, fmt.Errorf("open storage %s: %w", path, errors.Join(err, s.release()))
	}
	if !s.readOnly {
		go s.syncGroups()
	}
	return s, nil
}

func newStorage(path string, opt Options) *Storage {
	s := &Storage{
		path:         path,
		openDataFile: newEdition(path),
		fs:           vfs.OrOS(opt.FS),
		blobs:        opt.Blobs,
		log:          opt.Logger,
		now:          opt.Now,
		resolver:     opt.Resolve,
		readOnly:     opt.ReadOnly,
		queue:        newQueue(),
		commit:       make(chan struct{}, 1),
		packing:      make(chan struct{}, 1),
		closed:       make(chan struct{}),
	}
	if s.log == nil {
		s.log = hclog.NewNullLogger()
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.waits.begin(s, opt.Watch)
	s.left = &leftovers{log: s.log, now: s.now}
	return s
}

// open does the steps of Open up to where transactions can begin. What it opened is left to release.
func (s *Storage) open(ctx context.Context, opt Options) (err error) {
	if !s.readOnly {
		if s.lock, err = lockFile(s.fs, s.path); err != nil {
			return err
		}
	}
	if err := s.openFile(opt); err != nil {
		return err
	}
	if err := s.recover(ctx, opt.Progress); err != nil {
		return err
	}
	if oid, ok := s.index.maxOid(); ok {
		s.maxOid.Store(uint64(oid))
	}
	if !s.readOnly {
		if err := s.finishOpen(ctx); err != nil {
			return err
		}
	}
	end, last := s.get()
	s.writer = writer{end: end, last: last, begun: last, out: output{file: s.file, own: s.checkOwn}}
	s.tellOddities()
	return nil
}

// Close waits for the transaction in progress to be finished or aborted and for what is on its way to the disk, saves
// the index, and releases the lock. Iterators that wait get zodb.ErrClosed. Close is idempotent.
func (s *Storage) Close() error {
	s.closing.Do(func() {
		close(s.closed)
		s.closeErr = s.close()
	})
	return s.closeErr
}

func (s *Storage) close() error {
	if !s.readOnly {
		s.left.end()
		s.packing <- struct{}{}
		s.commit <- struct{}{} // kept for good: no transaction begins any more
		s.queue.close()
		s.saver.finish(s)
	}
	s.present().close(zodb.ErrClosed)
	if err := s.release(); err != nil {
		return fmt.Errorf("close storage %s: %w", s.path, err)
	}
	return nil
}

// release closes what open opened, the lock last.
func (s *Storage) release() error {
	s.waits.end()
	var err error
	if file := s.present().file; file != nil {
		err = file.Close()
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// Path returns the path of the Data.fs as given to Open.
func (s *Storage) Path() string { return s.path }

// BlobFolder returns where the blobs of an object lie, for who shares the blob directory, and whether that is known.
func (s *Storage) BlobFolder(oid zodb.Oid) (string, bool) {
	where, ok := s.blobs.(interface{ Folder(oid zodb.Oid) string })
	if !ok {
		return "", false
	}
	return where.Folder(oid), true
}

// NewDraft begins a blob for a later StoreDraft. ErrNoBlobs without a blob directory.
func (s *Storage) NewDraft() (zodb.BlobDraft, error) {
	if s.blobs == nil {
		return nil, ErrNoBlobs
	}
	return s.blobs.Draft()
}

// AdoptDraft is NewDraft with a complete file on the file system of the blob directory, whose name it removes.
func (s *Storage) AdoptDraft(path string) (zodb.BlobDraft, error) {
	if s.blobs == nil {
		return nil, ErrNoBlobs
	}
	return s.blobs.AdoptDraft(path)
}

// HasBlobs reports whether the storage was opened with a blob directory.
func (s *Storage) HasBlobs() bool { return s.blobs != nil }

// LastTid returns the tid of the last committed transaction, 0 when there is none.
func (s *Storage) LastTid() zodb.Tid {
	_, last := s.present().get()
	return last
}

// Size returns the offset after the last committed transaction; 4 for an empty storage.
func (s *Storage) Size() int64 {
	end, _ := s.present().get()
	return end
}

// Len returns the number of oids, those of deleted objects included.
func (s *Storage) Len() int { return s.present().index.len() }

// openFlag is how the Data.fs is opened once it is known to exist.
func (s *Storage) openFlag() int {
	if s.readOnly {
		return os.O_RDONLY
	}
	return os.O_RDWR
}
