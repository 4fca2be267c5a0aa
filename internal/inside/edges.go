package inside

import (
	"encoding/binary"
	"errors"
	"sync"
)

// edgeChunk is how much memory a worker takes at a time for lists of references.
const edgeChunk = 256 << 10

var errTooManyEdges = errors.New("the references of this storage take more than the 4 GiB that can be kept of them")

// edges are the lists of references of all objects: how many, and for each the distance from the number before, the
// first from that of the object itself.
type edges struct {
	at     []uint32 // by number: where the list begins, 0 for none
	mu     sync.Mutex
	chunks [][]byte
	large  map[uint32][]uint32 // lists that no chunk has room for
}

func newEdges(count int) *edges {
	return &edges{at: make([]uint32, count), large: make(map[uint32][]uint32)}
}

// An edgeWriter is a worker's.
type edgeWriter struct {
	*edges
	chunk []byte // not shared with others
	base  uint32
	buf   []byte
}

// add keeps the references of an object.
func (w *edgeWriter) add(from uint32, to []uint32) error {
	if len(to) == 0 {
		return nil
	}
	w.buf = binary.AppendUvarint(w.buf[:0], uint64(len(to)))
	last := int64(from)
	for _, t := range to {
		w.buf = binary.AppendVarint(w.buf, int64(t)-last)
		last = int64(t)
	}
	if len(w.buf) > edgeChunk/4 {
		w.mu.Lock()
		w.large[from] = append([]uint32{}, to...)
		w.mu.Unlock()
		return nil
	}
	if w.chunk == nil || len(w.chunk)+len(w.buf) > cap(w.chunk) {
		if err := w.next(); err != nil {
			return err
		}
	}
	w.at[from] = w.base + uint32(len(w.chunk))
	w.chunk = append(w.chunk, w.buf...)
	return nil
}

func (w *edgeWriter) next() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.chunks) >= 1<<32/edgeChunk {
		return errTooManyEdges
	}
	w.base = uint32(len(w.chunks)) * edgeChunk
	chunk := make([]byte, edgeChunk)
	w.chunks = append(w.chunks, chunk)
	w.chunk = chunk[:0]
	if w.base == 0 {
		w.chunk = chunk[:1] // 0 is no list
	}
	return nil
}

// of appends the numbers that an object refers to.
func (e *edges) of(from uint32, to []uint32) []uint32 {
	at := e.at[from]
	if at == 0 {
		return append(to, e.large[from]...)
	}
	b := e.chunks[at/edgeChunk][at%edgeChunk:]
	count, n := binary.Uvarint(b)
	last := int64(from)
	for range count {
		b = b[n:]
		var distance int64
		distance, n = binary.Varint(b)
		last += distance
		to = append(to, uint32(last))
	}
	return to
}
