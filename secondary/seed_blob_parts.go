package secondary

import (
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A largeBlob is one of which only the beginning is here.
type largeBlob struct {
	filestorage.BlobID
	size  int64
	begin []byte

	part zodb.BlobPart // nil: it is not open yet, or not any more
	kept int64         // what was there before, whole ranges; it is compared
	next int64         // of the next range to ask for
	left int           // ranges that are still to come
}

// A blobRanges deals out the ranges of large blobs, in order, and makes each blob complete. Its methods may be called
// concurrently.
type blobRanges struct {
	st *filestorage.Storage

	mu     sync.Mutex
	todo   []*largeBlob
	open   map[*largeBlob]bool
	staged []zodb.StagedBlob
}

// A blobRange is a part of a blob that was asked for.
type blobRange struct {
	protocol.BlobRequest
	of *largeBlob
}

// deal returns the next range, and nil when there is none. What was kept of a blob is asked for bare.
func (q *blobRanges) deal() (*blobRange, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.todo) == 0 {
		return nil, nil //nolint:nilnil // all have been dealt
	}
	l := q.todo[0]
	if l.part == nil {
		if err := q.begin(l); err != nil {
			return nil, &localError{err}
		}
	}
	r := &blobRange{of: l}
	r.BlobRequest = protocol.BlobRequest{Oid: l.Oid, Tid: l.Tid, Offset: l.next, Length: min(blobPart, l.size-l.next)}
	l.next += r.Length
	r.Bare = l.next <= l.kept
	if l.next == l.size {
		q.todo = q.todo[1:]
	}
	return r, nil
}

// begin opens what is there of a blob.
func (q *blobRanges) begin(l *largeBlob) (err error) {
	if l.part, err = q.st.BlobPart(l.Oid, l.Tid); err != nil {
		return err
	}
	q.open[l] = true
	if l.kept, err = l.part.Size(); err != nil {
		return err
	}
	_, err = l.part.WriteAt(l.begin, 0)
	l.next, l.begin = int64(len(l.begin)), nil
	l.left = int((l.size - l.next + blobPart - 1) / blobPart)
	return err
}

// done notes that a range is there, and stages the blob that is complete with it.
func (q *blobRanges) done(l *largeBlob) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.left--; l.left > 0 {
		return nil
	}
	delete(q.open, l)
	one, err := l.part.Stage(l.size)
	if err != nil {
		return &localError{err}
	}
	q.staged = append(q.staged, one)
	return nil
}

// close keeps what is there of blobs that are not complete.
func (q *blobRanges) close() {
	for l := range q.open {
		closeQuietly(l.part)
	}
}

// rest gets what is missing of large blobs, on several streams at a time.
func (b *seedBlobs) rest(streams []*protocol.RangeStream, large []*largeBlob) ([]zodb.StagedBlob, error) {
	q := &blobRanges{st: b.s.st, todo: large, open: make(map[*largeBlob]bool)}
	var g errgroup.Group
	for _, stream := range streams {
		g.Go(func() error {
			err := (&blobLane{q: q, stream: stream}).run()
			if err != nil {
				b.close() // wakes the others
			}
			return err
		})
	}
	err := g.Wait()
	q.close()
	return q.staged, err
}

// A blobLane is a stream on which ranges of blobs come.
type blobLane struct {
	q      *blobRanges
	stream *protocol.RangeStream
	asked  []*blobRange // whose answers are on their way
	buf    []byte
}

func (l *blobLane) run() error {
	for {
		if err := l.ask(); err != nil {
			return err
		}
		if len(l.asked) == 0 {
			return nil
		}
		r := l.asked[0]
		l.asked = l.asked[1:]
		if err := l.receive(r); err != nil {
			return err
		}
	}
}

// ask has as many ranges on their way as there may be.
func (l *blobLane) ask() error {
	for len(l.asked) < blobsAhead {
		r, err := l.q.deal()
		if err != nil {
			return err
		}
		if r == nil {
			break
		}
		if err := l.again(r); err != nil {
			return err
		}
	}
	if err := l.stream.Flush(); err != nil {
		return &remoteError{err}
	}
	return nil
}

func (l *blobLane) again(r *blobRange) error {
	if err := l.stream.Request(&r.BlobRequest); err != nil {
		return &remoteError{err}
	}
	l.asked = append(l.asked, r)
	return nil
}

// receive takes the answer about a range. One that was kept and is not as at the primary is asked for again.
func (l *blobLane) receive(r *blobRange) error {
	if r.Bare {
		l.buf = readPart(r.of.part, r.Offset, r.Length, l.buf)
		same, err := l.stream.CompareBlob(&r.BlobRequest, r.of.size, l.buf)
		switch {
		case err != nil:
			return &remoteError{err}
		case same:
			return l.q.done(r.of)
		}
		r.Bare = false
		return l.again(r)
	}
	size, data, err := l.stream.ReceiveBlob(&r.BlobRequest, l.buf)
	if err != nil {
		return &remoteError{err}
	}
	if size != r.of.size {
		return &remoteError{&protocol.RangeError{
			What: fmt.Sprintf("the blob of oid %v tid %v", r.Oid, r.Tid), Want: fmt.Sprintf("%d bytes", r.of.size),
			Got: fmt.Sprintf("%d, as of another one", size),
		}}
	}
	l.buf = data
	if _, err := r.of.part.WriteAt(data, r.Offset); err != nil {
		return &localError{err}
	}
	return l.q.done(r.of)
}

// keepParts says whether what is there of large blobs is kept for a seed to go on with.
func (s *Secondary) keepParts(yes bool) {
	if yes != s.partsKept {
		s.st.KeepBlobParts(yes)
		s.partsKept = yes
	}
}
