package main

import (
	"context"
	"errors"
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

// An application owns the primary's storage and commits to it from a goroutine, between begin and stop.
type application struct {
	storage *filestorage.Storage
	owner   *workload.Owner
	failed  chan struct{} // closed when a commit fails

	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended

	mu   sync.Mutex
	tids []zodb.Tid // of all commits
	err  error
}

func openApplication(ctx context.Context, n *node) (*application, error) {
	storage, err := workload.Open(ctx, n.data, n.blobs)
	if err != nil {
		return nil, err
	}
	owner, err := workload.NewOwner(ctx, storage, shape, uint64(time.Now().UnixNano()))
	if err != nil {
		return nil, errors.Join(err, storage.Close())
	}
	a := &application{storage: storage, owner: owner, failed: make(chan struct{}), tids: []zodb.Tid{storage.LastTid()}}
	return a, nil
}

// begin starts committing.
func (a *application) begin(ctx context.Context) {
	ctx, a.cancel = context.WithCancel(ctx)
	a.done = make(chan struct{})
	go func() {
		defer close(a.done)
		if err := a.work(ctx); err != nil {
			a.err = err
			close(a.failed)
		}
	}()
}

func (a *application) work(ctx context.Context) error {
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
		a.mu.Lock()
		a.tids = append(a.tids, tid)
		a.mu.Unlock()
	}
}

// stop ends the commits and returns the last tid, or what made them fail.
func (a *application) stop() (zodb.Tid, error) {
	if a.cancel == nil {
		return a.storage.LastTid(), nil
	}
	a.cancel()
	<-a.done
	return a.storage.LastTid(), a.err
}

func (a *application) close() error {
	_, err := a.stop()
	return errors.Join(err, a.storage.Close())
}

// committed returns the number of transactions so far.
func (a *application) committed() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.tids)
}

// after returns how many transactions are newer than tid.
func (a *application) after(tid zodb.Tid) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.tids) - sort.Search(len(a.tids), func(i int) bool { return a.tids[i] > tid })
}
