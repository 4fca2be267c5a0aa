package filestorage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/internal/references"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// PackOptions say how to pack. ZODB's defaults are GC and KeepOld.
type PackOptions struct {
	GC      bool // drop objects that nothing leads to from the root, as it was at the pack time
	KeepOld bool // leave the file before the pack as Data.fs.old, and its blobs as the blob directory with .old

	// References appends to oids those that keep an object alive for which the record does. nil: references.Scanner.
	References func(record []byte, oids []zodb.Oid) ([]zodb.Oid, error)
	// Progress is called now and then, by the goroutine that packs: the pack waits for it, and so does Close.
	Progress func(PackProgress)
}

// spareSpace is what is left free for commits, besides a sixteenth of the new file.
const spareSpace = 1 << 20

// The phases of a pack, in their order.
const (
	PackScan  = "scan"  // bytes up to the pack time are looked at
	PackMark  = "mark"  // objects that are kept are found, of all that there are
	PackCopy  = "copy"  // bytes are copied
	PackBlobs = "blobs" // blobs are removed or moved
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
// *zodb.CorruptError, *FailedError, those of the disk, the context's cause. After an error about blobs the file is
// packed and the result says so; what is left to do for the blobs is tried again, see Left.
func (s *Storage) Pack(ctx context.Context, stop zodb.Tid, opt PackOptions) (PackResult, error) {
	result, err := s.pack(ctx, stop, opt)
	if err != nil {
		err = fmt.Errorf("pack %s: %w", s.path, err)
	}
	return result, err
}

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
	s.saver.pause()
	defer s.saver.resume()
	e := s.hold()
	defer e.release()
	p := &packer{s: s, e: e, opt: opt, stop: stop, way: s.newWay()}
	p.in = politeFile{e.file, p.way}
	p.blobs, _ = s.blobs.(BlobPacker)
	return p.run(ctx)
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

// checkSpace refuses to fill the disk up, on which commits go on meanwhile.
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
