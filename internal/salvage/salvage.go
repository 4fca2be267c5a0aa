package salvage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

// A Fragment is one that is open. Close it after use.
type Fragment struct {
	manifest *rewind.Manifest
	st       *filestorage.Storage
	only     []zodb.Tid // empty: all
}

// Open opens a fragment for reading. With tids, only those transactions count; one that it does not have is an error.
func Open(ctx context.Context, where rewind.Fragment, tids ...zodb.Tid) (*Fragment, error) {
	m, err := rewind.ReadManifest(vfs.OS{}, where.Manifest)
	if err != nil {
		return nil, fmt.Errorf("the list of what is in the fragment: %w", err)
	}
	for _, tid := range tids {
		if !slices.ContainsFunc(m.Transactions, func(t rewind.Transaction) bool { return t.Tid == tid }) {
			return nil, fmt.Errorf("there is no transaction %v in %s", tid, where.Data)
		}
	}
	opt := filestorage.Options{ReadOnly: true, MustExist: true}
	if _, err := (vfs.OS{}).Stat(where.Blobs); err == nil {
		if opt.Blobs, err = blobstore.Open(where.Blobs, blobstore.Options{ReadOnly: true}); err != nil {
			return nil, err
		}
	}
	st, err := filestorage.Open(ctx, where.Data, opt)
	if err != nil {
		return nil, err
	}
	return &Fragment{m, st, tids}, nil
}

// Close closes the fragment.
func (f *Fragment) Close() error { return f.st.Close() }

// wanted reports whether a transaction counts.
func (f *Fragment) wanted(tid zodb.Tid) bool { return len(f.only) == 0 || slices.Contains(f.only, tid) }

// Transactions lists those that count.
func (f *Fragment) Transactions() (list []rewind.Transaction) {
	for _, t := range f.manifest.Transactions {
		if f.wanted(t.Tid) {
			list = append(list, t)
		}
	}
	return list
}

// Export copies the transactions that count into a new storage at path, with their blobs in the folder path.blobs.
func (f *Fragment) Export(ctx context.Context, path string) (err error) {
	opt := filestorage.Options{Magic: f.st.Magic()}
	if f.st.HasBlobs() {
		if opt.Blobs, err = blobstore.Open(path+".blobs", blobstore.Options{}); err != nil {
			return err
		}
	}
	out, err := filestorage.Open(ctx, path, opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if out.LastTid() != 0 {
		return fmt.Errorf("%s has transactions already: name a file that is not there", path)
	}
	return f.each(ctx, func(in zodb.Transaction) error {
		txn, err := out.Begin(ctx, in.Meta())
		if err != nil {
			return err
		}
		if err := records(in, txn.Restore); err != nil {
			return errors.Join(err, txn.Abort())
		}
		if _, err = txn.Finish(ctx, nil); err != nil {
			return errors.Join(err, txn.Abort()) // else the storage could not be closed
		}
		return nil
	})
}

// each calls do with every transaction that counts.
func (f *Fragment) each(ctx context.Context, do func(zodb.Transaction) error) error {
	for txn, err := range f.st.Transactions(ctx, 0) {
		if err != nil {
			return err
		}
		if tid := txn.Meta().Tid; f.wanted(tid) {
			if err := do(txn); err != nil {
				return fmt.Errorf("transaction %v: %w", tid, err)
			}
		}
	}
	return nil
}

func records(in zodb.Transaction, do func(*zodb.Record) error) error {
	for rec, err := range zodb.Records(in) {
		if err == nil {
			err = do(rec)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// What can be said of a transaction.
const (
	Free     = "free"     // it could be committed again
	Applied  = "applied"  // it is at the primary already
	Conflict = "conflict" // it cannot: Why says which object is in the way
	Done     = "done"     // it was committed again
)

// A Verdict is what became of a transaction, or could.
type Verdict struct {
	Tid   zodb.Tid `json:"tid"`
	State string   `json:"state"`
	Why   string   `json:"why,omitempty"`
	New   zodb.Tid `json:"new_tid,omitempty"` // where State is Done
}

// A judgement knows what objects are, or would be, after what was found free.
type judgement struct {
	f     *Fragment
	conn  *client.Conn
	after map[zodb.Oid]zodb.Tid // the revision in the fragment that an object has, or would have
	now   map[zodb.Oid]zodb.Tid // its revision at the primary, where it was committed again just now
}

// serials are the revisions at the primary on top of which a transaction would be stored.
type serials map[zodb.Oid]zodb.Tid

// Judge says of each transaction that counts whether it could be committed again.
func (f *Fragment) Judge(ctx context.Context, conn *client.Conn) ([]Verdict, error) {
	return f.verdicts(ctx, conn, func(_ *judgement, _ zodb.Transaction, _ serials, v Verdict) (Verdict, error) {
		return v, nil
	})
}

// Apply commits again what can be, one after the other, as a client of the primary. With an error, what became of the
// last transaction is not known; to call it again is safe.
func (f *Fragment) Apply(ctx context.Context, conn *client.Conn) ([]Verdict, error) {
	return f.verdicts(ctx, conn, func(j *judgement, in zodb.Transaction, on serials, v Verdict) (Verdict, error) {
		return j.commit(ctx, in, on, v)
	})
}

func (f *Fragment) verdicts(ctx context.Context, conn *client.Conn,
	act func(*judgement, zodb.Transaction, serials, Verdict) (Verdict, error)) (list []Verdict, err error) {
	j := &judgement{f: f, conn: conn, after: make(map[zodb.Oid]zodb.Tid), now: make(map[zodb.Oid]zodb.Tid)}
	listed := make(map[zodb.Tid]*rewind.Transaction)
	for i := range f.manifest.Transactions {
		listed[f.manifest.Transactions[i].Tid] = &f.manifest.Transactions[i]
	}
	err = f.each(ctx, func(in zodb.Transaction) error {
		t := listed[in.Meta().Tid]
		if t == nil {
			return errors.New("it is not in the list of the fragment")
		}
		v, on, err := j.judge(ctx, t)
		if err == nil && v.State == Free {
			v, err = act(j, in, on, v)
		}
		if err != nil {
			return err
		}
		if v.State != Conflict {
			for _, o := range t.Objects {
				j.after[o.Oid] = t.Tid
			}
		}
		list = append(list, v)
		return nil
	})
	return list, err
}

// judge compares the objects of a transaction with what they are at the primary.
func (j *judgement) judge(ctx context.Context, t *rewind.Transaction) (Verdict, serials, error) {
	v, on := Verdict{Tid: t.Tid, State: Applied}, make(serials)
	for i := range t.Objects {
		o := &t.Objects[i]
		there, err := j.there(ctx, o.Oid)
		if err != nil {
			return v, nil, err
		}
		same, why, err := j.object(t.Tid, o, there)
		switch {
		case err != nil:
			return v, nil, err
		case why != "":
			return Verdict{Tid: t.Tid, State: Conflict, Why: why}, nil, nil
		case !same:
			v.State = Free
		}
		if there != nil {
			on[o.Oid] = there.Tid
		}
	}
	return v, on, nil
}

// there returns the current revision of an object at the primary, nil when there is none.
func (j *judgement) there(ctx context.Context, oid zodb.Oid) (*client.Revision, error) {
	rev, err := j.conn.Load(ctx, oid)
	var none *zodb.POSKeyError
	if errors.As(err, &none) {
		return nil, nil //nolint:nilnil // no revision is an answer
	}
	return rev, err
}

// object compares one object with what it is at the primary: whether it is the same already, or why it must not be
// written; otherwise it may be, on top of what is there.
func (j *judgement) object(tid zodb.Tid, o *rewind.Object, there *client.Revision) (same bool, why string, err error) {
	before, known := j.after[o.Oid]
	switch {
	case known && before == o.Base && there != nil && there.Tid == j.now[o.Oid]:
		return false, "", nil // the transaction before it was committed again just now
	case known && before == o.Base && j.now[o.Oid] == 0 && !j.applied(o.Oid, before, there):
		return false, "", nil // and here it would be
	case there == nil && (o.Base == 0 || o.Size < 0):
		return o.Size < 0, "", nil
	case there == nil:
		return false, fmt.Sprintf("oid %v is not at the primary any more", o.Oid), nil
	}
	data, err := j.f.revision(o.Oid, tid)
	switch {
	case err != nil:
		return false, "", err
	case o.Size >= 0 && bytes.Equal(data, there.Data) && there.Tid != o.Base:
		return true, "", nil
	case there.Tid == o.Base, j.applied(o.Oid, o.Base, there):
		return false, "", nil
	case o.Base == 0:
		return false, fmt.Sprintf("oid %v was new, and is another object at the primary, of %v", o.Oid, there.Tid), nil
	}
	return false, fmt.Sprintf("oid %v was changed at the primary by %v, it was based on %v", o.Oid, there.Tid,
		o.Base), nil
}

// applied reports whether the primary has what a transaction of the fragment made of an object.
func (j *judgement) applied(oid zodb.Oid, tid zodb.Tid, there *client.Revision) bool {
	if there == nil || tid == 0 {
		return false
	}
	data, err := j.f.revision(oid, tid)
	return err == nil && data != nil && bytes.Equal(data, there.Data)
}

// revision returns the data of an object as a transaction of the fragment wrote them.
func (f *Fragment) revision(oid zodb.Oid, tid zodb.Tid) ([]byte, error) {
	data, err := f.st.LoadSerial(oid, tid)
	var none *zodb.POSKeyError
	if errors.As(err, &none) {
		return nil, nil // not of the fragment, or a deletion
	}
	return data, err
}

// commit commits a transaction again.
func (j *judgement) commit(ctx context.Context, in zodb.Transaction, on serials, v Verdict) (Verdict, error) {
	meta := in.Meta()
	txn, err := j.conn.Begin(ctx, &zodb.TxnMeta{
		User: meta.User, Description: meta.Description, Extension: meta.Extension,
	})
	if err != nil {
		return v, err
	}
	var written []zodb.Oid
	err = records(in, func(rec *zodb.Record) error {
		written = append(written, rec.Oid)
		return store(ctx, txn, rec, on[rec.Oid])
	})
	if err == nil {
		v.New, err = txn.Commit(ctx)
	}
	var conflict *zodb.ConflictError
	switch {
	case errors.As(err, &conflict):
		v.State, v.Why = Conflict, conflict.Error()
		return v, txn.Abort(ctx)
	case err != nil:
		return v, err
	}
	v.State = Done
	for _, oid := range written {
		j.now[oid] = v.New
	}
	return v, nil
}

// store writes a record on top of a revision. The primary refuses it when the object has another one by now.
func store(ctx context.Context, txn *client.Txn, rec *zodb.Record, serial zodb.Tid) error {
	if rec.Size < 0 {
		return txn.Delete(ctx, rec.Oid, serial)
	}
	data, err := io.ReadAll(rec.Data)
	switch {
	case err != nil:
		return err
	case rec.Blob != nil:
		return txn.StoreBlob(ctx, rec.Oid, serial, data, rec.Blob)
	}
	return txn.Store(ctx, rec.Oid, serial, data)
}
