package heal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A copy that was packed at another time has other offsets, but the data of a record, and the text of a transaction,
// are the same there. They are put into the places that they have here, and proved as any other bytes: headers,
// lengths and pointers stay, so the structure here has to be whole.

// Sizes of the fixed parts of a data file.
const (
	transactionHead = 23
	recordHead      = 42
)

// How records are asked for.
const (
	recordPart   = 1 << 20 // bytes of one record at a time
	recordsAhead = 64      // requests that are under way
	bytesAhead   = 4 << 20 // that they are about
)

// A SameDataError says that a node gives no other data for the records that may be damaged here.
type SameDataError struct {
	Peer    string
	Lacking int // records that the other node does not give
}

func (e *SameDataError) Error() string {
	if e.Lacking > 0 {
		return fmt.Sprintf("%s gives no data, of the size that is needed, of %d records that may be damaged here: they"+
			" may be packed there, or damaged; ask another node", e.Peer, e.Lacking)
	}
	return fmt.Sprintf("%s has the same data in all records that may be damaged here, so it is a header or a pointer "+
		"that is, and these are to be had only from a node that was packed as this one", e.Peer)
}

// A StructureError says that more is damaged than data, so that nothing can be taken from other offsets.
type StructureError struct {
	Peer string
	Text string // what is damaged
}

func (e *StructureError) Error() string {
	return fmt.Sprintf("only data of records and texts of transactions can be taken from %s, and here more is "+
		"damaged, which is to be had only from a node that was packed as this one: %s", e.Peer, e.Text)
}

// structural returns what an error is about the file here, with whatever data another node gives, as a StructureError.
func structural(peer string, err error) error {
	if corrupt := (*zodb.CorruptError)(nil); errors.As(err, &corrupt) {
		return &StructureError{Peer: peer, Text: err.Error()}
	}
	return err
}

// byRecords heals a part of the file with the data that a node has of its records, wherever in its own file.
func (h *healer) byRecords(ctx context.Context, p Peer, c *connected, start int64, s *verify.Suspect,
	item *Item) error {
	f, err := h.openRemote(ctx, c.remote, p.Name, 0, firstTransaction)
	if err != nil {
		return err
	}
	f.while(ctx)
	defer f.Close() //nolint:errcheck // it was only read
	from, to, err := ends(ctx, h.opt.FS, h.opt.Path, start, s)
	if err != nil {
		return structural(p.Name, err)
	}
	r := &recordReader{ctx: ctx, h: h, f: f}
	part, patches, err := h.provenRecords(r, filestorage.Part{From: from, To: to})
	if err != nil {
		return h.blame(p, c, start, structural(p.Name, err))
	}
	return h.replace(ctx, p, part, patches, start, s, item)
}

// provenRecords returns what is different in the records of a part of the file, or of a wider one if that is what can
// be proved: several records may be damaged in one block, or between two checkpoints.
func (h *healer) provenRecords(r *recordReader, part filestorage.Part) (filestorage.Part, []filestorage.Patch, error) {
	wider := []func(context.Context, filestorage.Part) (filestorage.Part, error){h.wholeBlocks, h.wholeSpan}
	for {
		patches, err := r.differences(part)
		if err == nil && len(patches) == 0 {
			err = &SameDataError{Peer: r.f.name, Lacking: r.lacking}
		}
		if err == nil {
			err = h.copy.Prove(r.ctx, patches, part.From, part.To)
		}
		if err == nil || !unproved(err) {
			return part, patches, err
		}
		narrow := part
		for part == narrow && len(wider) > 0 {
			if more, e := wider[0](r.ctx, part); e == nil {
				part = more
			}
			wider = wider[1:]
		}
		if part == narrow {
			if r.lacking > 0 {
				err = &SameDataError{Peer: r.f.name, Lacking: r.lacking}
			}
			return part, nil, err
		}
	}
}

// wholeBlocks returns the transactions that have bytes of the blocks that are noted of a part.
func (h *healer) wholeBlocks(ctx context.Context, part filestorage.Part) (filestorage.Part, error) {
	from, to := verify.Blocks(part.From, part.To)
	start, _, err := h.begins(ctx, &verify.Suspect{From: from})
	if err != nil {
		return part, err
	}
	info, err := h.opt.FS.Stat(h.opt.Path)
	if err != nil {
		return part, err
	}
	if to = min(to, info.Size()); h.opt.Committed != nil {
		to = min(to, h.opt.Committed())
	}
	from, to, err = ends(ctx, h.opt.FS, h.opt.Path, min(start, part.From), &verify.Suspect{From: from, To: to})
	return filestorage.Part{From: min(from, part.From), To: max(to, part.To)}, err
}

// wholeSpan returns the transactions between the checkpoints around a part; without such it is the part.
func (h *healer) wholeSpan(ctx context.Context, part filestorage.Part) (filestorage.Part, error) {
	from, to, known, err := h.copy.Span(ctx, h.opt.FS, part.From, part.To)
	if err != nil || !known {
		return part, err
	}
	return filestorage.Part{From: min(from, part.From), To: max(to, part.To)}, nil
}

// A recordReader compares records here with those of another node.
type recordReader struct {
	ctx  context.Context // it lives inside one call
	h    *healer
	f    *remoteFile
	mine vfs.File

	texts   map[zodb.Tid]askedRecord // of transactions, that no record has been found for yet
	asked   []askedRecord
	ahead   int64 // bytes that asked is about
	patches []filestorage.Patch
	total   int // bytes of patches
	lacking int // records that the other node does not give, in the size that they have here
	buf     []byte
}

// An askedRecord is a part of the data of a record, or of a text.
type askedRecord struct {
	protocol.RecordRequest
	at   int64 // where it is in this file
	size int64 // of all of the record or text
}

// differences returns what the node has for the records in a part of the file that is not here.
func (r *recordReader) differences(part filestorage.Part) (patches []filestorage.Patch, err error) {
	r.texts, r.patches, r.total, r.lacking = map[zodb.Tid]askedRecord{}, nil, 0, 0
	if r.mine, err = r.h.opt.FS.OpenFile(r.h.opt.Path, os.O_RDONLY, 0); err != nil {
		return nil, err
	}
	defer r.mine.Close() //nolint:errcheck // only read
	in, err := filestorage.Inspect(r.h.opt.FS, r.h.opt.Path)
	if err != nil {
		return nil, err
	}
	defer in.Close() //nolint:errcheck // only read
	in.SkipTo(max(part.From, firstTransaction))
	for in.Pos() < part.To {
		txn, err := in.Next()
		if err == nil {
			err = r.transaction(in, txn)
		}
		if err != nil {
			return nil, err
		}
	}
	err = r.answers()
	slices.SortFunc(r.patches, func(a, b filestorage.Patch) int { return cmp.Compare(a.Pos, b.Pos) })
	return r.patches, err
}

// transaction asks for the records of a transaction.
func (r *recordReader) transaction(in *filestorage.Inspector, txn *filestorage.RawTransaction) error {
	text := askedRecord{at: txn.Pos + transactionHead,
		size: int64(len(txn.Meta.User) + len(txn.Meta.Description) + len(txn.Meta.Extension))}
	if text.size > 0 {
		text.Tid, text.Length, text.Text = txn.Meta.Tid, text.size, true
		r.texts[text.Tid] = text
	}
	for rec, err := range in.Records() {
		if err == nil {
			err = r.record(rec)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// record asks for the data of a record. One that has none here is asked for the text.
func (r *recordReader) record(rec *filestorage.RawRecord) error {
	if text, wanted := r.texts[rec.Tid]; wanted && rec.Size == 0 {
		text.Oid = rec.Oid
		return r.ask(text)
	}
	for done := int64(0); done < rec.Size; done += recordPart {
		if err := r.ask(askedRecord{protocol.RecordRequest{Oid: rec.Oid, Tid: rec.Tid, Offset: done,
			Length: min(recordPart, rec.Size-done)}, rec.Pos + recordHead + done, rec.Size}); err != nil {
			return err
		}
	}
	return nil
}

// ask asks whether a part of a record is the same there.
func (r *recordReader) ask(a askedRecord) error {
	if err := context.Cause(r.ctx); err != nil {
		return err
	}
	a.Bare = true
	r.asked, r.ahead = append(r.asked, a), r.ahead+a.Length
	if err := r.f.stream.Request(&a.RecordRequest); err != nil {
		return err
	}
	if len(r.asked) < recordsAhead && r.ahead < bytesAhead {
		return nil
	}
	return r.answers()
}

// answers takes the answers to what was asked, and then what is different. The text of a transaction is asked for by a
// record that the node has.
func (r *recordReader) answers() error {
	for len(r.asked) > 0 {
		asked := r.asked
		r.asked, r.ahead = nil, 0
		differ, texts, err := r.compare(asked)
		for i := 0; i < len(differ) && err == nil; i++ {
			err = r.fetch(&differ[i])
		}
		for i := 0; i < len(texts) && err == nil; i++ {
			err = r.f.stream.Request(&texts[i].RecordRequest)
		}
		if err != nil {
			return err
		}
		r.asked = texts
	}
	return nil
}

// compare returns what of that which was asked about is not the same, and which texts can be asked for now.
func (r *recordReader) compare(asked []askedRecord) (differ, texts []askedRecord, err error) {
	if err := r.send(); err != nil {
		return nil, nil, err
	}
	for _, a := range asked {
		have := r.here(a.at, a.Length)
		if err := r.f.stream.Deadlines(time.Now().Add(r.f.answer)); err != nil {
			return nil, nil, err
		}
		size, same, err := r.f.stream.CompareRecord(&a.RecordRequest, have)
		if err != nil {
			return nil, nil, err
		}
		if size != a.size {
			r.lacking++
			continue
		}
		if text, wanted := r.texts[a.Tid]; wanted && !a.Text {
			text.Oid, text.Bare = a.Oid, true
			texts = append(texts, text)
		}
		delete(r.texts, a.Tid)
		if !same {
			differ = append(differ, a)
		}
	}
	return differ, texts, nil
}

func (r *recordReader) send() error {
	return errors.Join(r.f.stream.Deadlines(time.Now().Add(r.f.answer)), r.f.stream.Flush())
}

// here reads what is here now, in the buffer; nothing where the disk does not give all of it.
func (r *recordReader) here(at, n int64) []byte {
	if int64(cap(r.buf)) < n {
		r.buf = make([]byte, n)
	}
	if got, _ := r.mine.ReadAt(r.buf[:n], at); int64(got) < n {
		return nil
	}
	return r.buf[:n]
}

// fetch takes a part of a record that is not the same.
func (r *recordReader) fetch(a *askedRecord) error {
	a.Bare = false
	if err := errors.Join(r.f.stream.Request(&a.RecordRequest), r.send()); err != nil {
		return err
	}
	size, there, err := r.f.stream.ReceiveRecord(&a.RecordRequest, nil)
	if err != nil {
		return err
	}
	if size != a.size {
		r.lacking++
		return nil
	}
	for _, p := range differ(r.mine, make([]byte, len(there)), there, a.at) {
		if r.total += len(p.Data); r.total > filestorage.MaxRepair {
			return errTooDifferent(a.at)
		}
		r.patches = append(r.patches, p)
	}
	return nil
}

func errTooDifferent(after int64) error {
	return fmt.Errorf("more than %d bytes are different after %d: let this node be filled anew", filestorage.MaxRepair,
		after)
}
