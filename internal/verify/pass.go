package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/priority"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// Options say what a pass looks at. Path is required.
type Options struct {
	FS   vfs.FS // nil: the real disk
	Path string // of the Data.fs
	// Committed returns up to where the file is committed, for that of a storage that is open. Nil: that shows in the
	// file.
	Committed func() int64
	// Kept returns the chain as it was computed when the transactions were committed. Nil: that of the state file.
	Kept func() (state.Chain, error)
	// Rate limits the bytes that are read per second; 0: no limit.
	Rate int64
	// Blobs is the blob directory, at BlobPath; nil: blobs are not looked at, and NoBlobs says why.
	Blobs    BlobDir
	BlobPath string
	NoBlobs  string
	// Notes are those of the blob directory while a storage is open; nil: those that the file beside the data file has.
	Notes *BlobNotes
	// Partial says that the directory is a blob cache: blobs that are not in it are elsewhere.
	Partial bool
	// BlobAge is how long ago a blob must have been read to be read again; 0: all are read.
	BlobAge time.Duration
	// ReclaimAge is how old temporary files must be to be removed; 0: none are.
	ReclaimAge time.Duration
	// Peers are the other nodes to compare with.
	Peers []Peer
	// Dry has the pass note nothing and remove nothing.
	Dry bool
	// Yield has the pass yield processor and disk to whatever else runs, where the system can do that.
	Yield bool
	// Progress is called now and then with how much of the file has been read; may be nil.
	Progress func(done, total int64)
	Logger   hclog.Logger     // nil: silent
	Now      func() time.Time // nil: the system's
}

// thread runs f on a thread that yields, if it is to.
func (o *Options) thread(f func()) {
	if !o.Yield {
		f()
		return
	}
	var g sync.WaitGroup
	g.Go(func() {
		priority.Lower(priority.Idle)
		f()
	})
	g.Wait()
}

// fill fills in what has a default.
func (o *Options) fill() {
	o.FS = vfs.OrOS(o.FS)
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NoBlobs == "" {
		o.NoBlobs = "no blob directory was named"
	}
	if o.Committed == nil {
		o.Committed = func() int64 { return math.MaxInt64 }
	}
	if o.Kept == nil {
		o.Kept = o.keptInState
	}
}

// keptInState returns the chain of the state file; without one nothing is kept.
func (o *Options) keptInState() (state.Chain, error) {
	s, err := state.Load(o.FS, o.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return state.Chain{}, nil
	case err != nil:
		return state.Chain{}, err
	}
	return s.Chain, nil
}

// A pass is one look at a storage.
type pass struct {
	opt      Options
	pace     *pace
	result   *Pass
	progress atomic.Int64

	// Of the data file.
	blocks  *blockCheck
	chain   *hashchain.Recompute
	whole   bool // it could be read to the end of what is committed
	changed []contradiction
	opens   *reader
	replace bool // another file has its name by now
	reads   *collector

	digests *digestLog // of its blobs, as they are; nil: none were looked at

	// Of the comparison with other nodes.
	votes   map[blobKey]*blobVotes
	knowing []*peerBlobs // nodes that have noted all blobs that they were asked about
}

// Run makes one pass. The error says why it could not come to its end; the Pass has what was found until then.
func Run(ctx context.Context, opt Options) (*Pass, error) {
	opt.fill()
	p := &pass{opt: opt, pace: &pace{rate: opt.Rate}}
	var err error
	opt.thread(func() {
		err = recovered.Do(opt.Logger, "a verification", func() error { return p.run(ctx) })
	})
	r := p.result
	r.Ended = opt.Now().UTC()
	r.Seconds = r.Ended.Sub(r.Began).Seconds()
	if err != nil {
		text := err.Error()
		r.Error = &text
	}
	return r, err
}

// maxReplaced is how often a pass begins again because a pack or a copy has replaced the file.
const maxReplaced = 3

func (p *pass) run(ctx context.Context) error {
	began := p.opt.Now().UTC()
	for tries := 1; ; tries++ {
		p.result = &Pass{Path: p.opt.Path, Began: began, Attempted: 1, Kinds: map[check.Kind]int64{},
			FailureNodes: map[string]string{}, Findings: []Finding{}, Compared: []Compared{}}
		err := p.data(ctx)
		if p.replace && ctx.Err() == nil && tries < maxReplaced && (err != nil || p.result.Damages > 0) {
			p.opt.Logger.Info("the data file was replaced while it was verified, beginning again", "file", p.opt.Path)
			continue
		}
		if err != nil {
			p.unreadable(err)
			p.result.Failure++
			return fmt.Errorf("verify %s: %w", p.opt.Path, err)
		}
		break
	}
	p.reclaim()
	p.verdict()
	return p.peers(ctx)
}

// unreadable reports what the disk does not give.
func (p *pass) unreadable(err error) {
	if lost := (*unreadableError)(nil); errors.As(err, &lost) {
		p.suspect(Suspect{Start: p.reads.begun(lost.at), From: lost.at, To: lost.at + sector,
			Found: "the disk does not give it: " + lost.err.Error()})
		p.found(check.Finding{Severity: check.Damage, Kind: KindUnreadable, Pos: &lost.at, Text: fmt.Sprintf("the "+
			"disk does not give what is in the file: %v; nothing after it was verified: replace the disk, and fetch "+
			"the file from another node or from a backup", lost.err)})
	}
}

// verdict counts this copy.
func (p *pass) verdict() {
	switch {
	case p.result.Damages > 0:
		p.result.Failure++
	default:
		p.result.Success++
	}
	if p.result.Transactions == 0 {
		p.result.Empty++
	}
}

// data reads the data file.
func (p *pass) data(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	kept, err := p.opt.Kept() // before the file, which has all that was kept
	if err != nil {
		p.found(check.Finding{Severity: check.Damage, Kind: KindState,
			Text: fmt.Sprintf("%v: it has the checkpoints of the hash chain, which this pass does without", err)})
	}
	p.result.ChainKnown = int64(len(kept.Checkpoints))
	p.chain, p.replace, p.whole = hashchain.NewRecompute(kept), false, true
	before := p.blocksBefore()
	d := &disk{FS: p.opt.FS, path: p.opt.Path, open: func(f vfs.File) (*reader, error) {
		return p.open(ctx, f, before)
	}}
	digests := newDigester(p.chain)
	c := newCollector(ctx, p)
	p.reads = c
	end := c.start(digests)
	defer end()
	blobs := p.blobs()
	defer blobs.close()
	sum, err := check.Run(ctx, check.Options{
		FS: d, Path: p.opt.Path, Visitor: c, Now: p.opt.Now, Progress: p.opt.Progress, Blobs: blobs.files(ctx),
		BlobPath: p.blobPath(), Partial: p.opt.Partial,
		Report: func(f check.Finding) {
			p.whole = p.whole && f.Kind != check.KindStructure
			p.found(f)
			p.suspectFound(&f)
		},
	})
	p.opens = d.opens
	p.replace = p.replaced(d.opens)
	p.note(&sum)
	if err != nil {
		return err
	}
	if d.opens == nil { // it begins with no magic, which was reported
		return nil
	}
	if err := c.finish(); err != nil {
		return err
	}
	end()
	c.refs.judge(c.now, p.found)
	p.changed = digests.found
	p.judgeChain()
	p.judgeBlocks()
	p.saveBlocks()
	return nil
}

// blobs returns what looks at the blobs; nil: there are none to look at.
func (p *pass) blobs() *blobCheck {
	if p.opt.Blobs == nil {
		p.result.BlobsSkipped = &p.opt.NoBlobs
		return nil
	}
	c := newBlobCheck(p)
	p.digests = c.log
	return c
}

// blobPath returns where a blob belongs; nil: blobs are not looked at.
func (p *pass) blobPath() func(zodb.Oid, zodb.Tid) string {
	if p.opt.Blobs == nil {
		return nil
	}
	return p.opt.Blobs.BlobPath
}

// note takes over what a check says.
func (p *pass) note(sum *check.Summary) {
	r := p.result
	r.Bytes, r.Transactions, r.Records, r.Objects = sum.Checked, sum.Transactions, sum.Records, sum.Objects
	r.LastTid, r.Index = sum.LastTid, sum.Index
}

func (p *pass) found(f check.Finding) { p.result.report(Finding{Finding: f, Where: Here}) }

// open begins to read the data file in its order.
func (p *pass) open(ctx context.Context, f vfs.File, before *blockSums) (*reader, error) {
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &fs.PathError{Op: "open", Path: p.opt.Path, Err: errNotRegular}
	}
	is, err := sumsOf(f)
	if err != nil {
		return nil, err
	}
	p.blocks = newBlockCheck(before, is)
	if p.blocks.before != nil {
		p.result.BlocksKnown = int64(len(before.sums))
	}
	size := min(info.Size(), p.opt.Committed())
	return newReader(ctx, f, info, size, p.opt.thread, p.pace, p.blocks.chunk), nil
}

// errNotRegular is the reason why a device, a folder or a pipe is not verified.
var errNotRegular = errors.New("no regular file: give the path of a Data.fs")

// replaced reports whether the name of the data file leads to another file than the one that was read.
func (p *pass) replaced(r *reader) bool {
	if r == nil {
		return false
	}
	info, err := p.opt.FS.Stat(p.opt.Path)
	return err != nil || !vfs.SameFile(info, r.info)
}

// blocksBefore returns the checksums of the pass before; nil: there are none to compare with.
func (p *pass) blocksBefore() *blockSums {
	before, err := loadBlocks(p.opt.FS, p.opt.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		p.found(check.Finding{Severity: check.Warning, Kind: KindOwnFile,
			Text: fmt.Sprintf("%v; it is made anew, and this pass does without it", err)})
		return nil
	}
	return before
}

// judgeChain reports where the content is not what it was when it was committed.
func (p *pass) judgeChain() {
	for i := range p.changed {
		c := &p.changed[i]
		f := check.Finding{Severity: check.Damage, Kind: KindChain, Tid: &c.Tid, Text: c.String()}
		if c.Exact {
			f.Text += ": fetch it from another node or from a backup"
		} else {
			f.Text += fmt.Sprintf(", at the latest at offset %d: compare with another node to find which", c.pos)
		}
		p.found(f)
		from := max(c.From, firstTransaction)
		p.suspect(Suspect{Start: from, From: from, To: c.pos, Tid: f.Tid, Found: c.String()})
	}
}

// judgeBlocks reports blocks that are not what they were at the pass before.
func (p *pass) judgeBlocks() {
	if p.blocks == nil {
		return
	}
	for _, b := range p.blocks.judged(p.whole) {
		f := check.Finding{Severity: check.Damage, Kind: KindBlock, Pos: &b.from, Tid: b.tid, Oid: b.oid}
		where := "outside of any record"
		switch {
		case b.oid != nil:
			where = fmt.Sprintf("in the record at %d", *b.pos)
		case b.tid != nil:
			where = fmt.Sprintf("in the transaction at %d", *b.pos)
		}
		if b.exact {
			f.Text = fmt.Sprintf("one bit of this byte has flipped since the pass before, %s", where)
		} else {
			f.Text = fmt.Sprintf("bytes up to %d have changed since the pass before, the first perhaps %s", b.to, where)
		}
		f.Text += ": the disk does not have what was written; fetch it from another node or from a backup"
		p.found(f)
		p.suspect(Suspect{Start: b.txn, From: b.from, To: b.to, Tid: b.tid, Oid: b.oid, Found: f.Text,
			Exact: b.exact && b.oid != nil})
	}
}

// saveBlocks notes the checksums of a file that was read to its end.
func (p *pass) saveBlocks() {
	if p.blocks == nil || !p.whole || p.replace || p.opt.Dry {
		return
	}
	p.noted("the checksums of blocks", p.blocks.result().save(p.opt.FS, p.opt.Path))
}

// noted reports what could not be noted for the next pass, which then finds less.
func (p *pass) noted(what string, err error) {
	if err != nil {
		p.found(check.Finding{Severity: check.Warning, Kind: KindOwnFile,
			Text: fmt.Sprintf("cannot note %s for the next pass: %v", what, err)})
	}
}
