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
	again  []*blobRange // which other nodes were asked for and have not given
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
	if n := len(q.again); n > 0 {
		r := q.again[n-1]
		q.again = q.again[:n-1]
		return r, nil
	}
	return q.following(false)
}

// following returns the next range of what was not asked for yet, only if there is nothing of it here where that is to
// be missing.
func (q *blobRanges) following(missing bool) (*blobRange, error) {
	if len(q.todo) == 0 {
		return nil, nil //nolint:nilnil // all have been dealt
	}
	l := q.todo[0]
	if l.part == nil {
		if err := q.begin(l); err != nil {
			return nil, &localError{err}
		}
	}
	if missing && l.next < l.kept {
		return nil, nil //nolint:nilnil // nothing now
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
	done := make(chan struct{})
	var g errgroup.Group
	for i, stream := range streams {
		g.Go(func() error {
			if i == 0 {
				defer close(done)
			}
			return b.awake((&blobLane{q: q, stream: stream}).run())
		})
	}
	for _, o := range b.sources {
		g.Go(func() error { return b.awake(o.borrow(done, sourceAhead, q.lend)) })
	}
	err := g.Wait()
	if err == nil { // what the others did not give
		err = (&blobLane{q: q, stream: streams[0]}).run()
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
func (q *blobRanges) lend(bool) (loan, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r, err := q.following(true)
	if r == nil || err != nil {
		return nil, err
	}
	return &rangeLoan{blobRange: r, q: q}, nil
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
