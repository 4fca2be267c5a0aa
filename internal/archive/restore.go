package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// Names of a restore, after that of the data file.
const (
	partSuffix = ".restoring"    // the data file while it is incomplete
	planSuffix = ".restore.zrsd" // what is being restored
	// SavedSuffix is that of the file in which a node keeps how far its archive is.
	SavedSuffix = ".archive.zrsd"
)

// RestoreOptions are what Restore is told.
type RestoreOptions struct {
	FS     vfs.FS // nil: the real disk
	Data   string // path of the data file that is made
	Blobs  string // blob directory; empty: blobs are left out
	Layout string // of a blob directory that is made; empty: bushy
	AtOnce int    // segments and blobs that are read at a time
	Tell   func(RestoreReport)
}

// A RestoreReport is what a restore has done.
type RestoreReport struct {
	Generation uint64   `json:"generation"`
	Tid        zodb.Tid `json:"tid"`
	Size       int64    `json:"size"` // of the data file
	Done       int64    `json:"done"` // bytes of it
	Reused     int64    `json:"reused"`
	Blobs      uint64   `json:"blobs"`
	BlobBytes  int64    `json:"blob_bytes"`
	Missing    uint64   `json:"blobs_missing"` // that the archive does not have, because no node had them
	LeftOut    uint64   `json:"blobs_left_out"`
	Storage    string   `json:"storage"`
}

// A plan is what a restore makes, for who goes on with it.
type plan struct {
	Archive    string   `json:"archive"`
	Generation uint64   `json:"generation"`
	Tid        zodb.Tid `json:"tid"`
}

// A NotEmptyError says that there is something where a restore is to be.
type NotEmptyError struct{ Path, Do string }

func (e *NotEmptyError) Error() string {
	return fmt.Sprintf("%s is there already: %s", e.Path, e.Do)
}

// Unfinished returns the moment of a restore that was interrupted, nil where there is none.
func (a *Archive) Unfinished(ctx context.Context, disk vfs.FS, data string) (*Moment, error) {
	b, err := vfs.ReadFile(vfs.OrOS(disk), data+planSuffix, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, err
	}
	var p plan
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("%s%s: %w; remove it, and %s%s, to begin anew", data, planSuffix, err, data, partSuffix)
	}
	if p.Archive != a.Identity.Archive {
		return nil, &NotEmptyError{
			data + planSuffix,
			"it is of a restore from another archive; remove it, and " + data +
				partSuffix + ", to begin anew",
		}
	}
	return a.MomentOf(ctx, p.Generation, p.Tid, true)
}

// Restore makes the data file, its blobs and its state file. A call that was interrupted is gone on with by the next
// one for the same moment. The data file gets its name last: a crash leaves it whole, or not there.
func (m *Moment) Restore(ctx context.Context, opt RestoreOptions) (*RestoreReport, error) {
	opt.FS = vfs.OrOS(opt.FS)
	opt.AtOnce = max(opt.AtOnce, 1)
	r := &restore{Moment: m, opt: opt, disk: opt.FS}
	r.report = RestoreReport{Generation: m.Generation.Generation, Tid: m.Tid, Size: m.Size, Storage: m.Storage}
	if err := r.prepare(); err != nil {
		return nil, err
	}
	if err := r.fill(ctx); err != nil {
		return nil, errors.Join(err, r.part.Close())
	}
	return &r.report, r.finish()
}

type restore struct {
	*Moment
	opt    RestoreOptions
	disk   vfs.FS
	part   vfs.File
	had    int64 // bytes that an interrupted restore has left
	blobs  *blobstore.Store
	work   *errgroup.Group // what goes on beside each other
	report RestoreReport   // of the goroutine that fills the data file
}

// prepare looks that nothing is overwritten, and notes what is restored.
func (r *restore) prepare() error {
	if err := r.disk.Mkdir(filepath.Dir(r.opt.Data), 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, path := range []string{r.opt.Data, r.opt.Data + state.Suffix} {
		_, err := r.disk.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case path == r.opt.Data || !r.resumes():
			return &NotEmptyError{path, "restore into an empty folder"}
		}
	}
	if !r.resumes() {
		if err := vfs.RemoveIfThere(r.disk, r.opt.Data+partSuffix); err != nil {
			return err
		}
		p := plan{r.archive.Identity.Archive, r.Generation.Generation, r.Tid}
		if err := writeJSON(r.disk, r.opt.Data+planSuffix, &p); err != nil {
			return err
		}
	}
	if r.opt.Blobs != "" {
		var err error
		r.blobs, err = blobstore.Open(r.opt.Blobs, blobstore.Options{FS: r.disk, Layout: r.opt.Layout})
		if err != nil {
			return err
		}
	}
	return r.openPart()
}

func (r *restore) resumes() bool {
	b, err := vfs.ReadFile(r.disk, r.opt.Data+planSuffix, maxManifest)
	var p plan
	return err == nil && json.Unmarshal(b, &p) == nil &&
		p == plan{r.archive.Identity.Archive, r.Generation.Generation, r.Tid}
}

func (r *restore) openPart() (err error) {
	r.part, err = r.disk.OpenFile(r.opt.Data+partSuffix, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	info, err := r.part.Stat()
	if err != nil {
		return errors.Join(err, r.part.Close())
	}
	if r.had = info.Size(); r.had > r.Size {
		err = r.part.Truncate(r.Size)
		r.had = r.Size
	}
	if err != nil {
		return errors.Join(err, r.part.Close())
	}
	return nil
}

func writeJSON(disk vfs.FS, path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return vfs.WriteFileAtomic(disk, path, ".tmp", func(f vfs.File) error {
		_, err := f.WriteAt(append(b, '\n'), 0)
		return err
	})
}

// fill writes the data file, and the blobs beside it.
func (r *restore) fill(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(1 + r.opt.AtOnce) // the data file, and blobs
	r.work = work
	work.Go(func() error { return r.fillData(ctx) })
	return work.Wait()
}

func (r *restore) fillData(ctx context.Context) error {
	first, at, err := r.have(ctx)
	if err != nil {
		return err
	}
	r.report.Done, r.report.Reused = min(at.To, r.Size), min(at.To, r.Size)
	segments := &reader{path: r.Path, atOnce: r.opt.AtOnce, into: r.content}
	return segments.each(ctx, first, r.Segments, at, func(i uint64, s *Segment) error {
		r.restoreBlobs(ctx, i, s.Blobs)
		r.report.Done = min(s.To, r.Size)
		r.tell()
		return nil
	})
}

// content returns where the bytes of a segment go. What is written before it is verified is in a file that has not its
// name yet, and who goes on with that verifies it again.
func (r *restore) content(h *Header) (io.Writer, error) {
	if h.Age && len(r.archive.packer.keys.Identities) == 0 {
		return nil, fmt.Errorf("%v: %w", h.ID, ErrNoIdentity)
	}
	if h.From > r.Size {
		return nil, damaged(h.ID.name(), "it begins at %d, and the file ends at %d", h.From, r.Size)
	}
	return &pieces{file: r.part, at: h.From, begun: h.From, end: min(h.To, r.Size), last: h.To}, nil
}

// pieces are the bytes of a segment that go into the file up to its end. The disk begins with them as they come.
type pieces struct {
	file      vfs.File
	at, begun int64
	end, last int64
}

const writeBack = 4 << 20 // with how much the disk begins

func (p *pieces) Write(b []byte) (int, error) {
	if part := b[:max(0, min(int64(len(b)), p.end-p.at))]; len(part) > 0 {
		if _, err := p.file.WriteAt(part, p.at); err != nil {
			return 0, fmt.Errorf("write the restored file: %w", err)
		}
	}
	p.at += int64(len(b))
	if p.at-p.begun >= writeBack || p.at == p.last {
		vfs.WriteBack(p.file, p.begun, p.at-p.begun)
		p.begun = p.at
	}
	return len(b), nil
}

func (r *restore) tell() {
	if r.opt.Tell != nil {
		r.opt.Tell(r.report)
	}
}

// have finds out how much an interrupted restore has left that is right, with the blobs.
func (r *restore) have(ctx context.Context) (i uint64, at Place, err error) {
	for ; i < r.Segments; i++ {
		if r.had == 0 {
			break
		}
		if err := r.ahead(ctx, i); err != nil {
			return i, at, err
		}
		h, err := r.Header(ctx, i)
		if err != nil {
			return i, at, err
		}
		if err := h.follows(&at); err != nil {
			return i, at, err
		}
		if h.To > r.had {
			break
		}
		sum, err := sumOfRange(ctx, r.part, h.From, h.To)
		if err != nil {
			return i, at, err
		}
		if sum != h.Range {
			break
		}
		list, err := r.archive.blobsOf(ctx, h)
		if err != nil {
			return i, at, err
		}
		r.restoreBlobs(ctx, i, list)
		at = h.place()
		r.report.Done = at.To
		r.tell()
	}
	return i, at, nil
}

// restoreBlobs has the blobs of segment i made, durably, while others of the work go on; it waits for one of the turns
// for each.
func (r *restore) restoreBlobs(ctx context.Context, i uint64, list []BlobEntry) {
	for k := range list {
		e := &list[k]
		switch {
		case i == r.Segments-1 && r.later[e.Tid]:
		case e.Size == NoBlob:
			r.report.Missing++
		case r.blobs == nil:
			r.report.LeftOut++
		default:
			r.report.Blobs++
			r.report.BlobBytes += e.Size
			r.work.Go(func() error { return r.restoreBlob(ctx, e) })
		}
	}
}

func (r *restore) restoreBlob(ctx context.Context, e *BlobEntry) (err error) {
	if is, err := r.hasBlob(ctx, e); is || err != nil {
		return err
	}
	pipe, to := io.Pipe()
	checked := make(chan error, 1)
	go func() {
		err := r.archive.checkBlob(ctx, e, to)
		_ = to.CloseWithError(err) // it returns none
		checked <- err
	}()
	staged, err := r.blobs.Stage(e.Oid, e.Tid, pipe)
	_ = pipe.CloseWithError(errors.New("the blob could not be written")) // it returns none
	if failed := <-checked; failed != nil {
		err = failed
	}
	if err != nil {
		if staged != nil {
			err = errors.Join(err, staged.Discard())
		}
		return fmt.Errorf("restore the blob of oid %v tid %v: %w", e.Oid, e.Tid, err)
	}
	for _, step := range []func() error{staged.Sync, staged.Publish, staged.SyncDir} {
		if err := step(); err != nil {
			return errors.Join(fmt.Errorf("restore the blob of oid %v tid %v: %w", e.Oid, e.Tid, err), staged.Discard())
		}
	}
	return nil
}

// hasBlob reports whether an interrupted restore has left the blob, and makes that durable.
func (r *restore) hasBlob(ctx context.Context, e *BlobEntry) (bool, error) {
	f, err := r.blobs.OpenBlob(e.Oid, e.Tid)
	if err != nil {
		return false, nil //nolint:nilerr // it is restored
	}
	info, err := f.Stat()
	if err == nil && info.Size() == e.Size {
		sum, err := sumOfRange(ctx, f, 0, e.Size)
		if err == nil && sum == e.Digest {
			return true, errors.Join(f.Close(), r.blobs.Secure(e.Oid, e.Tid))
		}
	}
	return false, f.Close()
}

// finish makes the file durable, gives it an identity and then its name.
func (r *restore) finish() error {
	info, err := r.part.Stat()
	if err == nil && info.Size() != r.Size {
		err = fmt.Errorf("%s has %d bytes, want %d", r.part.Name(), info.Size(), r.Size)
	}
	if err == nil {
		err = r.part.Sync()
	}
	if err = errors.Join(err, r.part.Close()); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := r.identify(); err != nil {
		return err
	}
	if err := r.disk.Rename(r.opt.Data+partSuffix, r.opt.Data); err != nil {
		return err
	}
	if err := r.disk.SyncDir(filepath.Dir(r.opt.Data)); err != nil {
		return err
	}
	return vfs.RemoveIfThere(r.disk, r.opt.Data+planSuffix)
}

// identify writes the state file of a copy: of the same storage, with the epochs that had begun, another node, without
// a vote. It leads nothing by itself.
func (r *restore) identify() error {
	err := writeJSON(r.disk, r.opt.Data+SavedSuffix, &Saved{Archive: r.archive.Identity.Archive, Restored: true})
	if err != nil {
		return err
	}
	keep, err := state.Open(r.disk, r.opt.Data)
	if err != nil || keep.State() != nil {
		return err
	}
	var epochs []protocol.Epoch
	for _, e := range r.Epochs {
		if len(epochs) == 0 || e.Begin <= r.Tid {
			epochs = append(epochs, e)
		}
	}
	if err := keep.AdoptAsLearner(r.Storage, epochs, r.External); err != nil {
		return err
	}
	return keep.Update(func(s *state.State) error {
		s.Was = epochs[len(epochs)-1].Node
		return nil
	})
}
