package hashchain

import (
	"fmt"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/zodb"
)

// A Recompute is the chain of a file as it is on the disk now, computed anew by one reading of all transactions, and
// held against the checkpoints that were computed when they were committed. It is for one goroutine.
//
// Between a pack and the first checkpoint after it nothing can be held against anything: what was packed has other
// content than it had. There the checkpoint is taken as it is, when its transaction has the digest that it names.
type Recompute struct {
	kept     []state.Checkpoint // that have still to come
	from     zodb.Tid           // base of the kept chain
	head     checkpoint
	known    bool // head is of the chain that begins after base
	base     zodb.Tid
	sound    zodb.Tid // the last transaction up to which all was as it was kept, or where the chain began
	soundEnd int64    // where the file continues after it
	end      int64    // of the last transaction taken

	places []Place
	since  Place // of the last place: how much came after it
	scale  int64
	txns   int64
}

// A Place is a point of a recomputed chain, with where the file continues after its transaction.
type Place struct {
	Point
	Pos int64
}

// A Contradiction is a checkpoint that the file does not confirm: something between two transactions is not what it
// was.
type Contradiction struct {
	After zodb.Tid // all up to it is as it was
	From  int64    // where the file continues after it; 0: at its beginning
	Tid   zodb.Tid // of the checkpoint
	Exact bool     // it is this transaction itself
	Gone  bool     // the file does not have it
}

func (c *Contradiction) String() string {
	switch {
	case c.Gone:
		return fmt.Sprintf("transaction %v, of which the hash chain has a checkpoint, is not in the file", c.Tid)
	case c.Exact:
		return fmt.Sprintf("transaction %v has other content than when it was committed", c.Tid)
	}
	return fmt.Sprintf("a transaction after %v, up to %v, has other content than when it was committed", c.After, c.Tid)
}

// NewRecompute begins before the first transaction, with what was kept.
func NewRecompute(kept state.Chain) *Recompute {
	r := &Recompute{kept: kept.Checkpoints, from: kept.Base, known: true, scale: 1}
	return r
}

// Take takes the next transaction, which ends at pos. Without a digest its content could not be read.
func (r *Recompute) Take(tid zodb.Tid, status zodb.Status, digest *zodb.Digest, pos int64) *Contradiction {
	begins := r.end
	r.end = pos
	switch {
	case status == zodb.StatusUndone:
		return nil
	case status == zodb.StatusPacked, digest == nil:
		r.forget()
		return nil
	case !r.known:
		r.known, r.base, r.head = true, tid, checkpoint{Tid: tid, Digest: *digest}
		r.sound, r.soundEnd, r.since = tid, pos, Place{point(r.head), pos}
	default:
		r.head = next(r.head, tid, *digest)
		r.txns++
	}
	found := r.compare(tid, digest, begins)
	r.note(pos)
	return found
}

// forget begins again after what follows.
func (r *Recompute) forget() {
	*r = Recompute{kept: r.kept, from: r.from, scale: 1, end: r.end, soundEnd: r.end}
}

// compare holds the head against the checkpoint of its transaction, if one was kept. begins is where the transaction
// does.
func (r *Recompute) compare(tid zodb.Tid, digest *zodb.Digest, begins int64) *Contradiction {
	if r.base != r.from {
		return r.join(tid, digest, begins)
	}
	if len(r.kept) == 0 || r.kept[0].Count > r.head.Count {
		return nil
	}
	kept := r.kept[0]
	r.kept = r.kept[1:]
	if kept == r.head {
		r.sound, r.soundEnd = tid, r.end
		return nil
	}
	found := &Contradiction{After: r.sound, From: r.soundEnd, Tid: kept.Tid}
	if kept.Tid == tid {
		found.Exact = kept.Digest != *digest
		r.adopt(kept) // what comes after it is looked at by itself
		return found
	}
	found.Gone = true // or there is one too many: what follows is known again at a checkpoint that is there
	r.base, r.head = tid, checkpoint{Tid: tid, Digest: *digest}
	return found
}

// join continues from the checkpoint of a transaction where nothing is known of those before it.
func (r *Recompute) join(tid zodb.Tid, digest *zodb.Digest, begins int64) *Contradiction {
	for len(r.kept) > 0 && r.kept[0].Tid < tid { // packed away
		r.kept = r.kept[1:]
	}
	if len(r.kept) == 0 || r.kept[0].Tid != tid {
		return nil
	}
	kept := r.kept[0]
	r.kept = r.kept[1:]
	if kept.Digest != *digest {
		return &Contradiction{After: tid, From: begins, Tid: tid, Exact: true}
	}
	r.adopt(kept)
	return nil
}

// adopt continues from a checkpoint.
func (r *Recompute) adopt(kept checkpoint) {
	if r.base != r.from {
		r.base, r.places, r.scale = r.from, nil, 1
	}
	r.head, r.sound, r.soundEnd = kept, kept.Tid, r.end
}

// note remembers the place now and then, as a chainWriter does.
func (r *Recompute) note(pos int64) {
	if r.txns < r.scale*strideTxns && pos-r.since.Pos < r.scale*strideBytes {
		return
	}
	r.txns = 0
	r.since = Place{point(r.head), pos}
	r.places = append(r.places, r.since)
	if len(r.places) == maxMarks {
		kept := r.places[:0]
		for i := 1; i < len(r.places); i += 2 {
			kept = append(kept, r.places[i])
		}
		r.places, r.scale = kept, 2*r.scale
	}
}

// Recomputed returns the chain that was computed: its base, places on the way, and its head. It is not known where the
// last transaction was packed, or could not be read.
func (r *Recompute) Recomputed() (base zodb.Tid, places []Place, head Point, known bool) {
	return r.base, r.places, point(r.head), r.known
}

// Restart begins a chain at a place, to read on from there.
func Restart(base zodb.Tid, at Point) *Recompute {
	return &Recompute{known: true, base: base, from: base, scale: 1,
		head: checkpoint{Tid: at.Tid, Count: at.Count, Value: at.Value}}
}

// Kept returns the chain as it was computed while the storage grew, with more checkpoints than are saved.
func (l *Local) Kept() state.Chain {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.chain.based || l.chain.head.Count == 0 {
		return state.Chain{}
	}
	marks := append([]checkpoint(nil), l.chain.checkpoints...)
	if n := len(marks); n == 0 || marks[n-1] != l.chain.head {
		marks = append(marks, l.chain.head)
	}
	return state.Chain{Base: l.chain.base, Checkpoints: marks}
}
