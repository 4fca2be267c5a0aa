package check

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// walk checks all transactions up to the end or to damage that nobody can get past.
func (c *checker) walk(ctx context.Context) error {
	c.reached(c.in.Pos())
	for txn, err := range c.in.Transactions() {
		if ended, err := c.ended(ctx, err, KindStructure, nil, "nothing after this point can be checked"); ended {
			return err
		}
		if err := c.transaction(ctx, txn); err != nil {
			return err
		}
		c.reached(c.in.Pos())
		if c.opt.Progress != nil {
			c.opt.Progress(c.in.Pos(), c.in.Size())
		}
	}
	return nil
}

func (c *checker) transaction(ctx context.Context, txn *filestorage.RawTransaction) error {
	c.sum.Transactions++
	c.tid(txn.Pos, txn.Meta.Tid)
	if err := c.begin(txn); err != nil {
		return err
	}
	for rec, err := range c.in.Records() {
		if ended, err := c.ended(ctx, err, KindRecord, txn, "the rest of the transaction is skipped"); ended {
			return errors.Join(err, c.end(false))
		}
		if err := c.record(txn, rec); err != nil {
			return err
		}
	}
	return c.end(true)
}

// ended reports whether a range over the file has come to its end with err, or ctx has. Damage is noted, with what
// follows from it, and is no error. txn is the transaction in which it is, nil where there is none.
func (c *checker) ended(ctx context.Context, err error, kind Kind, txn *filestorage.RawTransaction, follows string) (
	bool, error) {
	if err == nil && ctx.Err() == nil {
		return false, nil
	}
	corrupt, ok := errors.AsType[*zodb.CorruptError](err)
	switch {
	case ok:
		corrupt.Got += "; " + follows
		var tid *zodb.Tid
		if txn != nil {
			tid = at(txn.Meta.Tid)
		}
		c.corrupt(kind, corrupt, tid)
		c.gap = true
		return true, nil
	case err != nil:
		return true, err
	}
	return true, context.Cause(ctx)
}

// tid checks the tid of the transaction at pos. Of those in the future the first one is reported; all are counted.
func (c *checker) tid(pos int64, tid zodb.Tid) {
	if c.sum.Transactions > 1 && tid <= c.last {
		c.sum.TidsDown++
		c.report(Finding{Warning, KindTidOrder, at(pos), at(tid), nil, fmt.Sprintf("%s is not above that of the "+
			"previous transaction, %v (%s): the clock was wrong; readers go by the order of the file", tid.Stamp(),
			c.last, c.last.Stamp())})
	}
	if tid > c.future {
		if c.sum.TidsFuture++; c.sum.TidsFuture == 1 {
			c.report(Finding{Warning, KindTidFuture, at(pos), at(tid), nil, fmt.Sprintf("%s is in the future: the "+
				"clock was ahead, or this machine's is behind; until then new tids only count up from it and carry no "+
				"time", tid.Stamp())})
		}
	}
	c.last, c.highest = tid, max(c.highest, tid)
}

func (c *checker) record(txn *filestorage.RawTransaction, rec *filestorage.RawRecord) error {
	c.sum.Records++
	if rec.Tid != txn.Meta.Tid {
		c.report(Finding{Warning, KindRecordTid, at(rec.Pos), at(txn.Meta.Tid), at(rec.Oid),
			fmt.Sprintf("the record has tid %v", rec.Tid)})
	}
	if err := c.previous(txn, rec); err != nil {
		return err
	}
	sound, err := c.backPointer(txn, rec)
	if err != nil {
		return err
	}
	if txn.Meta.Status == zodb.StatusUndone { // counts as absent
		return nil
	}
	if sound {
		if err := c.noteBlob(rec); err != nil {
			return err
		}
	}
	c.now.Set(rec.Oid, rec.Pos)
	if c.opt.Visitor != nil {
		return c.visit(rec)
	}
	if c.opt.Quick {
		return nil
	}
	_, err = io.Copy(io.Discard, c.in.Data(rec))
	return err
}

// backPointer reports false when rec has a back pointer that cannot be followed.
func (c *checker) backPointer(txn *filestorage.RawTransaction, rec *filestorage.RawRecord) (sound bool, err error) {
	if rec.Back == 0 {
		return true, nil
	}
	wrong, err := c.leadsBack(rec, rec.Back)
	if wrong != "" {
		c.report(Finding{Damage, KindBackPointer, at(rec.Pos), at(txn.Meta.Tid), at(rec.Oid),
			"the data of this revision cannot be found: " + wrong})
	}
	return wrong == "", err
}

// previous checks the pointer to the revision before. Packed records have none; a record that was packed away, or
// undone by status, may be passed over. The last record of an oid that is twice in a transaction has the same
// one as the first.
func (c *checker) previous(txn *filestorage.RawTransaction, rec *filestorage.RawRecord) error {
	want := c.now.Get(rec.Oid)
	if want == rec.Prev || want >= txn.Pos {
		return nil
	}
	finding := Finding{Damage, KindPrevious, at(rec.Pos), at(txn.Meta.Tid), at(rec.Oid), ""}
	if rec.Prev == 0 {
		if txn.Meta.Status != zodb.StatusPacked {
			finding.Severity = Warning
			finding.Text = fmt.Sprintf("no previous revision, but there is one at %d", want)
			c.report(finding)
		}
		return nil
	}
	wrong, err := c.leadsBack(rec, rec.Prev)
	switch {
	case err != nil:
		return err
	case wrong != "":
		finding.Text = "older revisions cannot be found: " + wrong
	default:
		finding.Severity = Warning
		finding.Text = fmt.Sprintf("previous revision is at %d, the newest one is at %d", rec.Prev, want)
	}
	c.report(finding)
	return nil
}

// leadsBack says what is wrong with a pointer from rec to an earlier record of its oid, nothing if it is sound.
func (c *checker) leadsBack(rec *filestorage.RawRecord, to int64) (wrong string, err error) {
	if to < 0 || to >= rec.Pos {
		return fmt.Sprintf("it points to %d, which is not before the record", to), nil
	}
	target, err := c.in.RecordAt(to)
	var corrupt *zodb.CorruptError
	switch {
	case errors.As(err, &corrupt):
		return fmt.Sprintf("it points to %d, where no record is: want %s, got %s", to, corrupt.Want, corrupt.Got), nil
	case err != nil:
		return "", err
	case target.Oid != rec.Oid:
		return fmt.Sprintf("it points to %d, where oid %v is", to, target.Oid), nil
	}
	return "", nil
}

// at returns a pointer to v, as a Finding has it.
func at[T any](v T) *T { return &v }
