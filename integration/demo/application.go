package main

import (
	"context"
	"errors"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/zodb"
)

// pace is the time between two commits.
const pace = 10 * time.Millisecond

// shape is the database of the demonstration.
var shape = workload.Shape{Objects: 60, Blobs: 12, RecordSize: 2000, BlobSize: 300_000}

// An application is what changes the database.
type application interface {
	// begin starts committing.
	begin(ctx context.Context) error
	// stop ends the commits and returns the last tid, or what made them fail.
	stop() (zodb.Tid, error)
	close() error
	history() *history
}

// A history is what an application was told: the tids of all its commits.
type history struct {
	failed chan struct{} // closed when a commit fails

	mu   sync.Mutex
	tids []zodb.Tid
}

func newHistory() *history { return &history{failed: make(chan struct{})} }

func (h *history) add(tid zodb.Tid) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tids = append(h.tids, tid)
}

// all returns the tids so far.
func (h *history) all() []zodb.Tid {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.tids)
}

// committed returns the number of transactions so far.
func (h *history) committed() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.tids)
}

// after returns how many transactions are newer than tid.
func (h *history) after(tid zodb.Tid) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.tids) - sort.Search(len(h.tids), func(i int) bool { return h.tids[i] > tid })
}

// An owner is an application for where there is no Python: it owns the primary's files, which zrsd follows, and commits
// from a goroutine.
type owner struct {
	storage *filestorage.Storage
	owner   *workload.Owner
	told    *history

	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended
	err    error
}

func openOwner(ctx context.Context, n *node) (*owner, error) {
	storage, err := workload.Open(ctx, n.data, n.blobs)
	if err != nil {
		return nil, err
	}
	work, err := workload.NewOwner(ctx, storage, shape, uint64(time.Now().UnixNano()))
	if err != nil {
		return nil, errors.Join(err, storage.Close())
	}
	a := &owner{storage: storage, owner: work, told: newHistory()}
	a.told.add(storage.LastTid())
	return a, nil
}

func (a *owner) history() *history { return a.told }

func (a *owner) begin(ctx context.Context) error {
	ctx, a.cancel = context.WithCancel(ctx)
	a.done = make(chan struct{})
	go func() {
		defer close(a.done)
		if err := a.work(ctx); err != nil {
			a.err = err
			close(a.told.failed)
		}
	}()
	return nil
}

func (a *owner) work(ctx context.Context) error {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		tid, err := a.owner.Commit(context.WithoutCancel(ctx)) // a commit that has begun is finished
		if err != nil {
			return err
		}
		a.told.add(tid)
	}
}

func (a *owner) stop() (zodb.Tid, error) {
	if a.cancel == nil {
		return a.storage.LastTid(), nil
	}
	a.cancel()
	<-a.done
	return a.storage.LastTid(), a.err
}

func (a *owner) close() error {
	_, err := a.stop()
	return errors.Join(err, a.storage.Close())
}
