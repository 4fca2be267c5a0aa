package hashchain

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/zodb"
)

// A Point is the value of a chain after a transaction.
type Point struct {
	Tid   zodb.Tid    // of the transaction; the base, when there is none after it
	Count uint64      // of the transactions from after the base up to it
	Value zodb.Digest // zero at the base
}

// A checkpoint is a place of a chain, with the digest of its transaction, by which it is recognised in a file.
type checkpoint = state.Checkpoint

func point(m checkpoint) Point { return Point{m.Tid, m.Count, m.Value} }

// next returns the mark after the transaction that follows m.
func next(m checkpoint, tid zodb.Tid, digest zodb.Digest) checkpoint {
	var b [2*sha256.Size + 8]byte
	copy(b[:], m.Value[:])
	binary.BigEndian.PutUint64(b[sha256.Size:], uint64(tid))
	copy(b[sha256.Size+8:], digest[:])
	return checkpoint{Tid: tid, Count: m.Count + 1, Digest: digest, Value: sha256.Sum256(b[:])}
}

// How far marks are apart, at first, and how many there may be.
const (
	strideTxns  = 4096
	strideBytes = 64 << 20
	maxMarks    = 1024
)

// A chainWriter is a chain as it is followed: its base, marks on the way, and its head.
type chainWriter struct {
	base        zodb.Tid
	based       bool       // false: the next transaction is the base
	head        checkpoint // at the base, its Count is 0
	checkpoints []checkpoint

	scale int64 // of the distance between marks
	bytes int64 // of the transactions since the last one
	txns  int64
}

// packed takes a transaction that a pack has left: the chain begins again after what follows it.
func (t *chainWriter) packed() { *t = chainWriter{scale: 1} }

// take takes the next transaction, of so many bytes.
func (t *chainWriter) take(tid zodb.Tid, digest zodb.Digest, bytes int64) {
	if !t.based {
		t.base, t.based, t.head = tid, true, checkpoint{Tid: tid, Digest: digest}
		return
	}
	t.head = next(t.head, tid, digest)
	t.txns++
	t.bytes += max(bytes, 0)
	if t.txns < t.scale*strideTxns && t.bytes < t.scale*strideBytes {
		return
	}
	t.txns, t.bytes = 0, 0
	t.checkpoints = append(t.checkpoints, t.head)
	if len(t.checkpoints) == maxMarks {
		t.checkpoints = everySecond(t.checkpoints)
		t.scale *= 2
	}
}

// everySecond keeps the last of each two.
func everySecond(marks []checkpoint) (kept []checkpoint) {
	for pair := range slices.Chunk(marks, 2) {
		kept = append(kept, pair[len(pair)-1])
	}
	return kept
}

// durable returns what is worth keeping: the head, and of the marks as many as there is room for.
func (t *chainWriter) durable() state.Chain {
	marks := t.checkpoints
	if n := len(marks); n > 0 && marks[n-1] == t.head {
		marks = marks[:n-1]
	}
	for len(marks) >= state.MaxCheckpoints {
		marks = everySecond(marks)
	}
	if t.head.Count == 0 {
		return state.Chain{}
	}
	return state.Chain{Base: t.base, Checkpoints: append(slices.Clone(marks), t.head)}
}
