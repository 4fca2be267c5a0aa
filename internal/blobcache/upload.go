package blobcache

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// UploadOptions of NewUploader. All but Later, Claim and Logger are required.
type UploadOptions struct {
	Objects Objects
	FS      vfs.FS
	Data    string // of the storage, beside which it is noted how far the object store has everything
	Later   bool   // commits do not wait
	// Open opens a blob that is here; *zodb.POSKeyError: it is not.
	Open func(oid zodb.Oid, tid zodb.Tid) (vfs.File, error)
	// Leads reports whether blobs come to be by commits here. Only such a node uploads.
	Leads func() bool
	// Claim is made in the store before the first blob of an epoch. False, or nil: there is none to be made.
	Claim   func() (Claim, bool)
	Records func(after zodb.Tid) (zodb.Iterator, error) // to the end of what is there now
	Last    func() zodb.Tid
	Logger  hclog.Logger
}

const (
	uploadsAtOnce = 4
	uploadAgain   = 2 * time.Second  // after one that failed
	catchUpEvery  = 30 * time.Second // it is looked for blobs that are not in the object store
	leadsStill    = time.Second      // after which it is looked whether commits still wait
	maxPending    = 100_000          // that are remembered where commits do not wait; the others are found by looking
)

// An Uploader puts the blobs that are committed here into the object store. Its methods may be called concurrently.
type Uploader struct {
	opt UploadOptions

	mu      sync.Mutex
	pending list.List     // of *upload, as they came
	moved   chan struct{} // closed and replaced when one is done
	more    chan struct{} // has an element when there may be one to begin
	again   bool          // some were not remembered
	trouble error         // of the last attempt
	since   time.Time     // of trouble
	done    int64
	bytes   int64
	mark    mark
	claimed Claim // the last one that was made
}

type upload struct {
	revision
	busy bool
}

// NewUploader returns one. Run has to be called, too.
func NewUploader(opt UploadOptions) *Uploader {
	if opt.Logger == nil {
		opt.Logger = hclog.NewNullLogger()
	}
	return &Uploader{opt: opt, moved: make(chan struct{}), more: make(chan struct{}, uploadsAtOnce)}
}

// Published is told of each blob that gets its final name here.
func (u *Uploader) Published(oid zodb.Oid, tid zodb.Tid, _ int64) {
	if !u.opt.Leads() {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.opt.Later && u.pending.Len() >= maxPending {
		u.again = true
		return
	}
	u.pending.PushBack(&upload{revision: revision{oid, tid}})
	u.wake()
}

func (u *Uploader) wake() {
	select {
	case u.more <- struct{}{}:
	default:
	}
}

// Await waits until the object store has the blobs of all transactions up to tid that were committed here, unless
// uploads may come later.
func (u *Uploader) Await(ctx context.Context, tid zodb.Tid) error {
	for !u.opt.Later {
		waits, moved := u.waitsFor(tid)
		if !waits || !u.opt.Leads() {
			return nil
		}
		if err := waitFor(ctx, moved, leadsStill); err != nil {
			return err
		}
	}
	return nil
}

// waitFor waits for moved, or a time.
func waitFor(ctx context.Context, moved <-chan struct{}, most time.Duration) error {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-moved:
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

func (u *Uploader) waitsFor(tid zodb.Tid) (bool, <-chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for at := u.pending.Front(); at != nil; at = at.Next() {
		if at.Value.(*upload).tid <= tid {
			return true, u.moved
		}
	}
	return false, nil
}

// Run uploads until ctx ends.
func (u *Uploader) Run(ctx context.Context) {
	kept := u.loadMark()
	u.mu.Lock()
	u.mark = kept
	u.mu.Unlock()
	var all sync.WaitGroup
	for range uploadsAtOnce {
		all.Go(func() { u.work(ctx) })
	}
	u.catchUps(ctx)
	all.Wait()
}

func (u *Uploader) work(ctx context.Context) {
	for ctx.Err() == nil {
		at := u.begin()
		if at == nil {
			select {
			case <-u.more:
			case <-ctx.Done():
			}
			continue
		}
		one := at.Value.(*upload)
		size, err := u.upload(ctx, one.revision)
		u.end(at, size, err)
		if err != nil {
			_ = waitFor(ctx, nil, uploadAgain) // the loop ends with ctx
		}
	}
}

// begin returns the oldest blob that nobody uploads.
func (u *Uploader) begin() *list.Element {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for at := u.pending.Front(); at != nil && n <= uploadsAtOnce; at = at.Next() {
		if one := at.Value.(*upload); !one.busy {
			one.busy = true
			if at.Next() != nil {
				u.wake()
			}
			return at
		}
		n++
	}
	return nil
}

func (u *Uploader) end(at *list.Element, size int64, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	one := at.Value.(*upload)
	one.busy = false
	u.noteTrouble(err)
	if err != nil {
		return
	}
	u.pending.Remove(at)
	u.done++
	u.bytes += size
	close(u.moved)
	u.moved = make(chan struct{})
}

// noteTrouble is called with mu held.
func (u *Uploader) noteTrouble(err error) {
	switch {
	case err == nil && u.trouble != nil:
		u.opt.Logger.Info("blobs are uploaded again", "store", u.opt.Objects.Store.String())
		u.trouble, u.since = nil, time.Time{}
	case err != nil && u.trouble == nil && !errors.Is(err, context.Canceled):
		u.opt.Logger.Error("a blob cannot be uploaded; it stays here, and is tried again",
			"store", u.opt.Objects.Store.String(), "waiting", u.pending.Len(), "error", err,
			"warning", warning.UploadFailed)
		u.trouble, u.since = err, time.Now()
	}
}

// upload puts one blob into the store. One that is not here any more belongs to a transaction that was lost, or packed.
func (u *Uploader) upload(ctx context.Context, r revision) (size int64, err error) {
	f, err := u.opt.Open(r.oid, r.tid)
	if missing := (*zodb.POSKeyError)(nil); errors.As(err, &missing) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // only read
	if err := u.claim(ctx); err != nil {
		return 0, err
	}
	if size, err = u.opt.Objects.Put(ctx, r.oid, r.tid, f); err != nil {
		return 0, err
	}
	return size, nil
}

// claim makes the claim of the epoch in which this node leads, once. It comes before the blobs of that epoch.
func (u *Uploader) claim(ctx context.Context) error {
	if u.opt.Claim == nil {
		return nil
	}
	now, leads := u.opt.Claim()
	u.mu.Lock()
	done := !leads || u.claimed == now
	u.mu.Unlock()
	if done {
		return nil
	}
	if err := now.put(ctx, u.opt.Objects); err != nil && !errors.Is(err, objectstore.ErrExists) {
		return err
	}
	u.mu.Lock()
	u.claimed = now
	u.mu.Unlock()
	return nil
}

// Put stores a blob, verified and durable. *objectstore.Error with ErrExists: another content is there.
func (o Objects) Put(ctx context.Context, oid zodb.Oid, tid zodb.Tid, f vfs.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("blob of oid %v tid %v: %w", oid, tid, err)
	}
	_, err = o.Store.Put(ctx, Key(oid, tid), io.NewSectionReader(f, 0, info.Size()))
	return info.Size(), err
}

// catchUps looks now and then for what the store has not, from before this node led, or from before a crash.
func (u *Uploader) catchUps(ctx context.Context) {
	tick := time.NewTicker(catchUpEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if u.opt.Leads() {
			if err := u.catchUp(ctx); err != nil && ctx.Err() == nil {
				u.mu.Lock()
				u.noteTrouble(err)
				u.mu.Unlock()
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if err := u.saveMark(); err != nil {
		u.opt.Logger.Warn("what was uploaded cannot be noted; it is looked for again at the next start", "error", err,
			"warning", warning.FilesWrong)
	}
}

// catchUp goes through the records after the mark, and moves it.
func (u *Uploader) catchUp(ctx context.Context) error {
	if err := u.claim(ctx); err != nil {
		return err
	}
	u.mu.Lock()
	idle := u.pending.Len() == 0
	after := u.mark.uploaded
	u.again = false
	u.mu.Unlock()
	if !idle || after >= u.opt.Last() {
		return nil
	}
	it, err := u.opt.Records(after)
	if err != nil {
		return err
	}
	err = u.through(ctx, it)
	return errors.Join(err, it.Close(), u.saveMark())
}

func (u *Uploader) through(ctx context.Context, it zodb.Iterator) error {
	saved := time.Now()
	for {
		txn, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for rec, err := range zodb.Records(txn) {
			if err != nil {
				return err
			}
			if err := u.has(ctx, rec); err != nil {
				return err
			}
		}
		u.mu.Lock()
		u.mark.uploaded = txn.Meta().Tid
		u.mu.Unlock()
		if time.Since(saved) > catchUpEvery {
			saved = time.Now()
			if err := u.saveMark(); err != nil {
				return err
			}
		}
	}
}

// has makes sure that the store has the blob of a record.
func (u *Uploader) has(ctx context.Context, rec *zodb.Record) error {
	is, err := IsBlob(rec)
	if err != nil || !is {
		return err
	}
	f, err := u.opt.Open(rec.Oid, rec.Tid)
	if missing := (*zodb.POSKeyError)(nil); errors.As(err, &missing) {
		return nil // a blob cache has dropped it, because the store has it; or it was lost: zrsd blobs verify tells
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	at, err := u.opt.Objects.Store.Stat(ctx, Key(rec.Oid, rec.Tid))
	switch {
	case errors.Is(err, objectstore.ErrNotExist):
	case err != nil:
		return err
	case at.Size == info.Size():
		return nil
	}
	_, err = u.opt.Objects.Put(ctx, rec.Oid, rec.Tid, f)
	return err
}

// IsBlob reports whether a record is one of a blob. It reads the beginning of its data.
func IsBlob(rec *zodb.Record) (bool, error) {
	if rec.Data == nil {
		return false, nil
	}
	head := make([]byte, zodb.BlobHeadLen)
	n, err := io.ReadFull(rec.Data, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	return zodb.IsBlobRecord(head[:n]), nil
}

// UploadStats are what an Uploader has done and has to do.
type UploadStats struct {
	Waiting, Done, Bytes int64
	Trouble              error // nil: none
	Since                time.Time
	Uploaded             zodb.Tid // the store has everything up to here
}

// Stats returns them.
func (u *Uploader) Stats() UploadStats {
	u.mu.Lock()
	defer u.mu.Unlock()
	return UploadStats{Waiting: int64(u.pending.Len()), Done: u.done, Bytes: u.bytes, Trouble: u.trouble,
		Since: u.since, Uploaded: u.mark.uploaded}
}
