package node

import (
	"context"
	"errors"
	"sync"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
)

// A handle is where commands find the storage of a node, while that is open. It may be used concurrently.
type storageHandle struct {
	mu   sync.Mutex
	open *heldStorage // nil: no storage
}

// A heldStorage is a storage that is open.
type heldStorage struct {
	undoLister
	closing context.Context // ends when commands have to
	users   sync.WaitGroup  // commands at work
}

// An undoLister is a storage, owned or attached to.
type undoLister interface {
	UndoLog(ctx context.Context, first, last int, filter func(*filestorage.UndoEntry) bool) ([]filestorage.UndoEntry,
		error)
}

var errClosing = &admin.Refusal{Reason: admin.Unavailable, Text: "given up: the storage is closing"}

// put lets commands use st until remove is called, which ends those at work and waits for them.
func (d *storageHandle) put(st undoLister) (remove func()) {
	closing, end := context.WithCancelCause(context.Background())
	it := &heldStorage{undoLister: st, closing: closing}
	d.set(it)
	return func() {
		d.set(nil)
		end(errClosing)
		it.users.Wait()
	}
}

func (d *storageHandle) set(it *heldStorage) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = it
}

// use has a command work with the storage that is open. The context ends with ctx, and when the storage closes.
func (d *storageHandle) use(ctx context.Context, command func(context.Context, undoLister) error) error {
	it := d.take()
	if it == nil {
		return &admin.Refusal{Reason: admin.Unavailable, Text: "the storage is not open now: zrsd status says why"}
	}
	defer it.users.Done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(it.closing, func() { cancel(context.Cause(it.closing)) })
	defer stop()
	err := command(ctx, it.undoLister)
	if err != nil && errors.Is(context.Cause(ctx), errClosing) {
		return errClosing
	}
	return err
}

func (d *storageHandle) take() *heldStorage {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open != nil {
		d.open.users.Add(1)
	}
	return d.open
}
