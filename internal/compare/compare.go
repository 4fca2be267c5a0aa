package compare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/zodb"
)

// A Side is a storage that can be read from its beginning.
type Side interface {
	// Iterate returns the transactions after the given tid; follow is always false here.
	Iterate(after zodb.Tid, follow bool) (zodb.Iterator, error)
}

// A Field names what differs. The names are part of the JSON output.
type Field string

// The fields in which storages can differ.
const (
	FieldTransaction Field = "transaction" // one side has a transaction that the other has not
	FieldStatus      Field = "status"
	FieldUser        Field = "user"
	FieldDescription Field = "description"
	FieldExtension   Field = "extension"
	FieldRecord      Field = "record" // one side has a record that the other has not
	FieldRecordTid   Field = "record-tid"
	FieldData        Field = "data"
	FieldBlob        Field = "blob"
)

// A Difference is the first one found. Oid is nil when it is not about a record.
type Difference struct {
	Field Field     `json:"field"`
	Tid   zodb.Tid  `json:"tid"`
	Oid   *zodb.Oid `json:"oid"`
	A     string    `json:"a"` // what side A has
	B     string    `json:"b"`
}

// String returns one line for people.
func (d *Difference) String() string {
	at := fmt.Sprintf("transaction %v", d.Tid)
	if d.Oid != nil {
		at += fmt.Sprintf(", oid %v", *d.Oid)
	}
	if d.Field == FieldTransaction || d.Field == FieldRecord {
		return fmt.Sprintf("%s: A has %s, B has %s", at, d.A, d.B)
	}
	return fmt.Sprintf("%s: %s differs: A has %s, B has %s", at, d.Field, d.A, d.B)
}

// A Result says what was compared: Difference is nil when nothing differs.
type Result struct {
	Equal        bool        `json:"equal"`
	Transactions int64       `json:"transactions"` // found equal
	Records      int64       `json:"records"`
	Blobs        int64       `json:"blobs"`
	LastTid      *zodb.Tid   `json:"last_tid"` // of the last transaction found equal
	Difference   *Difference `json:"difference"`
	// NotHere counts blobs that were not compared because a side whose directory is a blob cache does not have them.
	NotHere int64 `json:"blobs_not_here"`
}

// Options of Run. All may be absent.
type Options struct {
	PartialA, PartialB bool             // the blob directory is a blob cache: what is not in it may be elsewhere
	Progress           func(posA int64) // is called with how far A has been read
}

// Run compares a with b up to the first difference. The error is about not being able to read one of them.
func Run(ctx context.Context, a, b Side, opt Options) (res Result, err error) {
	itA, err := a.Iterate(0, false)
	if err != nil {
		return res, fmt.Errorf("reading A: %w", err)
	}
	defer func() { err = errors.Join(err, itA.Close()) }()
	itB, err := b.Iterate(0, false)
	if err != nil {
		return res, fmt.Errorf("reading B: %w", err)
	}
	defer func() { err = errors.Join(err, itB.Close()) }()
	c := &comparison{res: &res, opt: opt}
	for {
		more, err := c.next(ctx, itA, itB)
		if err != nil || !more {
			res.Equal = err == nil && res.Difference == nil
			return res, err
		}
		if opt.Progress != nil {
			opt.Progress(itA.Position())
		}
	}
}

// A comparison is one run.
type comparison struct {
	opt        Options
	res        *Result
	tid        zodb.Tid
	bufA, bufB [64 << 10]byte
}

// next compares one transaction of each side. It reports false at the end of both and after a difference.
func (c *comparison) next(ctx context.Context, itA, itB zodb.Iterator) (more bool, err error) {
	a, err := present(ctx, itA)
	if err != nil {
		return false, fmt.Errorf("reading A: %w", err)
	}
	b, err := present(ctx, itB)
	if err != nil {
		return false, fmt.Errorf("reading B: %w", err)
	}
	if a == nil && b == nil {
		return false, nil
	}
	d, err := c.transaction(a, b)
	if err != nil {
		return false, err
	}
	if d != nil {
		c.res.Difference = d
		return false, nil
	}
	c.res.Transactions++
	tid := c.tid
	c.res.LastTid = &tid
	return true, nil
}

// present returns the next transaction that counts, nil at the end.
func present(ctx context.Context, it zodb.Iterator) (zodb.Transaction, error) {
	for {
		txn, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil, nil //nolint:nilnil // no transaction is an answer, and what both sides may have
		}
		if err != nil {
			return nil, err
		}
		if txn.Meta().Status != zodb.StatusUndone {
			return txn, nil
		}
	}
}

func (c *comparison) transaction(a, b zodb.Transaction) (*Difference, error) {
	if d := c.extra(a, b); d != nil {
		return d, nil
	}
	ma, mb := a.Meta(), b.Meta()
	c.tid = ma.Tid
	if sa, sb := unpacked(ma.Status), unpacked(mb.Status); sa != sb {
		return c.differ(FieldStatus, nil, fmt.Sprintf("%q", sa), fmt.Sprintf("%q", sb)), nil
	}
	for _, m := range []struct {
		field Field
		a, b  []byte
	}{{FieldUser, ma.User, mb.User}, {FieldDescription, ma.Description, mb.Description}, {FieldExtension,
		ma.Extension, mb.Extension}} {
		if !bytes.Equal(m.a, m.b) {
			return c.differ(m.field, nil, quote(m.a), quote(m.b)), nil
		}
	}
	return c.records(a, b)
}

// extra finds that only one side has the next transaction: the other has a later one, or none.
func (c *comparison) extra(a, b zodb.Transaction) *Difference {
	switch {
	case b == nil:
		c.tid = a.Meta().Tid
		return c.differ(FieldTransaction, nil, "it", "no transaction any more")
	case a == nil:
		c.tid = b.Meta().Tid
		return c.differ(FieldTransaction, nil, "no transaction any more", "it")
	}
	ta, tb := a.Meta().Tid, b.Meta().Tid
	c.tid = min(ta, tb)
	switch {
	case ta < tb:
		return c.differ(FieldTransaction, nil, "it", "not; its next one is "+tb.String())
	case tb < ta:
		return c.differ(FieldTransaction, nil, "not; its next one is "+ta.String(), "it")
	}
	return nil
}

func (c *comparison) differ(field Field, oid *zodb.Oid, a, b string) *Difference {
	return &Difference{Field: field, Tid: c.tid, Oid: oid, A: a, B: b}
}

func unpacked(s zodb.Status) zodb.Status {
	if s == zodb.StatusPacked {
		return zodb.StatusCommitted
	}
	return s
}

// maxQuoted is how many bytes of a text are shown.
const maxQuoted = 60

func quote(b []byte) string {
	if len(b) > maxQuoted {
		return fmt.Sprintf("%q and %d bytes more", b[:maxQuoted], len(b)-maxQuoted)
	}
	return fmt.Sprintf("%q", b)
}
