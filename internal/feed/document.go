package feed

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/record"
	"github.com/zrsd/zrsd/zodb"
)

// A Document is one transaction. It is a contract: see docs/reports.md.
type Document struct {
	Tid         zodb.Tid  `json:"tid"`
	Time        time.Time `json:"time"`
	User        string    `json:"user"`        // what is no UTF-8 is replaced
	Description string    `json:"description"` // likewise
	Objects     []Object  `json:"objects"`     // that it wrote, in the order of the file
}

// An Object is one object as a transaction wrote it.
type Object struct {
	Oid     zodb.Oid `json:"oid"`
	Class   string   `json:"class,omitempty"` // module.name
	Size    int64    `json:"size,omitempty"`  // bytes of its record
	Deleted bool     `json:"deleted,omitempty"`
	// DataTid is the transaction whose data it has again, where an undo wrote it.
	DataTid zodb.Tid     `json:"data_tid,omitzero"`
	Blob    *Blob        `json:"blob,omitempty"`
	State   *record.Node `json:"state,omitempty"`
	// Path is one by which the root leads to it, where it is asked for; empty where none is known.
	Path string `json:"path,omitempty"`
	// Error says why the state cannot be shown.
	Error string `json:"error,omitempty"`
}

// A Blob is the file of an object.
type Blob struct {
	Name string `json:"name"` // below the blob directory of layout bushy
	Size int64  `json:"size"`
}

// Options say what is in a Document.
type Options struct {
	Classes record.ClassPatterns // only objects of these
	States  bool                 // with their decoded states
	Paths   bool                 // with their paths: the source has to know Places
	Places  Places               // nil: no paths
}

// Places knows how objects are reached, while transactions come one after the other. inside.Places is one.
type Places interface {
	// Begin is called with a transaction, Add with each record that it has written, nil for none, and then End.
	Begin(ctx context.Context, tid zodb.Tid) error
	Add(oid zodb.Oid, data []byte)
	End()
	// Path returns a path after that, false where none is known.
	Path(oid zodb.Oid) (path string, ok bool)
}

// maxState is the largest record whose state is shown.
const maxState = 16 << 20

// Read makes the document of a transaction. ok is false where there is none: it counts as absent, or has no object of
// the classes that are asked for.
func (o *Options) Read(ctx context.Context, txn zodb.Transaction) (doc *Document, ok bool, err error) {
	meta := txn.Meta()
	if meta.Status == zodb.StatusUndone {
		return nil, false, nil
	}
	doc = &Document{
		Tid: meta.Tid, Time: meta.Tid.Time().UTC(), User: strings.ToValidUTF8(string(meta.User), "\uFFFD"),
		Description: strings.ToValidUTF8(string(meta.Description), "\uFFFD"), Objects: []Object{},
	}
	if o.Places != nil {
		if err := o.Places.Begin(ctx, meta.Tid); err != nil {
			return nil, false, err
		}
	}
	for rec, err := range zodb.Records(txn) {
		if err != nil {
			return nil, false, err
		}
		object, err := o.object(rec)
		if err != nil {
			return nil, false, fmt.Errorf("read oid %v of transaction %v: %w", rec.Oid, meta.Tid, err)
		}
		if o.Classes.Match(object.Class) {
			doc.Objects = append(doc.Objects, object)
		}
	}
	o.findPaths(doc)
	return doc, len(doc.Objects) > 0 || len(o.Classes) == 0, nil
}

// findPaths gives the objects of a transaction their paths, when all of it was read.
func (o *Options) findPaths(doc *Document) {
	if o.Places == nil {
		return
	}
	o.Places.End()
	for i := range doc.Objects {
		if !doc.Objects[i].Deleted {
			doc.Objects[i].Path, _ = o.Places.Path(doc.Objects[i].Oid)
		}
	}
}

func (o *Options) object(rec *zodb.Record) (Object, error) {
	object := Object{Oid: rec.Oid, DataTid: rec.DataTxn}
	if rec.Size == zodb.NoData {
		object.Deleted = true
		if o.Places != nil {
			o.Places.Add(rec.Oid, nil)
		}
		return object, nil
	}
	object.Size = rec.Size
	data, err := o.data(rec)
	if err != nil {
		return object, err
	}
	if o.Places != nil {
		known := data
		if int64(len(data)) < rec.Size {
			known = nil
		}
		o.Places.Add(rec.Oid, known)
	}
	object.Class = record.ClassOf(data)
	if rec.Blob != nil {
		object.Blob = &Blob{Name: blobName(rec.Oid, rec.Tid), Size: rec.BlobSize}
	}
	if !o.States || !o.Classes.Match(object.Class) {
		return object, nil
	}
	if rec.Size > maxState {
		object.Error = fmt.Sprintf("the record has %d bytes, more than are shown", rec.Size)
		return object, nil
	}
	decoded, err := record.Decode(data, record.Limits{})
	if err != nil {
		object.Error = err.Error()
		return object, nil //nolint:nilerr // it is shown
	}
	object.Class, object.State = decoded.Class, decoded.State
	return object, nil
}

// data reads as much of a record as is needed.
func (o *Options) data(rec *zodb.Record) ([]byte, error) {
	data := make([]byte, min(rec.Size, record.HeadLen))
	if _, err := io.ReadFull(rec.Data, data); err != nil {
		return nil, err
	}
	if rec.Size <= record.HeadLen || rec.Size > maxState || !o.States && o.Places == nil {
		return data, nil
	}
	whole := make([]byte, rec.Size)
	_, err := io.ReadFull(rec.Data, whole[copy(whole, data):])
	return whole, err
}

// blobName is where ZODB keeps a blob in a directory of layout bushy.
func blobName(oid zodb.Oid, tid zodb.Tid) string {
	var name strings.Builder
	for _, b := range oid.Bytes() {
		fmt.Fprintf(&name, "0x%02x/", b)
	}
	fmt.Fprintf(&name, "0x%016x.blob", uint64(tid))
	return name.String()
}
