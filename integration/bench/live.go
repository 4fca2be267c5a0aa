package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

const (
	livePace    = 5 * time.Millisecond // 200 transactions/s
	liveSeconds = 30
	liveRecord  = 1000
)

// live commits at a steady pace to a storage that this program owns and streams, and measures how long after its
// commit each transaction is visible in the files of a secondary process, which somebody else follows there.
func (b *bench) live(ctx context.Context, dir string) error {
	count := b.scaled(liveSeconds * int(time.Second/livePace))
	syncs, err := fsyncs(ctx, dir, liveRecord, count, livePace)
	if err != nil {
		return err
	}
	b.report.add("fsync of 1 KB at that pace, p50", ms(quantile(syncs, 0.5)), "ms")
	b.report.add("fsync of 1 KB at that pace, p99", ms(quantile(syncs, 0.99)), "ms")
	l, err := b.liveSite(ctx, dir)
	if err != nil {
		return err
	}
	late, err := l.measure(ctx, count)
	if err := errors.Join(err, l.close()); err != nil {
		return err
	}
	b.report.add("commit to visible, p50", ms(quantile(late, 0.5)), "ms")
	goal := 2*quantile(syncs, 0.99) + 2*time.Millisecond
	b.report.atMost("commit to visible, p99", ms(quantile(late, 0.99)), "ms", ms(goal))
	return nil
}

// A liveSite is a storage with its primary in this process, and a secondary in another.
type liveSite struct {
	storage   *filestorage.Storage
	owner     *workload.Owner
	primary   *primary.Primary
	served    chan error
	secondary *daemon.Process
	replica   string
}

func (b *bench) liveSite(ctx context.Context, dir string) (l *liveSite, err error) {
	l = &liveSite{served: make(chan error, 1)}
	if l.storage, err = workload.Open(ctx, filepath.Join(dir, "Data.fs"), ""); err != nil {
		return nil, err
	}
	shape := workload.Shape{Objects: 1000, RecordSize: liveRecord}
	if l.owner, err = workload.NewOwner(ctx, l.storage, shape, 1); err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l.primary = primary.New(l.storage, primary.Options{Name: "bench", Identity: benchIdentity})
	go func() { l.served <- l.primary.Serve(ctx, listener) }()

	replica := filepath.Join(dir, "replica")
	if err := os.Mkdir(replica, 0o755); err != nil {
		return nil, err
	}
	l.replica = filepath.Join(replica, "Data.fs")
	l.secondary, err = daemon.Start(b.zrsd, filepath.Join(replica, "admin"), nil,
		"secondary", "--data", l.replica, "--replicate-from", listener.Addr().String())
	if err != nil {
		return nil, err
	}
	return l, l.secondary.Reached(ctx, l.storage.LastTid())
}

// benchIdentity is the identity of a storage that lives for one measurement.
func benchIdentity() (string, []protocol.Epoch) {
	return "62656e63-6800-4000-8000-000000000000", []protocol.Epoch{{Number: 1}}
}

func (l *liveSite) close() error {
	ctx := context.Background()
	err := errors.Join(l.primary.Shutdown(ctx), <-l.served)
	return errors.Join(err, l.secondary.Kill(), l.storage.Close())
}

// measure makes count commits and returns how late each became visible, ascending.
func (l *liveSite) measure(ctx context.Context, count int) ([]time.Duration, error) {
	watch, err := newWatch(ctx, l.replica, l.storage.LastTid())
	if err != nil {
		return nil, err
	}
	committed := map[zodb.Tid]time.Time{}
	var last zodb.Tid
	tick := time.NewTicker(livePace)
	defer tick.Stop()
	for range count {
		<-tick.C
		if last, err = l.owner.Commit(ctx); err != nil {
			return nil, errors.Join(err, watch.close())
		}
		committed[last] = time.Now()
	}
	if err := errors.Join(l.secondary.Reached(ctx, last), watch.until(ctx, last), watch.close()); err != nil {
		return nil, err
	}
	var late []time.Duration
	for tid, at := range committed {
		seen, ok := watch.seen[tid]
		if !ok {
			return nil, fmt.Errorf("transaction %v was never seen in the secondary", tid)
		}
		late = append(late, seen.Sub(at))
	}
	slices.Sort(late)
	return late, nil
}

// A watch follows a Data.fs that another process writes and notes when each transaction appears.
type watch struct {
	attached *filestorage.Attached
	iterator zodb.Iterator
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu   sync.Mutex
	seen map[zodb.Tid]time.Time // to be read after close
	news chan struct{}          // one token when seen has grown
	err  error
}

func newWatch(ctx context.Context, data string, after zodb.Tid) (w *watch, err error) {
	w = &watch{seen: map[zodb.Tid]time.Time{}, news: make(chan struct{}, 1)}
	if w.attached, err = filestorage.Attach(ctx, data, filestorage.AttachOptions{}); err != nil {
		return nil, err
	}
	if w.iterator, err = w.attached.Iterate(after, true); err != nil {
		return nil, errors.Join(err, w.attached.Close())
	}
	ctx, w.cancel = context.WithCancel(ctx)
	w.wg.Go(func() { w.err = w.follow(ctx) })
	return w, nil
}

func (w *watch) follow(ctx context.Context) error {
	for {
		txn, err := w.iterator.Next(ctx)
		switch {
		case errors.Is(err, context.Canceled):
			return nil // close does that
		case err != nil:
			return err
		}
		w.mu.Lock()
		w.seen[txn.Meta().Tid] = time.Now()
		w.mu.Unlock()
		select {
		case w.news <- struct{}{}:
		default:
		}
	}
}

// until waits until tid has been seen.
func (w *watch) until(ctx context.Context, tid zodb.Tid) error {
	for {
		w.mu.Lock()
		_, ok := w.seen[tid]
		w.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-w.news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (w *watch) close() error {
	w.cancel()
	w.wg.Wait()
	return errors.Join(w.err, w.iterator.Close(), w.attached.Close())
}
