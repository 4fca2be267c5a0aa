package secondary

import (
	"bytes"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// blobWriters is how many small blobs are written at a time.
const blobWriters = 4

// A smallBlobs deals out revisions whose blobs are asked for from the front, and stages those that are no longer than
// that. Its methods may be called concurrently.
type smallBlobs struct {
	s       *Secondary
	writers errgroup.Group

	mu      sync.Mutex
	todo    []filestorage.BlobID
	refused []filestorage.BlobID // which other nodes were asked for and have not given
	staged  []zodb.StagedBlob
	large   []*largeBlob
	lacks   []filestorage.BlobID // that the primary does not have, if they are blobs
}

// small stages the small ones of these blobs, and returns the others.
func (b *seedBlobs) small(stream *protocol.RangeStream, revisions []filestorage.BlobID) (
	staged []zodb.StagedBlob, large []*largeBlob, err error) {
	q := &smallBlobs{s: b.s, todo: revisions}
	q.writers.SetLimit(blobWriters)
	nodes := 1
	for _, o := range b.sources {
		if !o.source.out.Load() {
			nodes++
		}
	}
	ahead := (len(revisions) + nodes - 1) / nodes
	var g errgroup.Group
	done := make(chan struct{})
	g.Go(func() error {
		defer close(done)
		return q.ask(stream, ahead)
	})
	for _, o := range b.sources {
		g.Go(func() error { return o.borrow(done, min(ahead, smallAhead), q.lend) })
	}
	err = g.Wait()
	if err == nil { // what the others did not give
		err = q.ask(stream, ahead)
	}
	if e := q.writers.Wait(); e != nil && err == nil {
		err = &localError{e}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lacks = missing(b.lacks, q.lacks)
	return q.staged, q.large, err
}

// deal returns the next revision.
func (q *smallBlobs) deal() (filestorage.BlobID, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r, is := next(&q.refused); is {
		return r, true
	}
	return next(&q.todo)
}

func next(list *[]filestorage.BlobID) (r filestorage.BlobID, is bool) {
	if len(*list) == 0 {
		return r, false
	}
	r, *list = (*list)[0], (*list)[1:]
	return r, true
}

// ask asks the node whose data file is taken, so many ahead, until there are no more.
func (q *smallBlobs) ask(stream *protocol.RangeStream, ahead int) error {
	var asked []*protocol.BlobRequest
	for {
		for len(asked) < ahead {
			id, is := q.deal()
			if !is {
				break
			}
			r := &protocol.BlobRequest{Oid: id.Oid, Tid: id.Tid, Length: smallBlob}
			if err := stream.Request(r); err != nil {
				return &remoteError{err}
			}
			asked = append(asked, r)
		}
		if len(asked) == 0 {
			return nil
		}
		if err := stream.Flush(); err != nil {
			return &remoteError{err}
		}
		r := asked[0]
		asked = asked[1:]
		size, data, err := stream.ReceiveBlob(r, nil)
		if err != nil {
			return &remoteError{err}
		}
		if err := q.put(filestorage.BlobID{Oid: r.Oid, Tid: r.Tid}, size, data); err != nil {
			return err
		}
	}
}

// put takes how a blob begins.
func (q *smallBlobs) put(id filestorage.BlobID, size int64, data []byte) error {
	switch {
	case size > q.s.maxBlob():
		return &remoteError{&protocol.TooLargeError{
			What: "blob", Tid: id.Tid, Oid: id.Oid, Size: size, Max: q.s.maxBlob(),
		}}
	case size > int64(len(data)):
		q.mu.Lock()
		defer q.mu.Unlock()
		q.large = append(q.large, &largeBlob{BlobID: id, size: size, begin: data})
	case size != protocol.NoBlob:
		q.writers.Go(func() error {
			one, err := q.s.st.StageBlob(id.Oid, id.Tid, bytes.NewReader(data))
			if err != nil {
				return err
			}
			q.mu.Lock()
			defer q.mu.Unlock()
			q.staged = append(q.staged, one)
			return nil
		})
	default:
		q.mu.Lock()
		defer q.mu.Unlock()
		q.lacks = append(q.lacks, id)
	}
	return nil
}

// lend is deal for another node, which is not asked for what was refused.
func (q *smallBlobs) lend(bool) (loan, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	id, is := next(&q.todo)
	if !is {
		return nil, nil //nolint:nilnil // there are no more
	}
	return &smallLoan{BlobID: id, q: q}, nil
}

// A smallLoan is how a blob begins.
type smallLoan struct {
	filestorage.BlobID
	q    *smallBlobs
	size int64
	data []byte
}

func (l *smallLoan) blob(bare bool) *protocol.BlobRequest {
	return &protocol.BlobRequest{Oid: l.Oid, Tid: l.Tid, Length: smallBlob, Bare: bare}
}

func (l *smallLoan) request(bare bool) any { return l.blob(bare) }

func (l *smallLoan) receive(from *protocol.RangeStream) (n int64, err error) {
	l.size, l.data, err = from.ReceiveBlob(l.blob(false), nil)
	return int64(len(l.data)), err
}

func (l *smallLoan) same(proof *protocol.RangeStream) (bool, error) {
	return proof.CompareBlob(l.blob(true), l.size, l.data)
}

func (l *smallLoan) use() error { return l.q.put(l.BlobID, l.size, l.data) }

func (l *smallLoan) refuse() {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	l.q.refused = append(l.q.refused, l.BlobID)
}
