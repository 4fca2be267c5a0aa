package inside

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/internal/references"
	"github.com/zrsd/zrsd/zodb"
)

// edgeChunk is how much memory a worker takes at a time for lists of references.
const edgeChunk = 256 << 10

var errTooManyEdges = errors.New("the references of this storage take more than the 4 GiB that can be kept of them")

// edges are the lists of references of all objects, ascending: how many, and for each the distance from the number
// before, the first from that of the object itself.
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

// add keeps the references of an object, which it sorts.
func (w *edgeWriter) add(from uint32, to []uint32) error {
	if len(to) == 0 {
		return nil
	}
	slices.Sort(to)
	w.buf = binary.AppendUvarint(w.buf[:0], uint64(len(to)))
	w.buf = binary.AppendVarint(w.buf, int64(to[0])-int64(from))
	for i, t := range to[1:] {
		w.buf = binary.AppendUvarint(w.buf, uint64(t-to[i]))
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

// connect reads the references, where the survey was made without them.
func (s *Survey) connect(ctx context.Context) error {
	if s.edges != nil {
		return nil
	}
	s.edges = newEdges(s.oids.count)
	workers := make([]connector, s.opt.Workers)
	for i := range workers {
		workers[i] = connector{Survey: s, edges: edgeWriter{edges: s.edges}}
	}
	return s.visit(ctx, func(worker int, r *filestorage.CurrentRecord) error { return workers[worker].visit(r) })
}

// A connector is a worker of connect.
type connector struct {
	*Survey
	scanner references.Scanner
	edges   edgeWriter
	oids    []zodb.Oid
	to      []uint32
}

func (w *connector) visit(r *filestorage.CurrentRecord) error {
	number, ok := w.Survey.oids.number(r.Oid)
	if !ok || r.Data == nil || r.Err != nil {
		return nil //nolint:nilerr // told by the first pass
	}
	err := recovered.Do(w.opt.Logger, "reading the references of an object", func() (err error) {
		w.oids, err = w.scanner.Scan(r.Data, w.oids[:0])
		return err
	})
	if err != nil {
		return nil //nolint:nilerr // likewise
	}
	w.to = w.to[:0]
	for _, oid := range w.oids {
		if to, ok := w.Survey.oids.number(oid); ok {
			w.to = append(w.to, to)
		}
	}
	return w.edges.add(number, w.to)
}

// of appends the numbers that an object refers to.
func (e *edges) of(from uint32, to []uint32) []uint32 {
	at := e.at[from]
	if at == 0 {
		return append(to, e.large[from]...)
	}
	b := e.chunks[at/edgeChunk][at%edgeChunk:]
	count, n := binary.Uvarint(b)
	first, m := binary.Varint(b[n:])
	last := uint32(int64(from) + first)
	to = append(to, last)
	for b = b[n+m:]; count > 1; count-- {
		distance, n := binary.Uvarint(b)
		last, b = last+uint32(distance), b[n:]
		to = append(to, last)
	}
	return to
}
