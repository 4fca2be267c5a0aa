package blobtools

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/heal"
	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// RecoverOptions say what to bring back and from where. Path, Blobs and Report are required.
type RecoverOptions struct {
	FS     vfs.FS // nil: the real disk
	Path   string
	Blobs  *blobstore.Store
	From   []string // folders with blobs, in any layout
	Peers  []heal.Peer
	Heal   heal.Options // for what only other nodes have: Kept, MaxBlob, Logger
	DryRun bool
	// Noted returns the size and the digest that a verification has noted of a blob. nil: nothing was noted.
	Noted    func(oid zodb.Oid, tid zodb.Tid) (size int64, digest [sha256.Size]byte, ok bool)
	Report   func(*Recovered) error
	Warn     func(error) // told what could not be looked into; nil: nobody is
	Progress func(done, total int64)
}

// The results.
const (
	Recover   = "recovered"
	WouldDo   = "would-recover" // but for DryRun
	NotFound  = "not-found"
	Doubtful  = "doubtful" // something was found that nobody vouches for
	CannotSay = "failed"   // something was found, and could not be read or written
)

// A Recovered says what became of a revision without its file.
type Recovered struct {
	Result   string       `json:"result"`
	Oid      zodb.Oid     `json:"oid"`
	Tid      zodb.Tid     `json:"tid"`
	Txn      *Transaction `json:"transaction"`
	Path     string       `json:"path"` // where it belongs
	From     string       `json:"from"` // the file or the node that has it; empty: none
	Size     int64        `json:"size_bytes"`
	Evidence string       `json:"evidence"` // what says that the content is right, beside the name
	Why      string       `json:"why"`      // where it was not recovered
}

// String returns one line for people.
func (i *Recovered) String() string {
	text := fmt.Sprintf("%s: oid %v tid %v", i.Result, i.Oid, i.Tid)
	if i.From != "" {
		text += fmt.Sprintf(" from %s, %d bytes", printable.Line(i.From), i.Size)
	}
	if i.Evidence != "" {
		text += ", as noted by " + printable.Line(i.Evidence)
	}
	if i.Why != "" {
		text += ": " + printable.Line(i.Why)
	}
	if t := i.Txn; t != nil {
		text += fmt.Sprintf(" (%s, user %s, %s)", t.Time.Format("2006-01-02 15:04:05"), printable.Line(t.User),
			printable.Line(t.Description))
	}
	return text
}

// RecoverSummary counts the results.
type RecoverSummary struct {
	Path      string `json:"path"`
	Dir       string `json:"blob_dir"`
	DryRun    bool   `json:"dry_run"`
	Missing   int64  `json:"missing"` // revisions without a file
	Recovered int64  `json:"recovered"`
	Bytes     int64  `json:"recovered_bytes"`
	Left      int64  `json:"left"`
	Looked    int64  `json:"files_looked_at"` // with the name of a blob, in the sources
}

// String returns one line for people.
func (s *RecoverSummary) String() string {
	verb := "recovered"
	if s.DryRun {
		verb = "could be recovered"
	}
	return fmt.Sprintf("%s with %s: %d blobs were missing, %d %s (%d bytes), %d are still missing; %d files were "+
		"looked at", s.Path, s.Dir, s.Missing, s.Recovered, verb, s.Bytes, s.Left, s.Looked)
}

// maxCandidates bounds how many files are remembered of one revision.
const maxCandidates = 8

type candidate struct {
	source *source
	path   string
	part   bool
}

// A recovery is one run.
type recovery struct {
	opt   RecoverOptions
	rec   *Records
	sum   RecoverSummary
	found map[int][]candidate // by the place in rec.Blobs

	unreadable vfs.Folders // of the blob directory

	remotes map[string]*hashchain.Remote // nil: the node does not answer
	waiting []*Recovered                 // that only other nodes may have
}

// RecoverBlobs looks for the files of revisions that have none, and puts them where they belong. A file is never
// replaced. It can be called again at any time, and goes on with what is still missing.
func RecoverBlobs(ctx context.Context, opt RecoverOptions) (*RecoverSummary, error) {
	opt.FS = vfs.OrOS(opt.FS)
	if opt.Warn == nil {
		opt.Warn = func(error) {}
	}
	rec, err := ReadRecords(ctx, opt.FS, opt.Path, opt.Progress)
	if err != nil {
		return nil, err
	}
	r := &recovery{opt: opt, rec: rec, found: map[int][]candidate{}, remotes: map[string]*hashchain.Remote{},
		sum: RecoverSummary{Path: opt.Path, Dir: opt.Blobs.Dir(), DryRun: opt.DryRun}}
	defer r.hangUp()
	if err := errors.Join(r.run(ctx), rec.Close()); err != nil {
		return &r.sum, fmt.Errorf("recover blobs of %s: %w", opt.Path, err)
	}
	return &r.sum, nil
}

func (r *recovery) run(ctx context.Context) error {
	missing, err := r.missing(ctx)
	if err != nil {
		return err
	}
	r.sum.Missing = int64(len(missing))
	if len(missing) == 0 {
		return nil
	}
	for _, root := range r.opt.From {
		if err := r.search(ctx, &source{r.opt.FS, root}); err != nil {
			return err
		}
	}
	for _, i := range missing {
		if err := errors.Join(context.Cause(ctx), r.rec.unchanged()); err != nil {
			return err
		}
		if err := r.one(ctx, i); err != nil {
			return err
		}
	}
	return r.askAll(ctx)
}

// missing returns the places of the revisions without a file.
func (r *recovery) missing(ctx context.Context) (list []int, err error) {
	seen := make([]bool, len(r.rec.Blobs))
	err = r.opt.Blobs.Survey(blobstore.Surveyor{
		Blob: func(oid zodb.Oid, tid zodb.Tid, _ string, _ fs.FileInfo) error {
			if i := r.rec.find(oid, tid); i >= 0 {
				seen[i] = true
			}
			return context.Cause(ctx)
		},
		Unreadable: func(dir string, err error) error {
			r.unreadable.Add(dir)
			r.opt.Warn(fmt.Errorf("which blobs are in a folder is not known: %w", err))
			return nil
		},
	})
	for i := range seen {
		if !seen[i] {
			r.found[i] = nil
			list = append(list, i)
		}
	}
	return list, err
}

// search notes which files of a source have the names of missing blobs.
func (r *recovery) search(ctx context.Context, s *source) error {
	return s.each(func(f fileName, path string) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		r.sum.Looked++
		i := r.rec.find(f.oid, f.tid)
		if list, wanted := r.found[i]; wanted && i >= 0 && len(list) < maxCandidates {
			r.found[i] = append(list, candidate{s, path, f.part})
		}
		return nil
	}, r.opt.Warn)
}

// one brings back one revision.
func (r *recovery) one(ctx context.Context, i int) error {
	rev := r.rec.Blobs[i]
	meta, err := r.rec.of(&rev)
	if err != nil {
		return err
	}
	item := &Recovered{Result: NotFound, Oid: rev.Oid, Tid: rev.Tid, Txn: shown(meta),
		Path: r.opt.Blobs.BlobPath(rev.Oid, rev.Tid), Why: "no source has a file of it"}
	if r.unreadable.Contain(item.Path) {
		item.Result, item.Why = CannotSay, "the folder cannot be read in which it belongs: nobody knows what is there"
		return r.settle(item)
	}
	best, err := r.choose(ctx, r.found[i], item)
	if err != nil {
		return err
	}
	if best != nil {
		if err := r.take(best, item); err != nil {
			item.Result, item.Why = CannotSay, err.Error()
		}
	}
	if item.done() || len(r.opt.Peers) == 0 {
		return r.settle(item)
	}
	if r.waiting = append(r.waiting, item); len(r.waiting) < askedAtOnce {
		return nil
	}
	return r.askAll(ctx)
}

// settle counts and reports a result.
func (r *recovery) settle(item *Recovered) error {
	if item.done() {
		r.sum.Recovered++
		r.sum.Bytes += item.Size
	} else {
		r.sum.Left++
	}
	return r.opt.Report(item)
}

func (i *Recovered) done() bool { return i.Result == Recover || i.Result == WouldDo }

// A content is what a file of a source has.
type content struct {
	candidate
	size   int64
	digest [sha256.Size]byte
}

// choose returns the file to take, nil where there is none, or none is sure.
func (r *recovery) choose(ctx context.Context, list []candidate, item *Recovered) (*content, error) {
	var all []*content
	for _, c := range list {
		one, err := r.read(ctx, c)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			item.Result, item.Why = CannotSay, err.Error()
			continue
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, nil //nolint:nilnil // there is none
	}
	if proved, evidence, known := r.proved(ctx, all, item); known {
		if proved == nil {
			item.Result, item.From = Doubtful, all[0].path
			item.Why = "the content is not that which " + evidence + " has noted"
			return nil, nil //nolint:nilnil // there is none
		}
		item.Evidence = evidence
		return proved, nil
	}
	return r.agreed(all, item), nil
}

// agreed returns a file of which nothing is known but its name, if all whole ones of that name are the same.
func (r *recovery) agreed(all []*content, item *Recovered) (best *content) {
	item.Result = Doubtful
	for _, c := range all {
		item.From, item.Size = c.path, c.size
		switch {
		case c.part:
			item.Why = "the download of it was interrupted, and nobody knows how long the blob is"
		case c.size == 0:
			item.Why = "the file is empty, and nobody knows that the blob is"
		case best == nil:
			best = c
		case best.digest != c.digest:
			item.Why = fmt.Sprintf("%s has another content, and nobody knows which is right", best.path)
			return nil
		}
	}
	return best
}

// proved returns the file whose content is the one that was noted of the blob here, or by another node. known says
// that something was noted.
func (r *recovery) proved(ctx context.Context, all []*content, item *Recovered) (c *content, who string, known bool) {
	if r.opt.Noted != nil {
		if size, digest, ok := r.opt.Noted(item.Oid, item.Tid); ok {
			who = "a verification of this node"
			for _, c := range all {
				if c.size == size && c.digest == digest {
					return c, who, true
				}
			}
			return nil, who, true
		}
	}
	for _, p := range r.opt.Peers {
		for _, c := range all {
			same, noted := r.noted(ctx, p, item, c)
			if same {
				return c, p.Name, true
			}
			if noted {
				who, known = p.Name, true
			}
		}
	}
	return nil, who, known
}

// read computes the digest of a file.
func (r *recovery) read(ctx context.Context, c candidate) (*content, error) {
	f, size, err := c.open()
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	sum := sha256.New()
	n, err := io.Copy(sum, reading(ctx, io.NewSectionReader(f, 0, math.MaxInt64)))
	if err == nil && n != size {
		err = fmt.Errorf("%s is changing: it had %d bytes, and then %d", c.path, size, n)
	}
	if err != nil {
		return nil, err
	}
	return &content{c, size, [sha256.Size]byte(sum.Sum(nil))}, nil
}

func (c *candidate) open() (vfs.File, int64, error) {
	f, err := vfs.OpenBelow(c.source.disk, c.source.root, c.path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// reading ends a read with ctx.
func reading(ctx context.Context, r io.Reader) io.Reader { return contextReader{ctx, r} }

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(b []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(b)
}

// take puts a file where it belongs, if its content is still what it was.
func (r *recovery) take(c *content, item *Recovered) error {
	item.From, item.Size, item.Why = c.path, c.size, ""
	if r.opt.DryRun {
		item.Result = WouldDo
		return nil
	}
	f, _, err := c.open()
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	in := summed(io.NewSectionReader(f, 0, math.MaxInt64))
	err = r.opt.Blobs.Restore(item.Oid, item.Tid, in, func() error {
		if in.size != c.size || in.digest() != c.digest {
			return fmt.Errorf("%s is changing", c.path)
		}
		return nil
	})
	if err == nil {
		item.Result = Recover
	}
	return err
}

// A summing reader counts what is read, and computes its digest.
type summing struct {
	r    io.Reader
	sum  hash.Hash
	size int64
}

func summed(r io.Reader) *summing { return &summing{r: r, sum: sha256.New()} }

func (s *summing) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.size += int64(n)
	_, _ = s.sum.Write(b[:n]) // never fails
	return n, err
}

func (s *summing) digest() [sha256.Size]byte { return [sha256.Size]byte(s.sum.Sum(nil)) }
