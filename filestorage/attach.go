package filestorage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// defaultPoll is how often a file is looked at without a notification, as on network disks, which send none.
const defaultPoll = time.Second

// An Attached follows a Data.fs that another process writes, such as a Python ZEO server. It takes no lock, writes
// nothing, and never shows a transaction before its writer has finished it. It handles aborted and interrupted commits,
// restarts and packs of that process. It stops, with a *DivergedError, only when a transaction that was already shown
// is no longer there. Its methods may be called concurrently.
//
// Each file at the path is a dataFile. When a pack puts another in its place, the old one is read
// to its end, by the watcher and by each iterator, and then the new one from the first tid above.
type Attached struct {
	path  string
	fs    vfs.FS
	blobs BlobOpener
	log   hclog.Logger
	poll  time.Duration
	now   func() time.Time

	mu      sync.Mutex
	current *dataFile

	change  pendingChange // these belong to the watcher
	tail    tail
	trouble string // told last

	cancel context.CancelFunc
	done   chan struct{} // closed when the watcher has ended
	once   sync.Once
}

// AttachOptions of Attach. The zero value follows a Data.fs without blobs.
type AttachOptions struct {
	FS     vfs.FS           // the disk; nil: the real one
	Blobs  BlobOpener       // nil: no blob directory
	Logger hclog.Logger     // nil: silent
	now    func() time.Time // the clock by which unfinished changes are waited for; nil: time.Now
	poll   time.Duration    // how often to look for changes that nobody notifies of; 0: a second
}

// A BlobOpener is what an Attached needs of a blob directory.
type BlobOpener interface {
	// OpenBlob opens a published blob; *zodb.POSKeyError with Blob set when there is none.
	OpenBlob(oid zodb.Oid, tid zodb.Tid) (vfs.File, error)
}

// Attach opens the Data.fs at path, which must exist, and follows it until Close. ctx ends the search for the end of
// the file.
func Attach(ctx context.Context, path string, opt AttachOptions) (*Attached, error) {
	a := newAttached(path, opt)
	g, err := a.openGeneration(ctx)
	if err != nil {
		return nil, fmt.Errorf("attach to %s: %w", path, err)
	}
	a.current = g
	a.log.Info("attached", "file", path, "last_tid", g.last.tid, "end", g.walk.pos, "unfinished",
		g.id.Size()-g.walk.pos)
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a.cancel = cancel
	go a.watch(watching)
	return a, nil
}

func newAttached(path string, opt AttachOptions) *Attached {
	a := &Attached{
		path: path, fs: vfs.OrOS(opt.FS), blobs: opt.Blobs, log: opt.Logger, poll: opt.poll, now: opt.now,
		done: make(chan struct{}),
	}
	if a.log == nil {
		a.log = hclog.NewNullLogger()
	}
	if a.poll == 0 {
		a.poll = defaultPoll
	}
	if a.now == nil {
		a.now = time.Now
	}
	return a
}

// Close ends the watching and gives iterators that wait zodb.ErrClosed. Those that are open keep the file open until
// they are closed.
func (a *Attached) Close() (err error) {
	a.once.Do(func() {
		a.cancel()
		<-a.done
		a.current.close(zodb.ErrClosed)
		err = a.release(a.current)
	})
	return err
}

// Err returns nil while the file is being followed, and why not once that has come to its end: *DivergedError, or
// zodb.ErrClosed.
func (a *Attached) Err() error { return a.dataFile().closed() }

// Path returns the path of the Data.fs as given to Attach.
func (a *Attached) Path() string { return a.path }

// Magic returns the first four bytes of the file.
func (a *Attached) Magic() zodb.Magic { return a.dataFile().magic }

// HasBlobs reports whether there is a blob directory.
func (a *Attached) HasBlobs() bool { return a.blobs != nil }

// LastTid returns the tid of the last finished transaction, 0 when there is none.
func (a *Attached) LastTid() zodb.Tid {
	_, last := a.dataFile().get()
	return last
}

// Size returns the offset after the last finished transaction.
func (a *Attached) Size() int64 {
	end, _ := a.dataFile().get()
	return end
}

// OpenBlob opens the blob of a revision. *zodb.POSKeyError: there is none, or none any more.
func (a *Attached) OpenBlob(oid zodb.Oid, tid zodb.Tid) (vfs.File, error) {
	if a.blobs == nil {
		return nil, &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
	}
	return a.blobs.OpenBlob(oid, tid)
}

// Transactions is as Storage.Transactions.
func (a *Attached) Transactions(ctx context.Context, after zodb.Tid) iter.Seq2[zodb.Transaction, error] {
	return transactions(ctx, a, after, false)
}

// Follow is as Storage.Follow. A *DivergedError may be its end, too.
func (a *Attached) Follow(ctx context.Context, after zodb.Tid) iter.Seq2[zodb.Transaction, error] {
	return transactions(ctx, a, after, true)
}

// Iterate is as Storage.Iterate. A *DivergedError ends the iterator.
func (a *Attached) Iterate(after zodb.Tid, follow bool) (zodb.Iterator, error) {
	src, err := a.acquire()
	if err != nil {
		return nil, err
	}
	it, err := iterate(src, after, follow)
	if err != nil {
		return nil, fmt.Errorf("iterate %s after %v: %w", a.path, after, errors.Join(err, src.release()))
	}
	return it, nil
}

// Find is as Storage.Find.
func (a *Attached) Find(ctx context.Context, tid zodb.Tid) (Found, error) {
	src, err := a.acquire()
	if err != nil {
		return Found{}, err
	}
	found, err := src.find(ctx, tid)
	return found, errors.Join(err, src.release())
}

// Count is as Storage.Count.
func (a *Attached) Count(ctx context.Context, after zodb.Tid) (transactions int64, upTo zodb.Tid, err error) {
	src, err := a.acquire()
	if err != nil {
		return 0, 0, err
	}
	transactions, upTo, err = src.count(ctx, after)
	return transactions, upTo, errors.Join(err, src.release())
}

func (a *Attached) dataFile() *dataFile {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current
}

// acquire returns the current data file as a source, which keeps its file open until it is released.
func (a *Attached) acquire() (*source, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := a.current
	if err := g.ended(); err != nil {
		return nil, fmt.Errorf("read %s: %w", a.path, err)
	}
	if g.suspended {
		return nil, fmt.Errorf("read %s: %w", a.path, errUnfinished)
	}
	g.refs++
	src := g.source(a)
	src.release = func() error { return a.release(g) }
	return src, nil
}

// suspend hides a data file from readers, while nobody knows what is in the file.
func (a *Attached) suspend(g *dataFile) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !g.suspended {
		g.suspended = true
		_, last := g.get()
		g.advance(magicLen, last)
	}
}

// resume ends suspend.
func (a *Attached) resume(g *dataFile) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if g.suspended {
		g.suspended = false
		g.advance(g.walk.pos, g.last.tid)
	}
}

func (a *Attached) release(g *dataFile) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if g.refs--; g.refs > 0 {
		return nil
	}
	return g.file.Close()
}

// replace makes g the current data file, and the old one complete.
func (a *Attached) replace(g *dataFile) error {
	a.mu.Lock()
	old := a.current
	a.current = g
	a.mu.Unlock()
	old.close(errReplaced)
	return a.release(old)
}
