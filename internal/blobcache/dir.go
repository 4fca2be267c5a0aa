package blobcache

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// A Source is where blobs are fetched from. Its methods may be called concurrently.
type Source interface {
	String() string
	// Keeps reports whether it never drops a blob that a record has.
	Keeps() bool
	// Size asks for the size of a blob; a *zodb.POSKeyError when the source has none.
	Size(ctx context.Context, oid zodb.Oid, tid zodb.Tid) (int64, error)
	// Fetch makes into what the blob is, and returns its size. What into has already may be anything. The content is
	// proved when the error is nil; a *zodb.POSKeyError when the source has none.
	Fetch(ctx context.Context, oid zodb.Oid, tid zodb.Tid, into zodb.BlobPart) (int64, error)
}

// Options of New. Store, Target and Sources are required.
type Options struct {
	Store   *blobstore.Store
	Target  int64           // bytes of blobs that are kept
	Check   int             // percent of the target that come between two looks; 0: 10
	Sources func() []Source // in the order in which they are asked
	// Expect reports whether the storage has a blob record of this revision; nil: yes. Nothing else is fetched.
	Expect func(oid zodb.Oid, tid zodb.Tid) bool
	AtOnce int           // fetches at a time; 0: 4
	Wait   time.Duration // the longest time of a fetch that nobody bounds; 0: an hour
	Logger hclog.Logger
}

// A Dir is a blob directory of which a part is here. It is what a storage needs of a blob directory. Its methods may be
// called concurrently.
type Dir struct {
	*blobstore.Store
	opt   Options
	life  context.Context // OpenBlob of a storage has none of its own
	turns chan struct{}   // of fetches
	look  chan struct{}   // wakes the evictor

	mu      sync.Mutex
	known   map[revision]*list.Element // of order
	order   list.List                  // of *entry, the last used in front
	bytes   int64
	since   int64 // bytes that have come since the evictor looked
	flights map[revision]*flight
	failed  map[string]failure // of sources, when they were asked last

	counts counters
}

type counters struct{ hits, misses, fetched, failed, evicted, stuck atomic.Int64 }

type revision struct {
	oid zodb.Oid
	tid zodb.Tid
}

// An entry is a blob that is here.
type entry struct {
	revision
	size int64
}

// New returns the directory as a cache. Run has to be called, too.
func New(life context.Context, opt Options) *Dir {
	if opt.Check == 0 {
		opt.Check = 10
	}
	if opt.AtOnce == 0 {
		opt.AtOnce = 4
	}
	if opt.Wait == 0 {
		opt.Wait = time.Hour
	}
	if opt.Logger == nil {
		opt.Logger = hclog.NewNullLogger()
	}
	d := &Dir{
		Store: opt.Store, opt: opt, life: life, turns: make(chan struct{}, opt.AtOnce), look: make(chan struct{}, 1),
		known: map[revision]*list.Element{}, flights: map[revision]*flight{}, failed: map[string]failure{},
	}
	opt.Store.KeepParts(true)
	opt.Store.Published = d.published
	return d
}

// KeepParts does nothing: a fetch goes on with what is there.
func (d *Dir) KeepParts(bool) {}

// OpenHere opens a blob that is here, without waiting; *zodb.POSKeyError: it is not.
func (d *Dir) OpenHere(oid zodb.Oid, tid zodb.Tid) (vfs.File, error) {
	f, err := d.Store.OpenBlob(oid, tid)
	if err == nil {
		d.used(revision{oid, tid})
		d.counts.hits.Add(1)
	}
	return f, err
}

// OpenBlob opens a blob, and fetches it before that if it has to. The errors are those of the package's documentation.
func (d *Dir) OpenBlob(oid zodb.Oid, tid zodb.Tid) (vfs.File, error) {
	ctx, cancel := context.WithTimeout(d.life, d.opt.Wait)
	defer cancel()
	return d.Open(ctx, oid, tid)
}

// evictedMeanwhile is how often a blob is fetched again that went before it could be opened.
const evictedMeanwhile = 5

// Open is OpenBlob with a context. A blob whose file has another size than was noted of it is fetched again.
func (d *Dir) Open(ctx context.Context, oid zodb.Oid, tid zodb.Tid) (vfs.File, error) {
	for n := 0; ; n++ {
		f, err := d.OpenHere(oid, tid)
		missing, damaged := (*zodb.POSKeyError)(nil), (*zodb.DamagedBlobError)(nil)
		if !errors.As(err, &missing) && !errors.As(err, &damaged) || n == evictedMeanwhile {
			return f, err
		}
		if damaged != nil {
			d.opt.Logger.Warn("a blob in the cache is damaged, fetching it again", "oid", oid, "tid", tid, "error", err,
				"warning", warning.Damaged)
		}
		if err := d.fetch(ctx, revision{oid, tid}); err != nil {
			return nil, err
		}
	}
}

// Stat returns the size of a blob, wherever it is.
func (d *Dir) Stat(oid zodb.Oid, tid zodb.Tid) (int64, error) {
	size, err := d.Store.Stat(oid, tid)
	if missing := (*zodb.POSKeyError)(nil); !errors.As(err, &missing) {
		return size, err
	}
	ctx, cancel := context.WithTimeout(d.life, d.opt.Wait)
	defer cancel()
	err = d.ask(ctx, revision{oid, tid}, func(s Source) (err error) {
		size, err = s.Size(ctx, oid, tid)
		return err
	})
	return size, err
}

// Where asks who else has a blob. The errors are those of the package's documentation.
func (d *Dir) Where(ctx context.Context, oid zodb.Oid, tid zodb.Tid) (source string, err error) {
	err = d.ask(ctx, revision{oid, tid}, func(s Source) error {
		source = s.String()
		_, err := s.Size(ctx, oid, tid)
		return err
	})
	return source, err
}

// An AwayError says that a blob is not here, and that who may have it cannot be asked now.
type AwayError struct {
	Oid    zodb.Oid
	Tid    zodb.Tid
	Errors []error // of each source; that one of them has none is not what this error says
}

func (e *AwayError) Error() string {
	return fmt.Sprintf("the blob of oid %v tid %v is not in the blob cache and cannot be fetched now: %v", e.Oid, e.Tid,
		errors.Join(e.Errors...))
}

func (d *Dir) used(r revision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.known[r]; e != nil {
		d.order.MoveToFront(e)
	}
}

// published notes a blob that has got its final name.
func (d *Dir) published(oid zodb.Oid, tid zodb.Tid, size int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.add(&entry{revision: revision{oid, tid}, size: size}, true)
	if d.since += size; d.since >= d.opt.Target*int64(d.opt.Check)/100 || d.bytes > d.opt.Target {
		d.wake()
	}
}

// add notes a blob, with mu held.
func (d *Dir) add(e *entry, front bool) {
	if old := d.known[e.revision]; old != nil {
		d.drop(old)
	}
	if front {
		d.known[e.revision] = d.order.PushFront(e)
	} else {
		d.known[e.revision] = d.order.PushBack(e)
	}
	d.bytes += e.size
}

// drop forgets a blob, with mu held.
func (d *Dir) drop(at *list.Element) {
	e := at.Value.(*entry)
	d.order.Remove(at)
	delete(d.known, e.revision)
	d.bytes -= e.size
}

func (d *Dir) wake() {
	select {
	case d.look <- struct{}{}:
	default:
	}
}
