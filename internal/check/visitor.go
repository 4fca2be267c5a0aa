package check

import (
	"errors"
	"io"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// A Visitor sees what a check reads, in the order of the file, so that whoever needs more than the check looks at does
// not read the file again. An error of it ends the check. What it is given is valid until it returns.
type Visitor interface {
	// Start is called first. now has the newest record of each object so far; it is to be read only while the visitor
	// is called.
	Start(in *filestorage.Inspector, now *filestorage.Offsets)
	// Begin is called with each transaction.
	Begin(txn *filestorage.RawTransaction) error
	// Record is called with each record that counts, that is not of a transaction undone by status. Its data are those
	// at the end of its back pointers; size is zodb.NoData where there are none.
	Record(rec *filestorage.RawRecord, size int64, data io.Reader) error
	// Broken is called instead when its data cannot be found, which has been reported.
	Broken(rec *filestorage.RawRecord) error
	// End is called after the last record. It is not whole when the rest of the transaction could not be read.
	End(whole bool) error
}

func (c *checker) begin(txn *filestorage.RawTransaction) error {
	if c.opt.Visitor == nil {
		return nil
	}
	return c.opt.Visitor.Begin(txn)
}

func (c *checker) end(whole bool) error {
	if c.opt.Visitor == nil {
		return nil
	}
	return c.opt.Visitor.End(whole)
}

func (c *checker) visit(rec *filestorage.RawRecord) error {
	size, data, err := c.in.Resolved(rec)
	_, corrupt := errors.AsType[*zodb.CorruptError](err)
	switch {
	case corrupt: // the check of the back pointer has reported it, here or further back
		return c.opt.Visitor.Broken(rec)
	case err != nil:
		return err
	}
	return c.opt.Visitor.Record(rec, size, data)
}
