package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// begin opens everything, and finds out whether this node goes on with the newest generation, begins another one, or
// must not write at all.
func (w *Writer) begin(ctx context.Context) (err error) {
	if err := w.identify(ctx); err != nil {
		return err
	}
	if w.file, err = w.src.File(ctx); err != nil {
		return fmt.Errorf("open the data file for the archive: %w", err)
	}
	defer func() {
		if err != nil && !w.yields {
			w.closeFile()
		}
	}()
	numbers, err := w.archive.numbers(ctx)
	if err != nil {
		return err
	}
	if len(numbers) == 0 {
		return w.newGeneration(ctx, &Manifest{Generation: 1, Why: WhyFirst})
	}
	m, err := w.archive.manifest(ctx, numbers[len(numbers)-1])
	if err != nil {
		return err
	}
	if w.path, err = w.archive.path(ctx, m); err != nil {
		return err
	}
	return w.goOn(ctx)
}

// identify reads who the node is, and what the archive is of.
func (w *Writer) identify(ctx context.Context) (err error) {
	if w.node, err = w.src.Node(ctx); err != nil {
		return err
	}
	if w.node.Storage == "" || len(w.node.Epochs) == 0 {
		return refused("the storage has no id yet: a primary gets one at its first start, a secondary when it first " +
			"reaches its primary")
	}
	if w.id, err = ParseNode(w.node.ID); err != nil {
		return err
	}
	w.archive, err = found(ctx, w.opt.Store, w.opt.Keys, w.node.Storage, w.node.Name, w.opt.Recipients)
	if err != nil {
		return err
	}
	if id := &w.archive.Identity; id.Storage != w.node.Storage {
		return refused(
			"the archive at %s is of storage %s, and this node has storage %s: give each storage an archive "+
				"of its own",
			w.archive,
			id.Storage,
			w.node.Storage,
		)
	}
	return nil
}

// goOn decides what to do with an archive that has generations.
func (w *Writer) goOn(ctx context.Context) error {
	higher, err := w.compareEpochs()
	if err != nil {
		return err
	}
	n, err := w.prove(ctx)
	if err != nil {
		return err
	}
	head, err := w.path.head(ctx)
	if err != nil {
		return err
	}
	if err := w.restoredCopy(ctx); err != nil {
		return err
	}
	whole := n == w.path.Len()
	if whole {
		w.save(Digest{})
	}
	switch {
	case whole && !higher:
		return w.resume(ctx, head)
	case whole:
		return w.newGeneration(ctx, &Manifest{Why: WhyEpoch, Since: w.at.Highest})
	case !higher:
		if err := w.otherIsActive(head); err != nil {
			return err
		}
	}
	return w.otherBytes(ctx, head, higher)
}

// compareEpochs reports whether the node is of a higher epoch than the newest generation. One of a lower epoch, or of
// another history of epochs, is refused.
func (w *Writer) compareEpochs() (higher bool, err error) {
	theirs, ours := w.path.Epochs, w.node.Epochs
	there, here := w.path.Epoch(), ours[len(ours)-1]
	switch {
	case here.Number < there.Number:
		return false, refused("this node is in epoch %d, and the archive has transactions of epoch %d, which node %s "+
			"began: this node archives nothing before it has heard of that epoch; where it was restored from an older "+
			"state, let it follow the present primary", here.Number, there.Number, w.path.Name)
	case here.Number == there.Number && !here.Same(there):
		return false, refused(
			"this node and node %s, which wrote generation %d of the archive, are of different epochs "+
				"with the number %d: find out with zrsd status which node may be primary",
			w.path.Name,
			w.path.Generation,
			here.Number,
		)
	case !ours[0].Same(theirs[0]):
		return false, refused("the epochs of this node are not those of the archive at %s from the beginning on: give "+
			"this node an archive of its own", w.archive)
	}
	return here.Number > there.Number, nil
}

// otherIsActive returns an error while another node of the same epoch writes.
func (w *Writer) otherIsActive(head *Header) error {
	if head == nil || head.Node == w.id || w.opt.Now().Sub(head.Written) >= w.opt.Takeover {
		return nil
	}
	w.yields = true
	return &OtherWriterError{Node: head.Node, Written: head.Written, ID: head.ID}
}

// resume goes on with the newest generation.
func (w *Writer) resume(ctx context.Context, head *Header) error {
	if err := w.loadKnown(ctx, w.path.Generation); err != nil {
		return err
	}
	if err := w.startScan(); err != nil {
		return err
	}
	w.began(w.path, w.at, head)
	if head != nil && head.ID.Generation == w.path.Generation {
		return w.otherIsActive(head)
	}
	return nil
}

// otherBytes decides what a node may do whose file is not what the archive has, or less.
func (w *Writer) otherBytes(ctx context.Context, head *Header, higher bool) error {
	rel, lack, err := w.relation(ctx, head, higher)
	if err != nil {
		return err
	}
	behind := rel == relationLacks && !w.node.Primary && w.file.Last() <= head.Last
	switch {
	case rel == relationHas && higher:
		return w.newGeneration(ctx, &Manifest{Why: WhyEpoch, Since: w.file.Last()})
	case rel == relationHas: // before its last transaction this file was perhaps another one
		return w.newGeneration(ctx, &Manifest{Why: WhyPack, Since: w.file.Last()})
	case behind:
		return &BehindError{w.file.Last().String(), head.Last.String()}
	}
	return w.fork(ctx, head, lack, higher)
}

func transaction(tid zodb.Tid) string {
	return fmt.Sprintf("transactions up to %v (%s)", tid, tid.Time().UTC().Format("2006-01-02 15:04:05Z"))
}

// fork begins a generation without transactions that were archived: where this node is of another epoch for which
// others have voted, or where an operator has allowed it.
func (w *Writer) fork(ctx context.Context, head *Header, lack string, higher bool) error {
	epoch := w.node.Epochs[len(w.node.Epochs)-1]
	if !higher || len(epoch.Voters) == 0 {
		may, err := w.isAllowed(ctx, epoch)
		if err != nil {
			return err
		}
		if !may {
			return refused(
				"the archive has %s, and this node has not: %s; and no other node has voted for that. It is an "+
					"older copy of a node that archived, one that was restored or made for a test, or another "+
					"history. Let it "+
					"follow the present primary, or give it an archive of its own. Where there is no other "+
					"primary, and this "+
					"is the history to go on with: %s",
				transaction(head.Last),
				lack,
				w.allowCommand(epoch),
			)
		}
	}
	since := w.at.Highest
	if higher {
		since, _ = protocol.Part(w.path.Epochs, w.node.Epochs)
	}
	return w.newGeneration(ctx, &Manifest{Why: WhyHistory, Since: min(since, head.Highest)})
}

// isAllowed reports whether an operator has allowed that this node goes on after the newest generation.
func (w *Writer) isAllowed(ctx context.Context, epoch protocol.Epoch) (bool, error) {
	return w.archive.has(ctx, allowName(w.path.Generation, epoch.Number, w.node.ID))
}

func (w *Writer) allowCommand(epoch protocol.Epoch) string {
	return fmt.Sprintf("zrsd archive allow %s --generation %d --epoch %d --node %s", w.archive, w.path.Generation,
		epoch.Number, w.node.ID)
}

// restoredCopy refuses a copy that was restored from this archive and leads now, for the others may go on.
func (w *Writer) restoredCopy(ctx context.Context) error {
	s := w.opt.Saved
	if s == nil || !s.Restored || s.Archive != w.archive.Identity.Archive || !w.node.Primary {
		return nil
	}
	epoch := w.node.Epochs[len(w.node.Epochs)-1]
	may, err := w.isAllowed(ctx, epoch)
	if err == nil && !may {
		err = refused(
			"this copy was restored from this archive and has become primary without having followed another "+
				"one: if the other nodes go on, both would write to the archive. Where this is the history to "+
				"go on with: %s",
			w.allowCommand(epoch),
		)
	}
	return err
}

// newGeneration begins one whose path has what was proved.
func (w *Writer) newGeneration(ctx context.Context, m *Manifest) error {
	id := &w.archive.Identity
	m.Format, m.Archive, m.Storage = format, id.Archive, id.Storage
	m.Epochs, m.Node, m.Name, m.External = w.node.Epochs, w.node.ID, w.node.Name, w.node.External
	m.At, m.Whole = w.opt.Now().UTC(), w.file.End()
	if w.path != nil && m.Why != WhyFirst {
		m.Generation = w.path.Generation + 1
		m.Start = w.at
		m.Parts = w.path.firstParts(w.proved)
	} else {
		w.at = Place{}
	}
	if err := w.loadKnown(ctx, m.Generation); err != nil {
		return err
	}
	b, err := encodeDocument(m)
	if err != nil {
		return err
	}
	_, err = w.archive.store.Put(ctx, generationName(m.Generation), bytes.NewReader(b))
	if errors.Is(err, objectstore.ErrExists) {
		return &NewerError{m.Generation}
	}
	if err != nil {
		return err
	}
	if w.path, err = w.archive.path(ctx, m); err != nil {
		return err
	}
	w.opt.Logger.Info("a generation of the archive begins", "generation", m.Generation, "why", m.Why, "since", m.Since,
		"shared", m.Start.To, "size", m.Whole)
	head, err := w.path.head(ctx)
	if err != nil {
		return err
	}
	w.began(w.path, w.at, head)
	return w.startScan()
}

// startScan begins where the path ends.
func (w *Writer) startScan() error {
	w.scan = newScanner(w.file, w.at.End)
	const piece = 1 << 20
	buf := make([]byte, piece)
	for pos := w.at.End; pos < w.at.To; {
		b := buf[:min(piece, w.at.To-pos)]
		if n, err := w.file.ReadAt(b, pos); n < len(b) {
			return fmt.Errorf("read the data file at %d for the archive: %w", pos, err)
		}
		if err := w.scan.take(b); err != nil {
			return err
		}
		pos += int64(len(b))
	}
	w.scan.ends, w.scan.blobs, w.scan.whole = nil, nil, 0 // the segments before have them
	return nil
}
