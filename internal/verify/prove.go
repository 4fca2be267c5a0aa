package verify

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"sort"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// ErrNoEvidence says that nothing was noted here that could prove what a part of a file has to be.
var ErrNoEvidence = errors.New("nothing that this node has noted proves what has to be there: it was packed, and no " +
	"verification has been over it since")

// A MismatchError says that a part of a file is not what was noted of it.
type MismatchError struct {
	Chain bool // the hash chain contradicts it; false: checksums of blocks
	From  int64
}

func (e *MismatchError) Error() string {
	if e.Chain {
		return fmt.Sprintf("the transactions from offset %d on are not those of the hash chain", e.From)
	}
	return fmt.Sprintf("the block at offset %d is not what it was at the last verification", e.From)
}

// A Copy is a data file and what this node has noted of it: with that it is proved what a part of the file has to be,
// whoever says it.
type Copy struct {
	FS   vfs.FS
	Path string

	kept   state.Chain
	blocks *blockSums // nil: there are none of this file
}

// OpenCopy reads what is noted of the data file at path; kept is its hash chain as it was when transactions were
// committed.
func OpenCopy(disk vfs.FS, path string, kept state.Chain) (*Copy, error) {
	c := &Copy{FS: vfs.OrOS(disk), Path: path, kept: kept}
	f, err := c.FS.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	is, err := sumsOf(f)
	if err != nil {
		return nil, err
	}
	if before, err := loadBlocks(c.FS, path); err == nil && before.sameFile(is) {
		c.blocks = before
	}
	return c, nil
}

// A proof is about the transactions in [from, to) of a file.
type proof struct {
	*Copy
	from, to int64
	patches  []filestorage.Patch
	in       *filestorage.Inspector // of the file as it would be

	first, last zodb.Tid // tids
	packed      bool     // one of them was packed
}

// Prove proves that the transactions in [from, to) of the file are what they were, if it had the patches. The error is
// a *zodb.CorruptError about the structure, a *MismatchError, or ErrNoEvidence.
func (c *Copy) Prove(ctx context.Context, patches []filestorage.Patch, from, to int64) (err error) {
	p := &proof{Copy: c, from: from, to: to, patches: patches}
	disk := &patchedDisk{FS: c.FS, path: c.Path, patches: patches}
	if p.in, err = filestorage.Inspect(disk, c.Path); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.in.Close()) }()
	if err := p.structure(ctx); err != nil {
		return err
	}
	chain, err := p.chain(ctx)
	if err != nil {
		return err
	}
	blocks, err := p.checksums()
	if err == nil && !chain && !blocks {
		err = ErrNoEvidence
	}
	return err
}

// A patchedDisk is one on which a file reads as if it had patches.
type patchedDisk struct {
	vfs.FS
	path    string
	patches []filestorage.Patch
}

func (d *patchedDisk) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := d.FS.OpenFile(path, flag, perm)
	if err != nil || path != d.path {
		return f, err
	}
	return filestorage.Patched(f, d.patches), nil
}

// structure walks over the transactions.
func (p *proof) structure(ctx context.Context) error {
	if p.from >= firstTransaction {
		p.in.SkipTo(p.from)
	}
	for p.in.Pos() < p.to {
		txn, err := p.in.Next()
		if err != nil {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if p.first == 0 {
			p.first = txn.Meta.Tid
		}
		p.last = txn.Meta.Tid
		p.packed = p.packed || txn.Meta.Status == zodb.StatusPacked
		for rec, err := range p.in.Records() {
			if err == nil {
				err = p.pointers(rec)
			}
			if err != nil {
				return err
			}
		}
	}
	if p.in.Pos() != p.to {
		return &zodb.CorruptError{File: p.Path, Pos: p.to, Want: "the end of a transaction",
			Got: fmt.Sprintf("one that ends at %d", p.in.Pos())}
	}
	return nil
}

// pointers checks those of a record: of all, or, where there are patches, of those that are patched. What is odd
// elsewhere is so in both copies.
func (p *proof) pointers(rec *filestorage.RawRecord) error {
	if len(p.patches) > 0 && !touched(p.patches, rec.Pos, rec.Pos+recordHead+8) {
		return nil
	}
	for _, to := range []int64{rec.Prev, rec.Back} {
		if to == 0 {
			continue
		}
		if to < firstTransaction || to >= rec.Pos {
			return &zodb.CorruptError{File: p.Path, Pos: rec.Pos, Want: "a pointer to an earlier record",
				Got: fmt.Sprint(to)}
		}
		target, err := p.in.RecordAt(to)
		if err != nil {
			return err
		}
		if target.Oid != rec.Oid {
			return &zodb.CorruptError{File: p.Path, Pos: to, Want: "a record of oid " + rec.Oid.String(),
				Got: "one of " + target.Oid.String()}
		}
	}
	return nil
}

func touched(patches []filestorage.Patch, from, to int64) bool {
	for i := range patches {
		if p := &patches[i]; p.Pos < to && from < p.End() {
			return true
		}
	}
	return false
}

// A span is the part of a file between two checkpoints of the hash chain.
type span struct {
	before hashchain.Point
	from   int64 // where the file continues after it
	end    hashchain.Point
}

// span returns the one that has the transactions with these tids. Without one it is not known what they have to be.
func (c *Copy) span(in *filestorage.Inspector, pos int64, first, last zodb.Tid) (s span, known bool, err error) {
	points := c.kept.Checkpoints
	hi := sort.Search(len(points), func(i int) bool { return points[i].Tid >= last })
	if hi == len(points) || first <= c.kept.Base {
		return s, false, nil
	}
	s.end = hashchain.Point{Tid: points[hi].Tid, Count: points[hi].Count, Value: points[hi].Value}
	s.before = hashchain.Point{Tid: c.kept.Base}
	if lo := sort.Search(len(points), func(i int) bool { return points[i].Tid >= first }); lo > 0 {
		s.before = hashchain.Point{Tid: points[lo-1].Tid, Count: points[lo-1].Count, Value: points[lo-1].Value}
	}
	for s.from = max(pos, firstTransaction); s.from > firstTransaction; {
		txn, err := in.Before(s.from)
		if err != nil {
			return s, false, err
		}
		if txn.Meta.Tid == s.before.Tid {
			return s, true, nil
		}
		s.from = txn.Pos
	}
	return s, s.before.Tid == 0, nil
}

// chain computes the hash chain over the transactions again, from the checkpoint before to the one after them, and
// reports whether there are such.
func (p *proof) chain(ctx context.Context) (known bool, err error) {
	if p.packed {
		return false, nil
	}
	s, known, err := p.span(p.in, p.from, p.first, p.last)
	if err != nil || !known {
		return false, err
	}
	p.in.SkipTo(s.from)
	d := newDigester(hashchain.Restart(p.kept.Base, s.before))
	for {
		txn, err := p.in.Next()
		if err != nil {
			return false, err
		}
		if err := context.Cause(ctx); err != nil {
			return false, err
		}
		tid := txn.Meta.Tid
		if err := new(pass).redigest(p.in, txn, d); err != nil {
			return false, err
		}
		_, _, head, here := d.chain.Recomputed()
		switch {
		case head == s.end:
			return true, nil
		case !here, head.Count >= s.end.Count, tid == s.end.Tid:
			return false, &MismatchError{Chain: true, From: s.from}
		}
	}
}

// Span returns the transactions between the checkpoints before and after those in [from, to), of a file on disk that is
// another copy; known is false when there are no such checkpoints.
func (c *Copy) Span(ctx context.Context, disk vfs.FS, from, to int64) (start, end int64, known bool, err error) {
	in, err := filestorage.Inspect(disk, c.Path)
	if err != nil {
		return 0, 0, false, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	p := &proof{Copy: c, from: from, to: to, in: in, patches: []filestorage.Patch{{}}}
	if err := p.structure(ctx); err != nil {
		return 0, 0, false, err
	}
	if p.packed {
		return 0, 0, false, nil
	}
	s, known, err := c.span(in, from, p.first, p.last)
	if err != nil || !known {
		return 0, 0, false, err
	}
	in.SkipTo(to)
	for tid := p.last; tid != s.end.Tid; {
		txn, err := in.Next()
		if err != nil {
			return 0, 0, false, err
		}
		tid = txn.Meta.Tid
	}
	return s.from, in.Pos(), true, nil
}

// checksums holds the blocks that are patched, or without patches all, against those of the pass before, and reports
// whether all of them were noted. A checksum that the file as it is on the disk has was noted of the damage.
func (p *proof) checksums() (known bool, err error) {
	if p.blocks == nil {
		return false, nil
	}
	f, err := p.FS.OpenFile(p.Path, os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // only read
	known = true
	for no := p.from / blockLen; no*blockLen < p.to; no++ {
		from := no * blockLen
		if len(p.patches) > 0 && !touched(p.patches, from, from+blockLen) {
			continue
		}
		if no >= int64(len(p.blocks.sums)) || !p.stands(from+blockLen) {
			known = false
			continue
		}
		noted := p.blocks.sums[no]
		if is, err := blockSum(f, from); len(p.patches) > 0 && err == nil && is == noted {
			known = false
			continue
		}
		if is, err := blockSum(filestorage.Patched(f, p.patches), from); err != nil || is != noted {
			return false, errors.Join(err, &MismatchError{From: from})
		}
	}
	return known, nil
}

// Blocks returns the blocks, each of which is noted with a checksum, that have bytes of [from, to).
func Blocks(from, to int64) (start, end int64) {
	return from - from%blockLen, (to + blockLen - 1) / blockLen * blockLen
}

// stands reports whether the file is, up to pos, the one of which blocks were noted.
func (p *proof) stands(pos int64) bool {
	marks := p.blocks.marks
	i := sort.Search(len(marks), func(i int) bool { return marks[i].pos >= pos })
	if i == len(marks) {
		return false
	}
	txn, err := p.in.Before(marks[i].pos)
	return err == nil && txn.Meta.Tid == marks[i].tid
}

func blockSum(f vfs.File, from int64) (uint32, error) {
	b := make([]byte, blockLen)
	if err := readAll(f, b, from); err != nil {
		return 0, err
	}
	return crc32.Checksum(b, castagnoli), nil
}

// Repaired notes that the patches are in the file now: a checksum that was noted of the damage is noted anew.
func (c *Copy) Repaired(patches []filestorage.Patch) error {
	if c.blocks == nil {
		return nil
	}
	f, err := c.FS.OpenFile(c.Path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	changed := false
	for i := range patches {
		for no := patches[i].Pos / blockLen; no*blockLen < patches[i].End() && no < int64(len(c.blocks.sums)); no++ {
			is, err := blockSum(f, no*blockLen)
			if err != nil {
				return err
			}
			changed = changed || c.blocks.sums[no] != is
			c.blocks.sums[no] = is
		}
	}
	if !changed {
		return nil
	}
	return c.blocks.save(c.FS, c.Path)
}

// NotedBlobs returns what was noted of blobs of the data file at path. It is empty where nothing can be read.
func NotedBlobs(disk vfs.FS, path string) NotedDigests {
	log, err := openDigests(vfs.OrOS(disk), path)
	if err != nil {
		return NotedDigests{}
	}
	return NotedDigests{log}
}

// NotedDigests are sizes and digests that blobs had when they were read first.
type NotedDigests struct{ log *digestLog }

// Of returns those of a blob; ok is false when nothing was noted.
func (n NotedDigests) Of(oid zodb.Oid, tid zodb.Tid) (size int64, digest [32]byte, ok bool) {
	if n.log == nil {
		return 0, digest, false
	}
	d := n.log.find(oid, tid)
	if d == nil {
		return 0, digest, false
	}
	return d.size, d.digest, true
}
