package hashchain

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// A Source is a storage: a *filestorage.Storage or a *filestorage.Attached.
type Source interface {
	// Iterate begins after a tid; a following iterator waits at the end for more.
	Iterate(after zodb.Tid, follow bool) (zodb.Iterator, error)
	// Find wraps zodb.ErrNoTid when there is no such transaction.
	Find(ctx context.Context, tid zodb.Tid) (filestorage.Found, error)
	LastTid() zodb.Tid
	Size() int64
}

// Options of a Local.
type Options struct {
	// Saved is what Save was last called with.
	Saved state.Chain
	// Save keeps a chain; what it returns is logged. Nil: nothing is kept.
	Save func(state.Chain) error
	// Every is how often that is done while there is something new; default 30 s.
	every time.Duration
	// Retry is waited before a storage is read again that could not be read; default 10 s.
	Retry  time.Duration
	Logger hclog.Logger
}

// A Local is the chain of a storage that this process has open. Its methods may be called concurrently.
type Local struct {
	src Source
	opt Options
	log hclog.Logger

	life    context.Context // of the goroutines
	end     context.CancelFunc
	running sync.WaitGroup

	scanning chan struct{} // held by the one who computes a value

	mu     sync.Mutex
	chain  chainWriter
	pos    int64      // up to which the file has been read
	last   zodb.Tid   // of the transaction that ends there
	ahead  bool       // an iterator from before is not there yet
	recent []recent   // the last ones computed
	saved  checkpoint // the newest one kept
	dueAt  int64      // of the file: from there on it is kept again

	due chan struct{} // one slot
}

// Keep begins to follow src, from the newest saved checkpoint that is still right. The caller closes the Local before
// it closes src.
func Keep(src Source, opt Options) *Local {
	if opt.every <= 0 {
		opt.every = 30 * time.Second
	}
	if opt.Retry <= 0 {
		opt.Retry = 10 * time.Second
	}
	if opt.Logger == nil {
		opt.Logger = hclog.NewNullLogger()
	}
	l := &Local{src: src, opt: opt, log: opt.Logger.Named("history"), scanning: make(chan struct{}, 1),
		due: make(chan struct{}, 1)}
	l.life, l.end = context.WithCancel(context.Background())
	caught := make(chan struct{})
	l.running.Go(func() {
		defer close(caught)
		l.run()
	})
	l.running.Go(func() { l.keepSaving(caught) })
	return l
}

// Close stops following and keeps how far it has come.
func (l *Local) Close() {
	l.end()
	l.running.Wait()
}

// run follows the storage. After an error it continues where it was: nothing is known to be wrong but this one attempt.
func (l *Local) run() {
	told := ""
	for {
		err := l.follow()
		if l.life.Err() != nil || errors.Is(err, zodb.ErrClosed) {
			return
		}
		if errors.Is(err, errAhead) {
			pause.For(l.life, busyRest) // there is more to come
			continue
		}
		if err.Error() != told {
			told = err.Error()
			l.log.Error("cannot continue the hash chain, retrying", "interval", l.opt.Retry, "error", err,
				"warning", warning.Damaged)
		}
		if !pause.For(l.life, l.opt.Retry) {
			return
		}
	}
}

// begin returns an iterator from where the chain is, or from where it was when it was saved.
func (l *Local) begin() (zodb.Iterator, error) {
	l.mu.Lock()
	read, last := l.pos > 0, l.last
	l.ahead = false
	l.mu.Unlock()
	var kept chainWriter
	if !read {
		var err error
		if kept, err = l.resume(); err != nil {
			return nil, err
		}
		last = kept.head.Tid
	}
	it, err := l.src.Iterate(last, true)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !read:
		l.chain, l.saved, l.last = kept, kept.head, last
	case l.ahead:
		return nil, errors.Join(errAhead, it.Close())
	}
	l.pos = it.Position()
	return it, nil
}

func (l *Local) follow() (err error) {
	it, err := l.begin()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	p := &throttle{since: time.Now(), pos: it.Position()}
	for {
		txn, err := it.Next(l.life)
		if err == nil {
			err = l.take(txn, it)
		}
		if err != nil {
			return err
		}
		p.step(l.life, it.Position(), l.src.Size())
	}
}

// resume returns the chain up to the newest saved checkpoint that is right, an empty one when none is.
func (l *Local) resume() (chainWriter, error) {
	marks := l.opt.Saved.Checkpoints
	for i, m := range slices.Backward(marks) {
		why, err := l.stands(l.life, m)
		if err != nil {
			return chainWriter{}, err
		}
		if why == "" {
			return chainWriter{
				base:        l.opt.Saved.Base,
				based:       true,
				head:        m,
				checkpoints: slices.Clone(marks[:i+1]),
				scale:       1,
			}, nil
		}
		l.log.Info("dropped a checkpoint of the hash chain", "tid", m.Tid, "reason", why)
	}
	return chainWriter{based: true, scale: 1}, nil
}

// take adds a transaction to the chain.
func (l *Local) take(txn zodb.Transaction, it zodb.Iterator) error {
	if l.isAhead() {
		return errAhead
	}
	meta := txn.Meta()
	t := filestorage.Appended{Tid: meta.Tid, Status: meta.Status, End: it.Position()}
	if t.Status != zodb.StatusPacked && t.Status != zodb.StatusUndone {
		var err error
		if t.Digest, err = zodb.DigestOf(txn); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ahead {
		return errAhead
	}
	l.add(&t)
	return nil
}

func (l *Local) isAhead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ahead
}

// errAhead says that there are transactions in the chain that the iterator has still to come to.
var errAhead = errors.New("the chain is ahead of the iterator")

// add adds the next transaction, with mu held.
func (l *Local) add(t *filestorage.Appended) {
	switch t.Status {
	case zodb.StatusPacked:
		l.chain.packed()
	case zodb.StatusUndone: // it counts as absent
	default:
		l.chain.take(t.Tid, t.Digest, t.End-l.pos)
	}
	l.pos, l.last = t.End, t.Tid
}

// Appended adds transactions whose digests are known, as filestorage.AppendOptions.Durable has them: they begin at
// start, after transaction after, and are visible. It leaves out those that have been read already. A Local that has
// not come as far as start reads them later.
func (l *Local) Appended(after zodb.Tid, start int64, txns []filestorage.Appended) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pos != start || l.last != after {
		i, here := slices.BinarySearchFunc(txns, l.pos, func(t filestorage.Appended, pos int64) int {
			return cmp.Compare(t.End, pos)
		})
		if !here || txns[i].Tid != l.last {
			return
		}
		txns = txns[i+1:]
	}
	for i := range txns {
		l.add(&txns[i])
	}
	l.ahead = l.ahead || len(txns) > 0
	if l.pos >= l.dueAt {
		l.dueAt = l.pos + saveBytes
		select {
		case l.due <- struct{}{}:
		default:
		}
	}
}

// saveBytes is after how much of what is appended the chain is kept: so much a process that was killed reads again.
const saveBytes = 128 << 20

// keepSaving keeps the chain now and then, and once more when following has ended.
func (l *Local) keepSaving(ended <-chan struct{}) {
	if l.opt.Save == nil {
		return
	}
	ticker := time.NewTicker(l.opt.every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			l.save()
		case <-l.due:
			l.save()
		case <-ended:
			l.save()
			return
		}
	}
}

func (l *Local) save() {
	l.mu.Lock()
	chain, saved := l.chain.durable(), l.saved
	l.mu.Unlock()
	if last := chain.Last(); last.Count == 0 || last == saved {
		return
	}
	if err := l.opt.Save(chain); err != nil {
		l.log.Warn("cannot save the hash chain; the next start reads more of the file again", "error", err,
			"warning", warning.FilesWrong)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.saved = chain.Last()
}

// A Status is how far a chain is.
type Status struct {
	Base   zodb.Tid
	Head   Point
	Known  bool  // false: nothing is known of it yet
	Behind int64 // bytes of the file that have still to be read
}

// Status returns it without reading anything.
func (l *Local) Status() Status {
	size := l.src.Size()
	l.mu.Lock()
	defer l.mu.Unlock()
	return Status{
		Base: l.chain.base, Head: point(l.chain.head), Known: l.pos > 0 && l.chain.based,
		Behind: max(size-l.pos, 0),
	}
}

// How the reader yields to others: after each turn it rests for as long as that took, and while
// the storage grows, as when a secondary catches up, much longer. Then it falls behind, which costs nothing: what a
// handshake needs is read for it.
const (
	turn     = 8 << 20                // bytes read at a time
	busyRest = 250 * time.Millisecond // after a turn in which the storage grew
)

// A throttle says when to rest. It is for one goroutine.
type throttle struct {
	since time.Time // when the turn began
	pos   int64     // where
	size  int64     // of the storage then
}

// step is told each place that was reached, and rests at the end of a turn.
func (p *throttle) step(ctx context.Context, pos, size int64) {
	if pos-p.pos >= 0 && pos-p.pos < turn {
		return
	}
	d := time.Since(p.since)
	if size != p.size {
		d = max(d, busyRest)
	}
	if p.size != 0 { // not before the first turn
		pause.For(ctx, d)
	}
	*p = throttle{time.Now(), pos, size}
}
