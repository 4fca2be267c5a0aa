package check

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A BlobFile names one file of a blob directory.
type BlobFile struct {
	Oid  zodb.Oid
	Tid  zodb.Tid
	Path string
	// Unreadable says why a folder cannot be read: it is at Path, and which blobs are in it is not known. Nil: a file.
	Unreadable error
}

// Options say what to check, and what to call with the findings. FS and Report are required.
type Options struct {
	FS   vfs.FS
	Path string
	// Blobs yields the files of the blob directory, in any order; nil: blobs are not checked. An error ends the check.
	Blobs iter.Seq2[BlobFile, error]
	// BlobPath returns where the blob of a revision belongs: one that belongs into a folder that cannot be read is not
	// called missing. Nil: no folder is unreadable.
	BlobPath func(zodb.Oid, zodb.Tid) string
	// Partial says that the directory is a blob cache: blobs that are not in it are elsewhere.
	Partial bool
	// Seen is the last transaction that the file is known to have had, as by its state file; 0: none is known.
	Seen zodb.Tid
	// LaterBlobs takes a blob of a transaction after the last one for a sign that the file was longer. A secondary may
	// have blobs before their transactions.
	LaterBlobs bool
	// Quick skips the data of records: structure, pointers and the index are checked, unreadable sectors are not found.
	Quick bool
	// Report is called with each finding.
	Report func(Finding)
	// Now is the clock; nil: the system's.
	Now func() time.Time
	// Visitor sees all transactions and records as they are read; nil: nobody does. With one, Quick has no effect.
	Visitor Visitor
	// Progress is called with how much of the file has been checked; may be nil.
	Progress func(done, total int64)
}

// Run checks one storage. The error is about not being able to check; what is wrong with the storage goes to Report.
func Run(ctx context.Context, opt Options) (Summary, error) {
	c := &checker{opt: opt, now: filestorage.NewOffsets(), sum: Summary{Path: opt.Path}}
	clock := time.Now
	if opt.Now != nil {
		clock = opt.Now
	}
	var err error
	begun := clock()
	c.future, err = zodb.TidFromTime(begun.Add(tolerance))
	if err == nil {
		c.before, err = zodb.TidFromTime(begun.Add(-tolerance))
	}
	if err != nil {
		return c.sum, fmt.Errorf("reading the clock: %w", err)
	}
	c.loadIndex() // before the file, so that the index is not newer than what is seen of the file
	in, err := filestorage.Inspect(opt.FS, opt.Path)
	var corrupt *zodb.CorruptError
	if errors.As(err, &corrupt) {
		c.corrupt(KindStructure, corrupt, nil)
		return c.sum, nil
	}
	if err != nil {
		return c.sum, err
	}
	c.in = in
	c.sum.Magic, c.sum.Size = in.Magic().String(), in.Size()
	if opt.Visitor != nil {
		opt.Visitor.Start(in, c.now)
	}
	err = c.run(ctx)
	if err := errors.Join(err, in.Close()); err != nil {
		return c.sum, fmt.Errorf("check %s: %w", opt.Path, err)
	}
	return c.sum, nil
}

// tolerance is how far clocks of machines that are in order may be apart.
const tolerance = time.Minute

// A checker is one run.
type checker struct {
	opt   Options
	in    *filestorage.Inspector
	now   *filestorage.Offsets // of what has been walked over
	saved savedIndex
	blobs []blobRevision // in file order
	last  zodb.Tid       // of the transaction walked over last
	gap   bool           // something was skipped: what is known of the file is not all that is in it
	sum   Summary

	unreadable vfs.Folders // of the blob directory

	highest zodb.Tid // of all transactions
	future  zodb.Tid // what is above has not been yet
	before  zodb.Tid // what is below was before the check began
	later   zodb.Tid // the highest tid of a blob that should have been in the file then; 0: there is none
}

func (c *checker) run(ctx context.Context) error {
	if err := c.walk(ctx); err != nil {
		return err
	}
	c.sum.Checked = c.in.Pos()
	c.sum.Objects = int64(c.now.Len())
	if c.last != 0 {
		c.sum.LastTid = &c.last
	}
	c.judgeIndex()
	if c.gap { // nobody can tell which blobs are missing or orphaned
		return nil
	}
	if c.opt.Seen > c.last {
		c.endMissing(&c.opt.Seen, "the state file has seen this transaction, and the file ends before it")
	}
	c.sum.Uncommitted = c.in.Size() - c.in.Pos()
	return c.checkBlobs(ctx)
}

// endMissing reports that the file was longer. A file that was cut between two transactions shows no damage itself.
func (c *checker) endMissing(tid *zodb.Tid, why string) {
	c.report(Finding{Warning, KindEndMissing, nil, tid, nil, why + ": unless an older copy was put in its place on " +
		"purpose, its last transactions are lost: compare it with another node or with a backup"})
}

func (c *checker) report(f Finding) {
	if f.Severity == Damage {
		c.sum.Damages++
	} else {
		c.sum.Warnings++
	}
	c.opt.Report(f)
}

func (c *checker) corrupt(kind Kind, e *zodb.CorruptError, tid *zodb.Tid) {
	c.report(Finding{Damage, kind, &e.Pos, tid, nil, fmt.Sprintf("want %s, got %s", e.Want, e.Got)})
}
