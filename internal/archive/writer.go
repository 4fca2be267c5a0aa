package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/zodb"
)

// Defaults of a Writer.
const (
	DefaultInterval = 10 * time.Second
	DefaultBytes    = 8 << 20

	bulkBytes   = 32 << 20 // of a segment when there is much to catch up with
	blobsAtOnce = 4
	// blobAge is after how long blobs are uploaded anew whose segment could not be written: see "Deleting".
	blobAge = 12 * time.Hour
)

// Options of a Writer. What is zero has its default.
type Options struct {
	Store      Store
	Keys       Keys
	Recipients []string      // text form of those of Keys
	Interval   time.Duration // after which what was committed is archived
	Bytes      int64         // likewise, with how much
	// Takeover is after how long without a segment of another writer this one goes on: 6 intervals, a minute at least.
	Takeover time.Duration
	Saved    *Saved // what was saved when it wrote last; nil: nothing is known
	Save     func(*Saved) error
	Logger   hclog.Logger
	Now      func() time.Time
}

func (o *Options) fill() {
	if o.Interval == 0 {
		o.Interval = DefaultInterval
	}
	if o.Bytes == 0 {
		o.Bytes = DefaultBytes
	}
	if o.Takeover == 0 {
		o.Takeover = max(6*o.Interval, time.Minute)
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Save == nil {
		o.Save = func(*Saved) error { return nil }
	}
}

// A Saved is what a writer keeps beside the data file, so that it need not read all of it after a restart: up to where
// it is known to be what the archive has.
type Saved struct {
	Archive    string `json:"archive"`
	Generation uint64 `json:"generation"`
	Segments   uint64 `json:"segments"` // of the path
	Place      Place  `json:"place"`
	Next       Digest `json:"next"` // the chain after the segment that was about to be stored; zero: there was none
	File       uint64 `json:"file"` // number of the data file on its disk
	// Restored says that the copy was restored from this archive, and has not followed a primary since.
	Restored bool      `json:"restored,omitempty"`
	At       time.Time `json:"at"`
}

// A Writer archives a source. Only Status may be called while Run runs.
type Writer struct {
	opt Options
	src Source
	tracker

	archive *Archive
	node    Node
	id      NodeID
	path    *Path
	proved  uint64 // segments of the path that are the beginning of the file
	at      Place  // up to which the path is known to be the beginning of the file: its end, where the writer writes
	file    File   // nil: it is to be opened
	scan    *scanner
	known   map[blobRecord]BlobEntry // blobs of earlier generations that are not to be stored again
	pending pendingBlobs
	yields  bool      // another writer was there first
	looked  time.Time // when it looked for verifications last

	// Buffers for the bytes of a segment, and for its object.
	content, object reused
}

// NewWriter returns a writer, which Run starts.
func NewWriter(src Source, opt Options) *Writer {
	opt.fill()
	w := &Writer{opt: opt, src: src, pending: pendingBlobs{}}
	w.st = Status{Place: opt.Store.String(), State: StateConnecting}
	return w
}

// step archives what there is, if it is enough or has waited long enough, and returns whether there may be more at
// once.
func (w *Writer) step(ctx context.Context) (more bool, err error) {
	if w.file != nil {
		if err := w.sameNode(ctx); err != nil {
			return false, err
		}
	}
	if w.file == nil {
		if err := w.begin(ctx); err != nil {
			return false, err
		}
	}
	current, err := w.file.Renew(ctx)
	if err != nil {
		return false, fmt.Errorf("look at the data file: %w", err)
	}
	left := w.file.End() - w.at.To
	w.saw(w.file.End(), w.file.Last(), left, w.opt.Now())
	if w.yields {
		return false, w.standBy(ctx, current)
	}
	if left == 0 {
		w.content, w.object = nil, nil
	}
	switch {
	case w.file.Last() == 0:
		return false, nil
	case left > 0 && (!current || left >= w.opt.Bytes || w.due(w.opt.Now(), w.opt.Interval)):
		return true, w.write(ctx)
	case !current:
		w.closeFile()
		return true, nil
	}
	return false, nil
}

// closeFile has the next step begin anew.
func (w *Writer) closeFile() {
	if w.file != nil {
		_ = w.file.Close() // only read
	}
	w.file, w.scan, w.yields = nil, nil, false
}

// sameNode begins anew when the node is in another epoch than before.
func (w *Writer) sameNode(ctx context.Context) error {
	node, err := w.src.Node(ctx)
	if err != nil {
		return err
	}
	if node.Storage != w.node.Storage || node.ID != w.node.ID || len(node.Epochs) == 0 ||
		!node.Epochs[len(node.Epochs)-1].Same(w.node.Epochs[len(w.node.Epochs)-1]) {
		w.closeFile()
	}
	return nil
}

// stillNewest returns an error when another writer has begun a generation.
func (w *Writer) stillNewest(ctx context.Context) error {
	is, err := w.archive.has(ctx, generationName(w.path.Generation+1))
	if err == nil && is {
		err = &NewerError{w.path.Generation + 1}
	}
	return err
}

// write makes the next segment.
func (w *Writer) write(ctx context.Context) error {
	if err := w.stillNewest(ctx); err != nil {
		return err
	}
	h, content, next, err := w.cut()
	if err != nil {
		return err
	}
	list, err := w.storeBlobs(ctx, next.blobs)
	if err != nil {
		return err
	}
	if err := w.fillIn(ctx, h); err != nil {
		return err
	}
	object, err := w.archive.packer.encodeSegment(h, content, list, w.object.of(int64(len(content))))
	if err != nil {
		return err
	}
	w.object.is(object)
	w.save(h.After) // before: after a crash it is known that this node's file had what the segment has
	_, err = w.archive.store.Put(ctx, h.ID.name(), objectstore.Memory(object))
	if err != nil {
		w.object = nil // who uploads it may not have noticed yet that it is over
	}
	if errors.Is(err, objectstore.ErrExists) {
		return w.wasFirst(ctx, h.ID)
	}
	if err != nil {
		return err
	}
	w.path.own++
	w.proved++
	w.path.remember(w.path.Len()-1, h)
	next.ends, next.blobs, next.whole = nil, nil, 0
	w.at, w.scan, w.pending = h.place(), next, pendingBlobs{}
	w.wrote(h, int64(len(object)), list, w.opt.Now())
	w.opt.Logger.Debug("archived a part of the data file", "segment", h.ID.Sequence, "generation", h.ID.Generation,
		"to", h.To, "last", h.Last, "bytes", len(object))
	return nil
}

// wasFirst returns the error for a segment that another writer made: this one stops.
func (w *Writer) wasFirst(ctx context.Context, id SegmentID) error {
	h, err := w.archive.header(ctx, id)
	if err != nil {
		return err
	}
	w.yields = true
	return &OtherWriterError{Node: h.Node, Written: h.Written, ID: id}
}

// save keeps how far the archive is. It is a hint: what is lost of it is read again.
func (w *Writer) save(next Digest) {
	w.opt.Saved = &Saved{
		Archive: w.archive.Identity.Archive, Generation: w.path.Generation, Segments: w.proved, Place: w.at, Next: next,
		File: w.file.Number(), At: w.opt.Now().UTC(),
	}
	if err := w.opt.Save(w.opt.Saved); err != nil {
		w.opt.Logger.Info(
			"cannot keep how far the archive is: after a restart the data file is read once more",
			"error",
			err,
		)
	}
}

// cut reads the bytes of the next segment, up to the end of a transaction where that is possible, and returns the
// scanner as it is after them.
func (w *Writer) cut() (h *Header, content []byte, next *scanner, err error) {
	content = w.content.of(min(w.file.End()-w.at.To, max(w.opt.Bytes, bulkBytes)))
	if _, err := io.ReadFull(io.NewSectionReader(w.file, w.at.To, int64(len(content))), content); err != nil {
		return nil, nil, nil, fmt.Errorf(
			"read %d bytes of the data file at %d for the archive: %w",
			len(content),
			w.at.To,
			err,
		)
	}
	if next, err = w.scan.after(content); err != nil {
		return nil, nil, nil, err
	}
	to := w.at.To + int64(len(content))
	if n := len(next.ends); n > 0 && next.ends[n-1].End < to {
		to = next.ends[n-1].End
		content, next = content[:to-w.at.To], next.atLastEnd()
	}
	h = &Header{
		ID: w.path.ID(w.path.Len()), From: w.at.To, To: to, End: w.at.End, Last: w.at.Last, Highest: w.at.Highest,
		Before: w.at.Chain, Transactions: uint64(len(next.ends)),
	}
	for _, e := range next.ends {
		h.End, h.Last, h.Highest = e.End, e.Tid, max(h.Highest, e.Tid)
	}
	return h, content, next, nil
}

// fillIn adds what the node says of the last transaction.
func (w *Writer) fillIn(ctx context.Context, h *Header) error {
	h.Epoch, h.Node, h.Written = w.node.Epochs[len(w.node.Epochs)-1].Number, w.id, w.opt.Now()
	if h.Last == 0 {
		return nil
	}
	var err error
	if h.Content, err = w.src.Content(ctx, h.Last); err != nil && !errors.Is(err, zodb.ErrNoTid) {
		return err
	}
	var unknown *UnknownError
	if h.History, err = w.src.History(ctx, 0, h.Last); err != nil && !errors.As(err, &unknown) {
		return err
	}
	return nil
}
