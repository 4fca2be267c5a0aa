package filestorage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/histogram"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
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
	Watch     *watchdog.Board         // gets waits for the disk and the commit lock; may be nil
	// Damaged is told of each damage that readers meet, by whoever has met it, and must not wait: a *zodb.CorruptError
	// or an *UnreadableError. Nil: nobody is.
	Damaged func(error)
	// DamagedBlob is asked by iterators for what a blob has to be whose file is damaged; after an error, and where it
	// is nil, the record goes without. It bounds its time by itself.
	DamagedBlob func(*zodb.DamagedBlobError) (vfs.File, error)
}

// Blobs is what a storage needs of a blob directory. All methods may be called concurrently.
type Blobs interface {
	// Stage reads content to its end into a temporary file, which its Publish moves to where OpenBlob finds it.
	Stage(oid zodb.Oid, tid zodb.Tid, content io.Reader) (zodb.StagedBlob, error)
	// Draft begins a blob whose revision is not known yet.
	Draft() (zodb.BlobDraft, error)
	// AdoptDraft makes a draft of a complete file on the file system of the directory, and removes its name.
	AdoptDraft(path string) (zodb.BlobDraft, error)
	// KeepParts says whether what is there of blobs that come in ranges is kept, for a seed to go on with. It is called
	// before the first blob of a seed comes; when no seed is to go on, what is left is removed.
	KeepParts(yes bool)
	// Part opens what is there of a blob that comes in ranges.
	Part(oid zodb.Oid, tid zodb.Tid) (zodb.BlobPart, error)
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
	damaged  func(error)
	// damagedBlob is Options.DamagedBlob.
	damagedBlob func(*zodb.DamagedBlobError) (vfs.File, error)
	readOnly    bool
	lock        *ownership // nil when read-only

	// Published state. A group is published under the write lock of view: its index entries, then the commit point. So
	// is a data file.
	view sync.RWMutex
	*openDataFile
	magic zodb.Magic // changes while the storage is empty only

	watchers watchers // called with what becomes visible

	maxOid     atomic.Uint64 // the largest oid seen, committed or not
	queue      *queue        // transactions that are not durable yet
	commit     chan struct{} // one slot, the commit lock: held from Begin to the end of the transaction
	waiting    atomic.Int32  // how many wait for the commit lock
	waits      waits
	writer     writer     // belongs to the holder of the commit lock
	indexSaver indexSaver // saves the index now and then
	room       room       // on the disk
	syncTimes  histogram.Histogram
	lockTimes  histogram.Histogram

	packing  chan struct{} // one slot, held by a pack, and while left-over work of one is done
	lastPack atomic.Pointer[LastPack]
	packers  atomic.Int32 // calls of Pack
	left     *leftovers

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
		damaged:      opt.Damaged,
		damagedBlob:  opt.DamagedBlob,
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
	if s.readOnly {
		s.commit <- struct{}{} // kept for good: no Refresh begins any more
	} else {
		s.left.end()
		s.packing <- struct{}{}
		s.commit <- struct{}{} // kept for good: no transaction begins any more
		s.queue.close()
		s.indexSaver.finish(s)
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

// meets tells who is to be told of damage, and returns err.
func (s *Storage) meets(err error) error {
	if err == nil || s.damaged == nil {
		return err // before there is anything to allocate
	}
	if damage := DamageIn(err); damage != nil {
		s.damaged(damage)
	}
	return err
}

// Path returns the path of the Data.fs as given to Open.
func (s *Storage) Path() string { return s.path }

// BlobFolders returns where clients that share the blob directory may have put the file of a blob of an object; none:
// that is not known.
func (s *Storage) BlobFolders(oid zodb.Oid) []string {
	where, ok := s.blobs.(interface{ Folders(oid zodb.Oid) []string })
	if !ok {
		return nil
	}
	return where.Folders(oid)
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

func (s *Storage) corrupt(pos int64, want, got string) error {
	return corruptAt(s.path, pos, want, got)
}

// Transactions ranges over the committed transactions after the one with the tid after, 0: over all. What comes is as
// with Iterate and zodb.Transactions.
func (s *Storage) Transactions(ctx context.Context, after zodb.Tid) iter.Seq2[zodb.Transaction, error] {
	return transactions(ctx, s, after, false)
}

// Follow is Transactions that waits at the end for more commits, until ctx ends or the storage is closed, which comes
// as an error: the context's cause, or zodb.ErrClosed.
func (s *Storage) Follow(ctx context.Context, after zodb.Tid) iter.Seq2[zodb.Transaction, error] {
	return transactions(ctx, s, after, true)
}

// transactions ranges over what an iterator of st returns, which lives as long as that.
func transactions(
	ctx context.Context, st interface {
		Iterate(after zodb.Tid, follow bool) (zodb.Iterator, error)
	}, after zodb.Tid, follow bool,
) iter.Seq2[zodb.Transaction, error] {
	return func(yield func(zodb.Transaction, error) bool) {
		it, err := st.Iterate(after, follow)
		if err != nil {
			yield(nil, err)
			return
		}
		defer it.Close() //nolint:errcheck // it has only read
		zodb.Transactions(ctx, it)(yield)
	}
}

// Iterate returns an iterator that begins after the transaction with the tid after, or, where there is none, with the
// first whose tid is above. When follow is set it waits at the end for more commits; Close of the storage ends that
// with zodb.ErrClosed. The caller closes it.
//
// Transactions and records are reused: what Next and NextRecord return, readers included, is void after the next call
// of either. Transactions of status 'u' are among them. Records of blobs carry the blob where there is one. Damage that
// the iterator meets is a *zodb.CorruptError.
func (s *Storage) Iterate(after zodb.Tid, follow bool) (zodb.Iterator, error) {
	src := s.source()
	it, err := iterate(src, after, follow)
	if err != nil {
		return nil, fmt.Errorf("iterate %s after %v: %w", s.path, after, errors.Join(err, src.release()))
	}
	return it, nil
}

// IterateRecords is Iterate without blobs, for who does not need them: they are not opened, so that no trouble with
// them is in the way.
func (s *Storage) IterateRecords(after zodb.Tid, follow bool) (zodb.Iterator, error) {
	src := s.sourceOf(s.hold(), nil)
	it, err := iterate(src, after, follow)
	if err != nil {
		return nil, fmt.Errorf("iterate %s after %v: %w", s.path, after, errors.Join(err, src.release()))
	}
	return it, nil
}

// Find looks for the transaction with this tid. If there is none the error wraps zodb.ErrNoTid, and Before and After of
// the result are its neighbours.
func (s *Storage) Find(ctx context.Context, tid zodb.Tid) (Found, error) {
	src := s.source()
	found, err := src.find(ctx, tid)
	return found, errors.Join(err, src.release())
}

// Count returns how many committed transactions have tids above after, and the tid of the last of them, after itself
// when there is none. It reads headers only, but all of them.
func (s *Storage) Count(ctx context.Context, after zodb.Tid) (transactions int64, upTo zodb.Tid, err error) {
	src := s.source()
	transactions, upTo, err = src.count(ctx, after)
	return transactions, upTo, errors.Join(err, src.release())
}

// Anchor goes back from the end of the file to the last transaction whose tid is below those of all after it, and
// returns its tid, 0 for the start of the file, and the transactions after it in the order of the file. Nearly always
// this is one, the last. Where tids go down there are more, and a request for everything after that tid gives the same
// position for every kind of search. More than 20,000 are an error that wraps zodb.ErrNoTid.
func (s *Storage) Anchor(ctx context.Context) (tid zodb.Tid, after []Neighbour, err error) {
	src := s.source()
	p, err := src.headerCursor()
	if err == nil {
		tid, after, err = p.anchor(ctx)
	}
	return tid, after, errors.Join(err, src.release())
}

// UndoLog lists transactions that can be undone, the newest first: of those that filter accepts, nil accepting all, the
// ones numbered first to last-1, or when last is negative at most -last of them from first on. The list ends at what a
// pack has written, and leaves out transactions of status 'u'. Unlike ZODB's it is there during a pack too.
//
// The entry that filter gets is valid until it returns.
func (s *Storage) UndoLog(ctx context.Context, first, last int, filter func(*UndoEntry) bool) ([]UndoEntry, error) {
	return s.source().listUndo(ctx, first, last, filter)
}

// source returns the storage as iterators see it, for the caller to release. When a pack has replaced the file, they go
// on with the next one.
func (s *Storage) source() *source {
	if s.blobs == nil {
		return s.sourceOf(s.hold(), nil)
	}
	return s.sourceOf(s.hold(), s.blobs.OpenBlob)
}

// sourceOf takes over what holds e. Whatever comes of the source has the same openBlob.
func (s *Storage) sourceOf(e *openDataFile, openBlob func(zodb.Oid, zodb.Tid) (vfs.File, error)) *source {
	return &source{
		commitPoint: e.commitPoint, file: &provedFile{e.file, e}, path: e.path, openBlob: openBlob, meets: s.meets,
		damagedBlob: s.damagedBlob,
		index:       func() *index { return e.index },
		successor:   func(context.Context) (*source, error) { return s.sourceOf(s.hold(), openBlob), nil },
		release:     func() error { e.release(); return nil },
		share: func() *source {
			e.holders.Add(1)
			return s.sourceOf(e, openBlob)
		},
	}
}

// Hold waits for the transaction in progress, keeps others from beginning until release is called, and returns when
// all that was committed is durable and visible: LastTid is final then. Release may be called more than once.
//
// Errors: zodb.ErrReadOnly, zodb.ErrClosed, *FailedError, the context's cause. Nothing is held then.
func (s *Storage) Hold(ctx context.Context) (release func(), err error) {
	if s.readOnly {
		return nil, fmt.Errorf("hold the commits of %s: %w", s.path, zodb.ErrReadOnly)
	}
	if err := s.lockCommit(ctx); err != nil {
		return nil, fmt.Errorf("hold the commits of %s: %w", s.path, err)
	}
	if err := s.queue.room(ctx, 1); err != nil {
		<-s.commit
		return nil, fmt.Errorf("hold the commits of %s: %w", s.path, err)
	}
	return sync.OnceFunc(func() { <-s.commit }), nil
}

// SkipOids leaves n oids out: those that another node may have given to clients which have not used them yet.
func (s *Storage) SkipOids(n uint64) { s.maxOid.Add(n) }

// SkipTids leaves n tids out: new transactions get tids above the last one and these. 1<<32 of them are a minute. It
// waits for the transaction in progress; the errors are those of Hold.
func (s *Storage) SkipTids(ctx context.Context, n uint64) error {
	release, err := s.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	w := &s.writer
	w.begun = max(w.begun, w.last) + zodb.Tid(n)
	return nil
}

// tellOddities logs what is unusual about the file as a whole, and what it means for those who use it.
func (s *Storage) tellOddities() {
	end, last := s.get()
	if ahead := last.Time().Sub(s.now()); last != 0 && ahead > futureTolerance {
		s.log.Warn(
			"the last transaction is in the future: this machine's clock is slow, or the writer's clock was fast. "+
				"Until that time new tids only count up and carry no time, and a pack by time keeps more than "+
				"asked for; check the clock (timedatectl), and do not use a node with such a clock for failover",
			"file",
			s.path,
			"tid",
			last,
			"time",
			last.Time().UTC().Format(time.RFC3339),
			"ahead_by",
			ahead.Round(time.Second).String(), "warning", warning.FutureTid,
		)
	}
	if s.magic == zodb.MagicFS21 && end > magicLen {
		s.log.Warn(
			"this file was written by Python 2 (magic FS21). It is served and replicated as it is, but clients of "+
				"Python 3 "+
				"read its str as text where it is ASCII and as bytes elsewhere, fail where classes have moved, and "+
				"do not follow "+
				"references whose oid has a byte of 0x80 or above; what they write Python 2 cannot read; and "+
				"Python 3 itself refuses to "+
				"open the file. Convert it first: zodbverify, then zodbupdate --convert-py3, with no server running",
			"file",
			s.path, "warning", warning.PythonTwo,
		)
	}
}

// futureTolerance is how far clocks of machines that are in order may be apart.
const futureTolerance = time.Second
