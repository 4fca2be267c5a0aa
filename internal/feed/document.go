package feed

import (
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
}

// maxState is the largest record whose state is shown.
const maxState = 16 << 20

// Read makes the document of a transaction. ok is false where there is none: it counts as absent, or has no object of
// the classes that are asked for.
func (o *Options) Read(txn zodb.Transaction) (doc *Document, ok bool, err error) {
	meta := txn.Meta()
	if meta.Status == zodb.StatusUndone {
		return nil, false, nil
	}
	doc = &Document{
		Tid: meta.Tid, Time: meta.Tid.Time().UTC(), User: strings.ToValidUTF8(string(meta.User), "\uFFFD"),
		Description: strings.ToValidUTF8(string(meta.Description), "\uFFFD"), Objects: []Object{},
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
	return doc, len(doc.Objects) > 0 || len(o.Classes) == 0, nil
}

func (o *Options) object(rec *zodb.Record) (Object, error) {
	object := Object{Oid: rec.Oid, DataTid: rec.DataTxn}
	if rec.Size == zodb.NoData {
		object.Deleted = true
		return object, nil
	}
	object.Size = rec.Size
	data, err := o.data(rec)
	if err != nil {
		return object, err
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
	if rec.Size <= record.HeadLen || rec.Size > maxState || !o.States {
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
