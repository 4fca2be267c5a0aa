package filestorage

import (
	"context"
	"encoding/binary"
	"errors"
	"io"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A copier writes the new file. What is kept of the transactions up to the pack time is followed by copies of the later
// ones, which are as long as their originals, so that all of them are shifted by the same distance:
//
//	old │ up to the pack time                    │ later      │ committed meanwhile │
//	    4                                        packpos                           done
//	new │ what is kept │ later      │ committed meanwhile │
//	    4
//
// Only a copy that has data where the original points back to a record that is not kept is longer. Such an undo can
// come up only while the pack is under way; after it the distance is another.
type copier struct {
	file    vfs.File // Data.fs.pack
	out     output
	begun   int64      // size of the old file when the copy began
	synced  int64      // up to here it is durable, or is about to be
	syncing chan error // the end of the sync that is under way; nil: none is
	index   *index     // of the new file
	done    int64      // up to here the old file is copied
	shifts  []shift
	changed []entry      // by the transaction that is being copied
	dropped []revisionID // blobs
}

// A shift is the distance of copies from their originals, for originals at old and after.
type shift struct{ old, by int64 }

// A revisionID names a revision of an object.
type revisionID struct {
	oid zodb.Oid
	tid zodb.Tid
}

// copyKept writes what is kept of the transactions up to the pack time.
func (p *packer) copyKept(ctx context.Context) error {
	p.index, p.out.file, p.begun = newIndex(), p.file, p.e.size()
	p.out.start(0)
	magic := p.s.Magic()
	if _, err := p.out.Write(magic[:]); err != nil {
		return err
	}
	w := newWalker(ctx, p.in, p.e.path, magicLen, p.packpos)
	w.progress = func(done, _ int64) { p.report(packCopy, done, p.e.size()) }
	if err := w.each(func() error { return p.copyKeptOf(w) }); err != nil {
		return err
	}
	p.done, p.shifts = p.packpos, []shift{{p.packpos, p.out.pos() - p.packpos}}
	return p.sync()
}

// copyKeptOf writes what is kept of the transaction that w is at, if anything. The last one up to the pack time is
// kept, if need be without records, as it is not by ZODB: without it the last tid of a storage could go back, and a
// secondary that is there could not be told from one that has another history.
func (p *packer) copyKeptOf(w *walker) error {
	tloc := int64(0)
	err := w.records(func(r record) error {
		if w.txn.Status == zodb.StatusUndone {
			return nil
		}
		if !p.keeps(r.Oid, r.pos) {
			if p.blobs == nil {
				return nil
			}
			return p.noteDropped(w, &r)
		}
		if tloc == 0 {
			tloc = p.out.pos()
			if err := p.copyHead(w, zodb.StatusPacked); err != nil {
				return err
			}
		}
		return p.copyCurrent(w, r, tloc)
	})
	if err != nil {
		return err
	}
	if tloc == 0 && w.after() == p.packpos {
		tloc = p.out.pos()
		if err := p.copyHead(w, zodb.StatusPacked); err != nil {
			return err
		}
	}
	if tloc == 0 {
		return nil
	}
	return p.endTxn(tloc)
}

// copyCurrent writes a record that is kept, with its data, into the transaction at tloc.
func (p *packer) copyCurrent(w *walker, r record, tloc int64) error {
	from := r
	if r.PLen == 0 {
		var err error
		if from, err = p.e.origin(r.Oid, r.pos, p.packpos); err != nil {
			return err
		}
	}
	at := p.out.pos()
	p.index.set(r.Oid, at)
	if was, _ := p.current.get(r.Oid); was == r.pos|kept {
		p.current.set(r.Oid, at|kept|moved)
	}
	if x := p.record(r.pos); x != nil {
		x.new = at
	}
	h := recHeader{Oid: r.Oid, Tid: r.Tid, Tloc: tloc, PLen: from.PLen}
	return p.writeRecord(w, &h, from.pos, 0)
}

// writeRecord writes a record with the data of the one at from in the old file, or if it has none with a back pointer.
func (p *packer) writeRecord(w *walker, h *recHeader, from, back int64) error {
	var b [recHeaderLen + backLen]byte
	h.encode(b[:])
	if h.PLen == 0 {
		binary.BigEndian.PutUint64(b[recHeaderLen:], uint64(back))
		_, err := p.out.Write(b[:])
		return err
	}
	if _, err := p.out.Write(b[:recHeaderLen]); err != nil {
		return err
	}
	pos, n := from+recHeaderLen, int64(h.PLen)
	if n > smallData || pos < w.pos {
		return p.out.copyN(io.NewSectionReader(p.e.file, pos, n), n)
	}
	data, err := w.bytes(pos, int(n))
	if err == nil {
		_, err = p.out.Write(data)
	}
	return err
}

// copyHead writes the header and the metadata of the transaction that w is at, with the status given.
func (p *packer) copyHead(w *walker, status zodb.Status) error {
	b, err := w.bytes(w.pos, int(w.txn.headerLen()))
	if err != nil {
		return err
	}
	for _, part := range [][]byte{b[:statusAt], {byte(status)}, b[statusAt+1:]} {
		if _, err := p.out.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// endTxn completes the transaction at tloc.
func (p *packer) endTxn(tloc int64) error {
	length := binary.BigEndian.AppendUint64(nil, uint64(p.out.pos()-tloc))
	if _, err := p.out.Write(length); err != nil {
		return err
	}
	if err := p.out.patch(length, tloc+8); err != nil {
		return err
	}
	if p.out.pos()-p.synced < p.syncEvery() {
		return nil
	}
	return p.startSync()
}

// After how many bytes the new file is synced: while nobody commits, and while somebody does, who would have to wait
// for the disk until it has written as much.
const (
	syncAlone  = 4 << 20
	syncBeside = 512 << 10
)

// syncEvery is one of the two: who commits now and then will do so again.
func (p *packer) syncEvery() int64 {
	if p.e.size() != p.begun {
		return syncBeside
	}
	return syncAlone
}

// sync makes durable what was written.
func (p *packer) sync() error {
	if err := p.startSync(); err != nil {
		return err
	}
	return p.endSync()
}

// startSync is sync without waiting for it, but for the one before: the disk works while more is copied.
func (p *packer) startSync() error {
	p.way.make()
	if err := errors.Join(p.out.flush(), p.endSync()); err != nil {
		return err
	}
	p.synced, p.syncing = p.out.pos(), make(chan error, 1)
	go func(file vfs.File, ended chan<- error) { ended <- vfs.SyncData(file) }(p.file, p.syncing)
	return nil
}

// endSync waits for the sync that is under way.
func (p *packer) endSync() error {
	if p.syncing == nil {
		return nil
	}
	err := <-p.syncing
	p.syncing = nil
	return err
}

// noteDropped notes a record that is not kept if it has a blob of its own. A transaction may have stored an object
// twice, with one blob.
func (p *packer) noteDropped(w *walker, r *record) error {
	from := *r
	var err error
	if r.PLen == 0 {
		if from, err = p.e.origin(r.Oid, r.pos, p.packpos); err != nil || from.PLen == 0 {
			return err
		}
	}
	head := make([]byte, min(zodb.BlobHeadLen, from.PLen))
	if from.pos == r.pos {
		var b []byte
		b, err = w.bytes(from.pos+recHeaderLen, len(head))
		copy(head, b)
	} else {
		err = readFull(p.e.file, head, from.pos+recHeaderLen)
	}
	if err != nil || !zodb.IsBlobRecord(head) {
		return err
	}
	if at, _ := p.current.get(r.Oid); at&kept != 0 && at&moved == 0 {
		other, err := p.e.record(r.Oid, at&^kept, p.packpos)
		if err != nil || other.Tid == r.Tid {
			return err
		}
	}
	p.dropped = append(p.dropped, revisionID{r.Oid, r.Tid})
	return nil
}
