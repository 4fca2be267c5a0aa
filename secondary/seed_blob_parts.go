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

// A blobRanges deals out the ranges of large blobs, and makes each blob complete. Its methods may be called
// concurrently.
type blobRanges struct {
	st *filestorage.Storage

	mu     sync.Mutex
	todo   []*largeBlob
	open   map[*largeBlob]bool
	staged []zodb.StagedBlob
	again  []*blobRange // which other nodes were asked for and have not given
}

// A blobRange is a part of a blob that was asked for.
type blobRange struct {
	protocol.BlobRequest
	of *largeBlob
}

// A blobTaker is dealt the ranges of one blob after the other, in order: whoever writes a blob from front to back knows
// its digest at the end. When all are being taken, it helps with those of which most is left.
type blobTaker struct {
	q  *blobRanges
	of *largeBlob
}

// deal returns the next range, and nil when there is none. What was kept of a blob is asked for bare.
func (t *blobTaker) deal() (*blobRange, error) {
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	if n := len(t.q.again); n > 0 {
		r := t.q.again[n-1]
		t.q.again = t.q.again[:n-1]
		return r, nil
	}
	return t.following(false)
}

// following returns the next range of what was not asked for yet, only if there is nothing of it here where that is to
// be missing.
func (t *blobTaker) following(missing bool) (*blobRange, error) {
	if err := t.choose(missing); err != nil || t.of == nil {
		return nil, err
	}
	l := t.of
	r := &blobRange{of: l}
	r.BlobRequest = protocol.BlobRequest{Oid: l.Oid, Tid: l.Tid, Offset: l.next, Length: min(blobPart, l.size-l.next)}
	l.next += r.Length
	r.Bare = l.next <= l.kept
	return r, nil
}

// choose takes another blob when the one before has been dealt; nil when there is none.
func (t *blobTaker) choose(missing bool) error {
	rest := func(l *largeBlob) int64 {
		if l == nil || missing && l.next < l.kept {
			return 0
		}
		return l.size - l.next
	}
	for rest(t.of) == 0 && len(t.q.todo) > 0 {
		t.of, t.q.todo = t.q.todo[0], t.q.todo[1:]
		if err := t.q.begin(t.of); err != nil {
			return &localError{err}
		}
	}
	if rest(t.of) == 0 {
		t.of = nil
		for l := range t.q.open {
			if rest(l) > rest(t.of) {
				t.of = l
			}
		}
	}
	return nil
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
	done := make(chan struct{})
	var g errgroup.Group
	for i, stream := range streams {
		g.Go(func() error {
			if i == 0 {
				defer close(done)
			}
			return b.awake(newBlobLane(q, stream).run())
		})
	}
	for _, o := range b.sources {
		g.Go(func() error { return b.awake(o.borrow(done, sourceAhead, (&blobTaker{q: q}).lend)) })
	}
	err := g.Wait()
	if err == nil { // what the others did not give
		err = newBlobLane(q, streams[0]).run()
	}
	q.close()
	return q.staged, err
}

// awake wakes who reads from the streams when one of them has failed.
func (b *seedBlobs) awake(err error) error {
	if err != nil {
		b.close()
	}
	return err
}

// lend is deal for another node. What was kept here is compared with what the node has whose data file is taken.
func (t *blobTaker) lend(bool) (loan, error) {
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	r, err := t.following(true)
	if r == nil || err != nil {
		return nil, err
	}
	return &rangeLoan{blobRange: r, q: t.q}, nil
}

// A rangeLoan is a range of a blob.
type rangeLoan struct {
	*blobRange
	q    *blobRanges
	size int64
	data []byte
}

func (l *rangeLoan) blob(bare bool) *protocol.BlobRequest {
	r := l.BlobRequest
	r.Bare = bare
	return &r
}

func (l *rangeLoan) request(bare bool) any { return l.blob(bare) }

func (l *rangeLoan) receive(from *protocol.RangeStream) (n int64, err error) {
	l.size, l.data, err = from.ReceiveBlob(l.blob(false), nil)
	return int64(len(l.data)), err
}

func (l *rangeLoan) same(proof *protocol.RangeStream) (bool, error) {
	same, err := proof.CompareBlob(l.blob(true), l.size, l.data)
	return same && l.size == l.of.size, err
}

func (l *rangeLoan) use() error {
	if _, err := l.of.part.WriteAt(l.data, l.Offset); err != nil {
		return &localError{err}
	}
	return l.q.done(l.of)
}

func (l *rangeLoan) refuse() {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	l.q.again = append(l.q.again, l.blobRange)
}

// A blobLane is a stream on which ranges of blobs come.
type blobLane struct {
	blobTaker
	stream *protocol.RangeStream
	asked  []*blobRange // whose answers are on their way
	buf    []byte
}

func newBlobLane(q *blobRanges, stream *protocol.RangeStream) *blobLane {
	return &blobLane{blobTaker: blobTaker{q: q}, stream: stream}
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
		r, err := l.deal()
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
