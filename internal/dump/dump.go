package dump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/record"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A Transaction is a line of the JSON output. User and Description are null when they are not UTF-8; the bytes are
// always there, in hexadecimal digits.
type Transaction struct {
	Pos            int64     `json:"pos"`
	Tid            zodb.Tid  `json:"tid"`
	Time           time.Time `json:"time"`
	Status         string    `json:"status"`       // " ", "p" or "u"
	Length         int64     `json:"length_bytes"` // in the file, both length fields included
	User           *string   `json:"user"`
	UserHex        string    `json:"user_hex"`
	Description    *string   `json:"description"`
	DescriptionHex string    `json:"description_hex"`
	ExtensionHex   string    `json:"extension_hex"`
}

// The kinds of record.
const (
	kindData = "data" // the data stand here
	kindBack = "back" // a back pointer to the record that has the data, or a back pointer in turn
	kindNone = "none" // the object does not exist at this revision
)

// A Record is a line of the JSON output.
type Record struct {
	Pos     int64     `json:"pos"`
	Oid     zodb.Oid  `json:"oid"`
	Tid     zodb.Tid  `json:"tid"`
	Class   string    `json:"class"` // module.name, of the revision; empty where the record does not name one
	Kind    string    `json:"kind"`
	Size    int64     `json:"size_bytes"` // of data that stand here, otherwise 0
	Prev    *int64    `json:"previous_pos"`
	Back    *int64    `json:"back_pos"`
	DataTxn *zodb.Tid `json:"data_tid"` // of the record that the back pointer leads to
	// BlobSize is null when the revision is no blob, has no file, or blobs were not asked for.
	BlobSize *int64 `json:"blob_bytes"`
	// NoBlob is true when the revision is a blob, blobs were asked for, and there is no file.
	NoBlob bool `json:"blob_missing"`
	// Path leads from the root to the object in the last state of the file; empty where no path does. Null where paths
	// were not asked for.
	Path *string `json:"path,omitempty"`
}

// Options say what to show. FS and Path are required.
type Options struct {
	FS       vfs.FS
	Path     string
	From, To zodb.Tid // both inclusive; To 0: up to the end
	// BlobSize returns the size of a blob file, a *zodb.POSKeyError where there is none; nil: blobs are not looked for.
	BlobSize func(oid zodb.Oid, tid zodb.Tid) (int64, error)
	// PathOf returns by which path an object is reached from the root; nil: paths are not shown.
	PathOf func(zodb.Oid) string
}

// A Printer writes one form of output.
type Printer interface {
	Transaction(Transaction) error
	Record(Record) error
	// End is called with the number of bytes after the last committed transaction.
	End(uncommitted int64) error
}

// Run prints the file. Damage is a *zodb.CorruptError, after everything before it has been printed.
func Run(ctx context.Context, opt Options, out Printer) (err error) {
	in, err := filestorage.Inspect(opt.FS, opt.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	d := &dumper{opt, in, out, make([]byte, headLen)}
	for txn, err := range in.Transactions() {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if opt.To != 0 && txn.Meta.Tid > opt.To {
			return nil
		}
		if txn.Meta.Tid < opt.From {
			continue
		}
		if err := d.transaction(ctx, txn); err != nil {
			return err
		}
	}
	return out.End(in.Size() - in.Pos())
}

type dumper struct {
	opt Options
	in  *filestorage.Inspector
	out Printer
	buf []byte
}

// headLen is how much of a record is read for its class.
const headLen = 4 << 10

func (d *dumper) transaction(ctx context.Context, txn *filestorage.RawTransaction) error {
	m := &txn.Meta
	err := d.out.Transaction(Transaction{
		Pos: txn.Pos, Tid: m.Tid, Time: m.Tid.Time().UTC(), Status: string(rune(m.Status)), Length: txn.End() - txn.Pos,
		User: text(m.User), UserHex: fmt.Sprintf("%x", m.User),
		Description: text(m.Description), DescriptionHex: fmt.Sprintf("%x", m.Description),
		ExtensionHex: fmt.Sprintf("%x", m.Extension),
	})
	if err != nil {
		return err
	}
	for raw, err := range d.in.Records() {
		if err == nil {
			err = d.record(raw)
		}
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
	}
	return nil
}

func (d *dumper) record(raw *filestorage.RawRecord) error {
	r := Record{Pos: raw.Pos, Oid: raw.Oid, Tid: raw.Tid, Kind: kindData, Size: raw.Size}
	if raw.Prev != 0 {
		r.Prev = &raw.Prev
	}
	switch {
	case raw.Back != 0:
		target, err := d.in.RecordAt(raw.Back)
		if err != nil {
			return fmt.Errorf("following the back pointer of oid %v at %d: %w", raw.Oid, raw.Pos, err)
		}
		r.Kind, r.Back, r.DataTxn = kindBack, &raw.Back, &target.Tid
	case raw.Size == 0:
		r.Kind = kindNone
	}
	if err := errors.Join(d.class(raw, &r), d.blob(raw, &r)); err != nil {
		return err
	}
	if d.opt.PathOf != nil {
		path := d.opt.PathOf(raw.Oid)
		r.Path = &path
	}
	return d.out.Record(r)
}

// class finds the class of a revision. A chain of back pointers that is damaged leads to none.
func (d *dumper) class(raw *filestorage.RawRecord, r *Record) error {
	size, data, err := d.in.Resolved(raw)
	var corrupt *zodb.CorruptError
	if errors.As(err, &corrupt) || size == zodb.NoData {
		return nil
	}
	if err != nil {
		return err
	}
	head := d.buf[:min(size, headLen)]
	if _, err := io.ReadFull(data, head); err != nil {
		return fmt.Errorf("read oid %v at %d: %w", raw.Oid, raw.Pos, err)
	}
	r.Class = record.ClassOf(head)
	return nil
}

func (d *dumper) blob(raw *filestorage.RawRecord, r *Record) error {
	if d.opt.BlobSize == nil {
		return nil
	}
	isBlob, err := d.in.IsBlob(raw)
	if err != nil || !isBlob {
		return err
	}
	size, err := d.opt.BlobSize(raw.Oid, raw.Tid)
	var missing *zodb.POSKeyError
	switch {
	case errors.As(err, &missing):
		r.NoBlob = true
	case err != nil:
		return err
	default:
		r.BlobSize = &size
	}
	return nil
}

func text(b []byte) *string {
	if !utf8.Valid(b) {
		return nil
	}
	s := string(b)
	return &s
}
