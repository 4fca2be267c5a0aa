package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// pack packs the storage of this node; by says for the log who wants it.
func (c *Config) pack(ctx context.Context, req admin.PackRequest, by string, progress func(admin.PackProgress)) (
	result admin.PackResult, err error) {
	err = c.handle.use(ctx, func(ctx context.Context, st undoLister) error {
		own, ok := st.(*filestorage.Storage)
		if !ok {
			return &admin.Refusal{Reason: admin.NotAllowed,
				Text: "the storage belongs to the process that this one is attached to: pack it there"}
		}
		result, err = c.packStorage(ctx, own, req, by, progress)
		return err
	})
	return result, err
}

func (c *Config) packStorage(ctx context.Context, st *filestorage.Storage, req admin.PackRequest, by string,
	progress func(admin.PackProgress)) (admin.PackResult, error) {
	begun := time.Now()
	if req.Until.IsZero() {
		req.Until = begun
	}
	stop, err := zodb.TidFromTime(req.Until)
	if err != nil {
		return admin.PackResult{}, &admin.Refusal{Reason: admin.Invalid, Text: fmt.Sprintf("packing until %v: %v",
			req.Until, err)}
	}
	if c.delay != nil {
		limit, all := c.delay.packLimit()
		switch {
		case all || stop <= limit:
		case limit == 0:
			return admin.PackResult{}, &admin.Refusal{Reason: admin.NotAllowed, Text: "clients of this secondary see " +
				"nothing yet: what it shows next must stay in the file"}
		default:
			stop = limit // what is not shown yet, and what is shown now, must stay
		}
	}
	opt := c.packOptions(req)
	opt.Progress = func(p filestorage.PackProgress) {
		progress(admin.PackProgress{Phase: p.Phase, Done: p.Done, Total: p.Total})
	}
	c.Logger.Info("pack started by "+by, "until", stop, "gc", opt.GC, "keep_old", opt.KeepOld)
	r, err := st.Pack(ctx, stop, opt)
	if r.Packed && c.healer != nil {
		c.healer.packed()
	}
	if r.Packed && c.resized != nil {
		c.resized()
	}
	if err != nil {
		c.Logger.Error("pack failed", "error", err, "packed", r.Packed, "warning", warning.PackFailed)
		return admin.PackResult{}, packError(r, err)
	}
	c.Logger.Info("pack done", "packed", r.Packed, "before", r.Before, "after", r.After, "pause", r.Pause,
		"duration", time.Since(begun))
	result := admin.PackResult{
		Packed: r.Packed, Before: r.Before, After: r.After, Objects: int64(r.Objects), Blobs: int64(r.Blobs),
		Pause: r.Pause.Seconds(), Duration: time.Since(begun).Seconds(),
	}
	if !r.Packed {
		result.Before, result.After, result.Objects = st.Size(), st.Size(), int64(st.Len())
	}
	return result, nil
}

// packOptions are how the storage is packed, for a command or for a ZEO client, whose request says nothing of it.
func (c *Config) packOptions(req admin.PackRequest) filestorage.PackOptions {
	opt := filestorage.PackOptions{GC: orElse(req.GC, !c.PackNoGC), KeepOld: orElse(req.KeepOld, !c.PackNoOld)}
	if c.healer != nil && !req.CopyDamage {
		opt.Refuse = c.healer.refusesPack
	}
	return opt
}

func orElse(choice *bool, otherwise bool) bool {
	if choice != nil {
		return *choice
	}
	return otherwise
}

// packError puts into words why a pack failed.
func packError(r filestorage.PackResult, err error) error {
	var damaged *DamagedError
	switch {
	case errors.As(err, &damaged):
		return &admin.Refusal{Reason: admin.NotAllowed, Text: err.Error()}
	case errors.Is(err, filestorage.ErrPacking):
		return &admin.Refusal{Reason: admin.Busy, Text: err.Error()}
	case errors.Is(err, zodb.ErrReadOnly):
		return &admin.Refusal{Reason: admin.NotAllowed, Text: "the storage is open for reading only: pack it " +
			"in the process that writes it"}
	case r.Packed:
		return fmt.Errorf("the data file is packed; what is left to do for the blobs is tried again every minute: %w",
			err)
	}
	return err
}

// UndoLog lists what can be undone in a storage, as an operator asks for it.
func UndoLog(ctx context.Context, st undoLister, q admin.UndoQuery) ([]admin.UndoEntry, error) {
	user, description := []byte(q.User), []byte(q.Description)
	found, err := st.UndoLog(ctx, q.First, q.First+q.Count, func(e *filestorage.UndoEntry) bool {
		if !bytes.Contains(e.User, user) || !bytes.Contains(e.Description, description) {
			return false
		}
		// A list of a thousand is not to keep what nobody is shown of them.
		e.User, e.Description, e.Extension = shortened(e.User), shortened(e.Description), nil
		return true
	})
	if err != nil {
		return nil, err
	}
	list := make([]admin.UndoEntry, len(found))
	for i := range found {
		e := &found[i]
		list[i] = admin.UndoEntry{
			ID: e.ID(), Tid: e.Tid, Time: e.Tid.Time().UTC(), Size: e.Size,
			User: string(e.User), Description: string(e.Description),
		}
	}
	return list, nil
}

// shortened returns text as UTF-8, at most admin.MaxUndoText bytes of it.
func shortened(b []byte) []byte {
	text := strings.ToValidUTF8(string(b), string(utf8.RuneError))
	if len(text) <= admin.MaxUndoText {
		return []byte(text)
	}
	const more = "…"
	return []byte(strings.ToValidUTF8(text[:admin.MaxUndoText-len(more)], "") + more)
}

// A storageHandle is where commands find the storage of a node, while that is open. It may be used concurrently.
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

var errNotOpen = &admin.Refusal{Reason: admin.Unavailable, Text: "the storage is not open now: zrsd status says why"}

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
		return errNotOpen
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
