package filestorage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/internal/references"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// PackOptions say how to pack. ZODB's defaults are GC and KeepOld.
type PackOptions struct {
	GC      bool // drop objects that nothing leads to from the root, as it was at the pack time
	KeepOld bool // leave the file before the pack as Data.fs.old, and its blobs as the blob directory with .old

	// References appends to oids those that keep an object alive for which the record does. nil: references.Scanner.
	References func(record []byte, oids []zodb.Oid) ([]zodb.Oid, error)
	// Refuse returns why the storage must not be packed: it is asked before a pack, and again before the new file takes
	// its place. nil: nothing forbids it.
	Refuse func() error
	// Progress is called now and then, by the goroutine that packs: the pack waits for it, and so does Close.
	Progress func(PackProgress)
}

// spareSpace is what is left free for commits, besides a sixteenth of the new file.
const spareSpace = 1 << 20

// The phases of a pack, in their order.
const (
	packScan  = "scan"  // bytes up to the pack time are looked at
	packMark  = "mark"  // objects that are kept are found, of all that there are
	packCopy  = "copy"  // bytes are copied
	packBlobs = "blobs" // blobs are removed or moved
)

// PackProgress says how far a pack is.
type PackProgress struct {
	Phase       string
	Done, Total int64 // in units of the phase
}

// PackResult is what a pack did.
type PackResult struct {
	Packed        bool          // false: there was nothing to drop, and the file is what it was
	Before, After int64         // sizes of the file when the new one took its place
	Objects       int           // in the new file
	Blobs         int           // revisions of blobs that were dropped
	Pause         time.Duration // for which no transaction could begin
}

// Pack drops old revisions: of transactions up to stop, all records except those that were current then, and with GC
// those of objects that were not reachable then. Commits and reads continue meanwhile. Iterators, also following ones,
// continue in the new file with what they have not returned yet. A pack that finds nothing to drop changes nothing.
// TidFromTime and similar functions of package zodb make a tid of a time.
//
// The disk needs room for the new file beside the old one. When ctx ends, or anything fails, the old file stays; so it
// does, wholly or not at all, in a crash.
//
// Errors: zodb.ErrReadOnly, zodb.ErrClosed, ErrPacking, *SpaceError, *RecordError and *DanglingError of GC,
// *zodb.CorruptError, *FailedError, that of Refuse, those of the disk, the context's cause. After an error about blobs
// the file is packed and the result says so; what is left to do for the blobs is tried again, see Left.
func (s *Storage) Pack(ctx context.Context, stop zodb.Tid, opt PackOptions) (PackResult, error) {
	begun := time.Now()
	s.packers.Add(1)
	defer s.packers.Add(-1)
	result, err := s.pack(ctx, stop, opt)
	if err == nil || result.Packed {
		s.lastPack.Store(&LastPack{PackResult: result, Ended: time.Now(), Duration: time.Since(begun)})
	}
	if err != nil {
		err = fmt.Errorf("pack %s: %w", s.path, s.meets(err))
	}
	return result, err
}

// A LastPack is a pack that came to its end.
type LastPack struct {
	PackResult
	Ended    time.Time
	Duration time.Duration
}

// LastPack returns the last pack since the storage was opened, nil for none.
func (s *Storage) LastPack() *LastPack { return s.lastPack.Load() }

// Packing reports whether a pack is under way.
func (s *Storage) Packing() bool { return s.packers.Load() > 0 }

func (s *Storage) pack(ctx context.Context, stop zodb.Tid, opt PackOptions) (PackResult, error) {
	switch {
	case s.readOnly:
		return PackResult{}, zodb.ErrReadOnly
	case stop == 0:
		return PackResult{}, errors.New("the pack time is before all transactions")
	}
	select {
	case <-s.closed:
		return PackResult{}, zodb.ErrClosed
	default:
	}
	select {
	case s.packing <- struct{}{}:
	default:
		return PackResult{}, ErrPacking
	}
	defer func() { <-s.packing }()
	ctx, cancel := s.whileOpen(ctx)
	defer cancel()
	if opt.References == nil {
		opt.References = new(references.Scanner).Scan
	}
	opt.References = s.scanning(opt.References)
	s.indexSaver.pause()
	defer s.indexSaver.resume()
	e := s.hold()
	defer e.release()
	if err := opt.refused(); err != nil {
		return PackResult{}, err
	}
	p := &packer{s: s, e: e, opt: opt, stop: stop, way: s.newWay()}
	p.in = politeFile{e.file, p.way}
	p.blobs, _ = s.blobs.(BlobPacker)
	return p.run(ctx)
}

// refused asks whether the storage may be packed.
func (opt *PackOptions) refused() error {
	if opt.Refuse == nil {
		return nil
	}
	return opt.Refuse()
}

// scanning makes a panic over a record the error of the pack, which has changed nothing by then.
func (s *Storage) scanning(
	f func([]byte, []zodb.Oid) ([]zodb.Oid, error),
) func([]byte, []zodb.Oid) ([]zodb.Oid, error) {
	return func(record []byte, oids []zodb.Oid) (found []zodb.Oid, err error) {
		err = recovered.Do(s.log, "finding the references of a record", func() (err error) {
			found, err = f(record, oids)
			return err
		})
		return found, err
	}
}

// whileOpen returns a context that ends with ctx, or when the storage is being closed.
func (s *Storage) whileOpen(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-s.closed:
			cancel(zodb.ErrClosed)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil); <-watched }
}

// A packer does one pack.
type packer struct {
	s     *Storage
	e     *openDataFile // what is packed
	in    vfs.File      // its file, for what is read in large steps
	way   *way
	blobs BlobPacker
	opt   PackOptions
	stop  zodb.Tid

	liveSet       // what is kept of the transactions up to stop
	copier        // of what is kept and of all others
	prepared bool // something but Data.fs.pack may have changed
	result   PackResult
}

func (p *packer) run(ctx context.Context) (PackResult, error) {
	if err := p.tryWays(ctx); err != nil {
		return p.result, err
	}
	end := p.e.size()
	nothing, err := p.scan(ctx, end)
	if nothing || err != nil {
		return p.result, err
	}
	if err := p.collect(ctx, end); err != nil {
		return p.result, err
	}
	if err := p.checkSpace(end); err != nil {
		return p.result, err
	}
	err = p.make(ctx)
	switch {
	case !p.result.Packed:
		return p.result, errors.Join(err, p.drop())
	case err != nil:
		return p.result, err
	}
	return p.result, p.clean(ctx)
}

// checkSpace refuses to fill the disk up, on which commits continue meanwhile.
func (p *packer) checkSpace(end int64) error {
	need := p.bytes + end - p.packpos
	need += need/16 + spareSpace
	folder := filepath.Dir(p.s.path)
	free, err := vfs.Free(p.s.fs, folder)
	if errors.Is(err, vfs.ErrNoSpaceInfo) {
		return nil
	}
	if err == nil && free < need {
		err = &SpaceError{Folder: folder, Need: need, Free: free}
	}
	return err
}

func (p *packer) report(phase string, done, total int64) {
	if p.opt.Progress != nil {
		p.opt.Progress(PackProgress{Phase: phase, Done: done, Total: total})
	}
}

// ErrPacking says that another pack is under way.
var ErrPacking = errors.New("a pack is already running: wait for it to end")

// A RecordError says that garbage collection cannot find the references of an object.
type RecordError struct {
	Oid zodb.Oid
	Pos int64 // of the record in the Data.fs
	Err error

	// From is an object that refers to it, and FromPos the record that does; 0: none was found, as for the root.
	From    zodb.Oid
	FromPos int64
}

func (e *RecordError) Error() string {
	from := "nothing that could be read refers to it"
	switch {
	case e.Oid == 0:
		from = "it is the root"
	case e.FromPos != 0:
		from = fmt.Sprintf("oid %v refers to it, in the record at %d", e.From, e.FromPos)
	}
	return fmt.Sprintf(
		"references of oid %v in the record at %d: %v; %s: nothing was changed; repair the object, or pack "+
			"without garbage collection",
		e.Oid,
		e.Pos,
		e.Err,
		from,
	)
}

func (e *RecordError) Unwrap() error { return e.Err }

// A DanglingError says that garbage collection found a reference to an object that does not exist, or no root.
type DanglingError struct {
	Oid  zodb.Oid // that does not exist
	From zodb.Oid // that refers to it
	Pos  int64    // of the record that does; 0 for the root
}

func (e *DanglingError) Error() string {
	const advice = "nothing was changed; repair the reference, or pack without garbage collection"
	if e.Pos == 0 {
		return fmt.Sprintf("there is no object with oid %v, the root: %s", e.Oid, advice)
	}
	return fmt.Sprintf("oid %v refers to oid %v in the record at %d, and that did not exist at the pack time: %s",
		e.From, e.Oid, e.Pos, advice)
}

// A SpaceError says that the disk has no room for a second file.
type SpaceError struct {
	Folder     string
	Need, Free int64 // bytes
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("the new file may need %d bytes and %s has %d free: free some space, for example remove "+
		"Data.fs.old",
		e.Need, e.Folder, e.Free)
}

// A BlobPacker is a blob directory from which a pack removes blobs. One that is none, such as one that belongs to
// another storage, keeps all.
type BlobPacker interface {
	// TryRemoval finds out, before anything is changed, whether PlanRemoval and FinishRemoval can do their work.
	TryRemoval(keepOld bool) error
	// PlanRemoval notes durably which revisions are to be removed once the Data.fs has no record of them any more, or
	// with keepOld moved to the directory with .old, which is to have all the others too.
	PlanRemoval(revisions iter.Seq2[zodb.Oid, zodb.Tid], keepOld bool) error
	// CancelRemoval drops the plan.
	CancelRemoval() error
	// FinishRemoval carries the plan out, as far as it can, except for revisions that are still needed, and drops it.
	// Where there is none it does nothing. It can be repeated after an error.
	FinishRemoval(ctx context.Context, needed func(zodb.Oid, zodb.Tid) (bool, error)) error
}

// tryWays refuses a pack that could not do its work at the end. What an earlier pack has left comes first; what of it
// cannot be done becomes a part of this one's work, unless it is to keep the old state, which would be mixed then.
func (p *packer) tryWays(ctx context.Context) error {
	if err := p.tryLink(); err != nil || p.blobs == nil {
		return err
	}
	err := p.blobs.FinishRemoval(ctx, p.s.hasRevision)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && p.opt.KeepOld:
		return fmt.Errorf(
			"nothing was changed: finish the earlier pack first: %w; or pack without keeping the old file and "+
				"blobs (zrsd pack --no-keep-old, pack-keep-old false)",
			err,
		)
	case err != nil:
		p.s.log.Warn("cannot finish the cleanup of an earlier pack; this pack takes it over", "error", err,
			"warning", warning.CleanupLeft)
	}
	return p.blobs.TryRemoval(p.opt.KeepOld)
}

// tryLink gives the Data.fs the second name that it gets at the end, for a moment and under another one.
func (p *packer) tryLink() error {
	if !p.opt.KeepOld {
		return nil
	}
	disk, name := p.s.fs, p.s.path+oldSuffix+".try"
	err := vfs.RemoveIfThere(disk, name)
	if err == nil {
		err = disk.Link(p.s.path, name)
	}
	if err == nil {
		err = disk.Remove(name)
	}
	if err != nil {
		return fmt.Errorf(
			"nothing was changed: the old file cannot be kept as %s: %w; pack without keeping it (zrsd pack "+
				"--no-keep-old, pack-keep-old false)",
			p.s.path+oldSuffix,
			err,
		)
	}
	return nil
}

// hasRevision reports whether there is a record of oid with this tid.
func (s *Storage) hasRevision(oid zodb.Oid, tid zodb.Tid) (bool, error) {
	found := false
	err := s.history(oid, func(_ *openDataFile, r record, _ int64) (more bool, err error) {
		found = r.Tid == tid
		return r.Tid > tid, nil
	})
	if missing := (*zodb.POSKeyError)(nil); errors.As(err, &missing) {
		return false, nil
	}
	return found, err
}

// eachDropped yields the revisions of blobs that are not kept.
func (p *packer) eachDropped(yield func(zodb.Oid, zodb.Tid) bool) {
	for _, d := range p.dropped {
		if !yield(d.oid, d.tid) {
			return
		}
	}
}

// A pack reads and marks as fast as a processor can, and writes as fast as the disk takes it: who commits meanwhile
// waits for both. So it yields to commits: before each of its steps it waits while a transaction is between its vote
// and the disk, but not for long, and for a third of its own working time at most.
const (
	wayStep = 100 * time.Microsecond
	wayMost = time.Millisecond
	wayPart = 3 // the part of the time that was worked
)

// A politeFile is the file that a pack reads, in large steps, before each of which it yields to commits.
type politeFile struct {
	vfs.File
	way *way
}

func (f politeFile) ReadAt(b []byte, at int64) (int, error) {
	f.way.make()
	return f.File.ReadAt(b, at)
}

// A way is how a pack yields to commits. It is for one goroutine.
type way struct {
	busy   func() bool // a transaction is under way
	sleep  func(time.Duration)
	now    func() time.Time
	begun  time.Time
	waited time.Duration
	hurry  bool // everybody waits for the pack
}

func (s *Storage) newWay() *way {
	return &way{busy: s.commits, sleep: time.Sleep, //nolint:forbidigo // a pause, not a wait
		now: time.Now, begun: time.Now()}
}

// commits reports whether somebody has the commit lock or waits for the disk.
func (s *Storage) commits() bool {
	return len(s.commit) > 0 || s.queue.busy()
}

// make waits for who commits.
func (w *way) make() {
	if w.hurry || !w.busy() {
		return
	}
	from := w.now()
	for now := from; ; now = w.now() {
		worked := from.Sub(w.begun) - w.waited
		waited := now.Sub(from)
		if !w.busy() || waited >= wayMost || w.waited+waited > worked/wayPart {
			w.waited += waited
			return
		}
		w.sleep(wayStep)
	}
}
