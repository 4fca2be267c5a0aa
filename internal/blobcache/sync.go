package blobcache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/zodb"
)

// SyncOptions of Push, Pull and Verify.
type SyncOptions struct {
	Objects Objects
	Dir     *blobstore.Store
	Records zodb.Iterator // of the whole storage, without blobs
	DryRun  bool          // nothing is written
	Read    bool          // Verify reads the content of all objects
	AtOnce  int           // 0: 4
	// Report is told of each blob of which something is said; Progress of the records and bytes that were looked at.
	Report   func(Finding)
	Progress func(blobs, bytes int64)
}

// A Finding is what is said of one blob.
type Finding struct {
	Oid   zodb.Oid `json:"oid"`
	Tid   zodb.Tid `json:"tid"`
	What  string   `json:"what"` // pushed, pulled, missing, missing-here, different, damaged, unneeded, removed, failed
	Bytes int64    `json:"bytes"`
	Text  string   `json:"text,omitempty"`
}

// What is said of a blob.
const (
	Pushed      = "pushed"       // it was put into the store, or would be
	Pulled      = "pulled"       // it was fetched, or would be
	MissingHere = "missing-here" // it is in the store only
	Missing     = "missing"      // it is neither here nor there
	NotThere    = "not-there"    // it is here only
	Different   = "different"    // it has another size here than there
	Damaged     = "damaged"      // its content there is not what was put there
	Unneeded    = "unneeded"     // there is no record of it
	Removed     = "removed"      // it was unneeded for long enough
	Failed      = "failed"       // Text says why
)

// A Summary counts blobs by what was said of them.
type Summary struct {
	Records int64            `json:"records"` // blobs that the storage has
	Same    int64            `json:"same"`    // of these, those of which nothing was said
	Said    map[string]int64 `json:"said"`
	Bytes   int64            `json:"bytes"` // that were moved or read
}

// Bad reports whether a blob of the storage is not where it should be.
func (s *Summary) Bad() bool {
	for _, what := range []string{Missing, Different, Damaged, Failed} {
		if s.Said[what] > 0 {
			return true
		}
	}
	return false
}

// A syncing is one run.
type syncing struct {
	opt   SyncOptions
	there map[revision]objectstore.Object // what the store has, without keys
	said  chan Finding
	sum   Summary
}

// Push puts what the store lacks into it.
func Push(ctx context.Context, opt SyncOptions) (*Summary, error) {
	return run(ctx, opt, (*syncing).push)
}

// Pull fetches what is not here. Nothing that is here is changed.
func Pull(ctx context.Context, opt SyncOptions) (*Summary, error) {
	return run(ctx, opt, (*syncing).pull)
}

// Verify compares what is here with what is there, and both with the records.
func Verify(ctx context.Context, opt SyncOptions) (*Summary, error) {
	return run(ctx, opt, (*syncing).verify)
}

func run(ctx context.Context, opt SyncOptions, each func(*syncing, context.Context, revision) error) (*Summary, error) {
	if opt.AtOnce == 0 {
		opt.AtOnce = 4
	}
	s := &syncing{opt: opt, there: map[revision]objectstore.Object{}, said: make(chan Finding),
		sum: Summary{Said: map[string]int64{}}}
	if err := s.list(ctx); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for f := range s.said {
			s.count(f)
		}
	}()
	err := s.all(ctx, each)
	if err == nil {
		s.unneeded()
	}
	close(s.said)
	<-done
	return &s.sum, err
}

// same is what is said of a blob of which there is nothing to say.
const same = ""

func (s *syncing) count(f Finding) {
	if f.What == same {
		s.sum.Same++
	} else {
		s.sum.Said[f.What]++
		s.opt.Report(f)
	}
	s.sum.Bytes += f.Bytes
	if f.What != Unneeded {
		s.sum.Records++
	}
	s.opt.Progress(s.sum.Records, s.sum.Bytes)
}

// list notes what the store has, some 100 bytes in memory for each.
func (s *syncing) list(ctx context.Context) error {
	return s.opt.Objects.Each(ctx, func(oid zodb.Oid, tid zodb.Tid, o objectstore.Object) {
		s.there[revision{oid, tid}] = objectstore.Object{Size: o.Size, Changed: o.Changed}
	})
}

// all goes through the records.
func (s *syncing) all(ctx context.Context, each func(*syncing, context.Context, revision) error) error {
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(s.opt.AtOnce)
	seen := map[revision]bool{}
	err := EachBlob(ctx, s.opt.Records, func(oid zodb.Oid, tid zodb.Tid) {
		r := revision{oid, tid}
		if _, is := s.there[r]; is {
			seen[r] = true
		}
		work.Go(func() error { return each(s, ctx, r) })
	})
	if err = errors.Join(work.Wait(), err); err != nil {
		return err
	}
	for r := range seen {
		delete(s.there, r)
	}
	return nil
}

// EachBlob calls visit for each record of a blob.
func EachBlob(ctx context.Context, it zodb.Iterator, visit func(zodb.Oid, zodb.Tid)) error {
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
			is, err := IsBlob(rec)
			if err != nil {
				return err
			}
			if is {
				visit(rec.Oid, rec.Tid)
			}
		}
	}
}

// unneeded tells what is left: the store has it, and no record.
func (s *syncing) unneeded() {
	for r, o := range s.there {
		s.said <- Finding{Oid: r.oid, Tid: r.tid, What: Unneeded, Text: "since " + o.Changed.UTC().Format(time.RFC3339)}
	}
}

// say tells of one blob. What fails for one ends nothing, unless the store is away.
func (s *syncing) say(r revision, what string, bytes int64, err error) error {
	f := Finding{Oid: r.oid, Tid: r.tid, What: what, Bytes: bytes}
	if err != nil {
		if objectstore.IsTemporary(err) || errors.Is(err, context.Canceled) {
			return err
		}
		f.What, f.Bytes, f.Text = Failed, 0, err.Error()
	}
	s.said <- f
	return nil
}

// here returns the size of a blob in the directory; false: it is not there.
func (s *syncing) here(r revision) (int64, bool, error) {
	size, err := s.opt.Dir.Stat(r.oid, r.tid)
	if missing := (*zodb.POSKeyError)(nil); errors.As(err, &missing) {
		return 0, false, nil
	}
	return size, err == nil, err
}

func (s *syncing) push(ctx context.Context, r revision) error {
	size, here, err := s.here(r)
	at, there := s.there[r]
	switch {
	case err != nil:
		return s.say(r, Failed, 0, err)
	case !here && there:
		return s.say(r, same, 0, nil)
	case !here:
		return s.say(r, Missing, 0, nil)
	case there && at.Size == size:
		return s.say(r, same, 0, nil)
	case there:
		return s.say(r, Different, 0, nil)
	case s.opt.DryRun:
		return s.say(r, Pushed, size, nil)
	}
	f, err := s.opt.Dir.OpenBlob(r.oid, r.tid)
	if err != nil {
		return s.say(r, Failed, 0, err)
	}
	size, err = s.opt.Objects.Put(ctx, r.oid, r.tid, f)
	return s.say(r, Pushed, size, errors.Join(err, f.Close()))
}

func (s *syncing) pull(ctx context.Context, r revision) error {
	size, here, err := s.here(r)
	at, there := s.there[r]
	switch {
	case err != nil:
		return s.say(r, Failed, 0, err)
	case here && there && size != at.Size:
		return s.say(r, Different, 0, nil)
	case here:
		return s.say(r, same, 0, nil)
	case !there:
		return s.say(r, Missing, 0, nil)
	case s.opt.DryRun:
		return s.say(r, Pulled, at.Size, nil)
	}
	return s.say(r, Pulled, at.Size, s.fetch(ctx, r))
}

// fetch has these points of durability: the content, the name.
func (s *syncing) fetch(ctx context.Context, r revision) error {
	part, err := s.opt.Dir.Part(r.oid, r.tid)
	if err != nil {
		return err
	}
	size, err := s.opt.Objects.Fetch(ctx, r.oid, r.tid, part)
	if err != nil {
		return errors.Join(err, part.Close())
	}
	b, err := part.Stage(size)
	if err != nil {
		return err
	}
	for _, step := range []func() error{b.Sync, b.Publish, b.SyncDir} {
		if err := step(); err != nil {
			return errors.Join(err, b.Discard())
		}
	}
	return nil
}

func (s *syncing) verify(ctx context.Context, r revision) error {
	size, here, err := s.here(r)
	at, there := s.there[r]
	switch {
	case err != nil:
		return s.say(r, Failed, 0, err)
	case !here && !there:
		return s.say(r, Missing, 0, nil)
	case !there:
		return s.say(r, NotThere, 0, nil)
	case here && size != at.Size:
		return s.say(r, Different, 0, nil)
	case s.opt.Read:
		what, err := s.content(ctx, r, here)
		return s.say(r, what, at.Size, err)
	case !here:
		return s.say(r, MissingHere, 0, nil)
	}
	return s.say(r, same, 0, nil)
}

// content reads an object, and compares it with the digest of when it was put, or with the blob here.
func (s *syncing) content(ctx context.Context, r revision, here bool) (string, error) {
	o, err := s.opt.Objects.Store.Stat(ctx, Key(r.oid, r.tid))
	if err != nil {
		return Failed, err
	}
	in, err := s.opt.Objects.Store.Read(ctx, o.Key, 0, -1)
	if err != nil {
		return Failed, err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, in)
	if err = errors.Join(err, in.Close()); err != nil {
		return Failed, err
	}
	want, known := o.SHA256, o.Digest
	if here {
		if want, err = s.digestHere(r); err != nil {
			return Failed, err
		}
		known = true
	}
	switch got := [sha256.Size]byte(sum.Sum(nil)); {
	case known && got != want:
		return Damaged, nil
	case !here:
		return MissingHere, nil
	}
	return same, nil
}

func (s *syncing) digestHere(r revision) (d [sha256.Size]byte, err error) {
	f, err := s.opt.Dir.OpenBlob(r.oid, r.tid)
	if err != nil {
		return d, err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return d, fmt.Errorf("blob of oid %v tid %v: %w", r.oid, r.tid, err)
	}
	sum := sha256.New()
	_, err = io.Copy(sum, io.NewSectionReader(f, 0, info.Size()))
	return [sha256.Size]byte(sum.Sum(nil)), err
}
