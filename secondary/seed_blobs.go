package secondary

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

const (
	// smallBlob is how much of a blob is asked for at first. Smaller ones take one round trip, many of them together.
	smallBlob = 64 << 10
	// blobPart is how much of a larger one is asked for at a time, and blobsAhead how many such parts.
	blobPart   = 1 << 20
	blobsAhead = 16
)

// A seedBlobs gets the blobs of transactions that come as parts of the data file, on a stream of their own.
type seedBlobs struct {
	s *Secondary
	l *link

	mu     sync.Mutex
	stream *protocol.RangeStream // nil: it is not open yet
	closed bool
}

// open opens the stream, when the first blob is needed.
func (b *seedBlobs) open(ctx context.Context) (*protocol.RangeStream, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stream != nil || b.closed {
		return b.stream, nil
	}
	stream, err := b.l.seed.openMore(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening a stream for blobs: %w", err)
	}
	b.stream = stream
	return stream, nil
}

// close closes the stream, and wakes who reads from it.
func (b *seedBlobs) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.stream != nil {
		closeQuietly(b.stream)
	}
}

// stage is filestorage.AppendOptions.Blobs.
func (b *seedBlobs) stage(ctx context.Context, revisions []filestorage.BlobID) ([]zodb.StagedBlob, error) {
	defer context.AfterFunc(ctx, b.close)()
	stream, err := b.open(ctx)
	if err != nil {
		return nil, &remoteError{err}
	}
	if b.s.opt.SharedBlobs != nil {
		held, err := held(stream, revisions)
		if err != nil {
			return nil, &remoteError{err}
		}
		if err := b.s.awaitBlobs(ctx, held); err != nil {
			return nil, &remoteError{err}
		}
		return nil, nil
	}
	staged, others, err := b.fromCopy(stream, revisions)
	if err != nil {
		return staged, err
	}
	sent, large, err := b.small(stream, others)
	staged = append(staged, sent...)
	if err == nil {
		err = b.rest(stream, large, &staged)
	}
	return staged, err
}

// held asks which of these revisions have a blob, which is in a directory that both sides see.
func held(stream *protocol.RangeStream, revisions []filestorage.BlobID) ([]heldBlob, error) {
	if err := request(stream, revisions, 0); err != nil {
		return nil, err
	}
	var list []heldBlob
	for _, r := range revisions {
		size, _, err := stream.ReceiveBlob(&protocol.BlobRequest{Oid: r.Oid, Tid: r.Tid}, nil)
		if err != nil {
			return nil, err
		}
		if size != protocol.NoBlob {
			list = append(list, heldBlob{r.Oid, r.Tid, size})
		}
	}
	return list, nil
}

// request asks for the beginning of every blob.
func request(stream *protocol.RangeStream, revisions []filestorage.BlobID, length int64) error {
	for _, r := range revisions {
		if err := stream.Request(&protocol.BlobRequest{Oid: r.Oid, Tid: r.Tid, Length: length}); err != nil {
			return err
		}
	}
	return stream.Flush()
}

// A largeBlob is one of which only the beginning is here.
type largeBlob struct {
	filestorage.BlobID
	size  int64
	begin []byte
}

// small stages the blobs that are no longer than what is asked for at first, and returns the others.
func (b *seedBlobs) small(stream *protocol.RangeStream, revisions []filestorage.BlobID) (
	staged []zodb.StagedBlob, large []*largeBlob, err error) {
	if err := request(stream, revisions, smallBlob); err != nil {
		return nil, nil, &remoteError{err}
	}
	var buf []byte
	for _, r := range revisions {
		size, data, err := stream.ReceiveBlob(&protocol.BlobRequest{Oid: r.Oid, Tid: r.Tid, Length: smallBlob}, buf)
		switch {
		case err != nil:
			return staged, nil, &remoteError{err}
		case size == protocol.NoBlob:
			continue
		case size > b.s.maxBlob():
			return staged, nil, &remoteError{&protocol.TooLargeError{
				What: "blob", Tid: r.Tid, Oid: r.Oid, Size: size, Max: b.s.maxBlob(),
			}}
		case size > int64(len(data)):
			large = append(large, &largeBlob{r, size, bytes.Clone(data)})
			continue
		}
		buf = data
		one, err := b.s.st.StageBlob(r.Oid, r.Tid, bytes.NewReader(data))
		if err != nil {
			return staged, nil, &localError{err}
		}
		staged = append(staged, one)
	}
	return staged, large, nil
}

// maxBlob is the largest blob that is taken.
func (s *Secondary) maxBlob() int64 {
	return protocol.Limits{MaxBlob: s.opt.MaxBlob}.WithDefaults().MaxBlob
}

// rest gets what is missing of large blobs, one after the other, while the next parts are on their way.
func (b *seedBlobs) rest(stream *protocol.RangeStream, large []*largeBlob, staged *[]zodb.StagedBlob) error {
	in := newBlobParts(stream, large)
	defer in.stop()
	for _, l := range large {
		in.of, in.left = l, l.size-int64(len(l.begin))
		one, err := b.s.st.StageBlob(l.Oid, l.Tid, io.MultiReader(bytes.NewReader(l.begin), in))
		switch {
		case in.err != nil:
			return &remoteError{in.err}
		case err != nil:
			return &localError{err}
		}
		*staged = append(*staged, one)
	}
	return nil
}

// A blobParts reads one large blob after the other, as a storage does, and has their parts asked for ahead of that.
type blobParts struct {
	stream *protocol.RangeStream
	next   func() (*protocol.BlobRequest, bool)
	stop   func()

	of   *largeBlob // the present one
	left int64      // of it
	err  error      // of the stream

	asked []*protocol.BlobRequest // whose answers are on their way
	data  []byte                  // the rest of the last one that has arrived
	buf   []byte
}

func newBlobParts(stream *protocol.RangeStream, large []*largeBlob) *blobParts {
	next, stop := iter.Pull(func(yield func(*protocol.BlobRequest) bool) {
		for _, l := range large {
			for at := int64(len(l.begin)); at < l.size; at += blobPart {
				r := &protocol.BlobRequest{Oid: l.Oid, Tid: l.Tid, Offset: at, Length: min(blobPart, l.size-at)}
				if !yield(r) {
					return
				}
			}
		}
	})
	return &blobParts{stream: stream, next: next, stop: stop}
}

func (p *blobParts) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	if len(p.data) == 0 {
		if err := p.fill(); err != nil {
			p.err = err
			return 0, err
		}
	}
	n := copy(b, p.data)
	p.data = p.data[n:]
	p.left -= int64(n)
	return n, nil
}

// fill takes the next part.
func (p *blobParts) fill() error {
	for len(p.asked) < blobsAhead {
		r, more := p.next()
		if !more {
			break
		}
		if err := p.stream.Request(r); err != nil {
			return err
		}
		p.asked = append(p.asked, r)
	}
	if err := p.stream.Flush(); err != nil {
		return err
	}
	r := p.asked[0]
	p.asked = p.asked[1:]
	size, data, err := p.stream.ReceiveBlob(r, p.buf)
	if err != nil {
		return err
	}
	if size != p.of.size {
		return &protocol.RangeError{
			What: fmt.Sprintf("the blob of oid %v tid %v", r.Oid, r.Tid), Want: fmt.Sprintf("%d bytes", p.of.size),
			Got: fmt.Sprintf("%d, as of another one", size),
		}
	}
	p.data, p.buf = data, data
	return nil
}
