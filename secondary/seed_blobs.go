package secondary

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

const (
	// smallBlob is how much of a blob is asked for at first. Smaller ones take one round trip, many of them together.
	smallBlob = 64 << 10
	// blobPart is how much of a larger one is asked for at a time, and blobsAhead how many such parts on one stream.
	blobPart   = 1 << 20
	blobsAhead = 8
	// blobStreams is on how many streams large blobs come.
	blobStreams = 3
)

// A seedBlobs gets the blobs of transactions that come as parts of the data file, on streams of their own.
type seedBlobs struct {
	s *Secondary
	l *link

	own bool // the blob directory has blobs already; they are kept where the primary has the same

	sources []*blobSource

	mu      sync.Mutex
	lacks   []filestorage.BlobID    // that the primary does not have, if they are blobs
	streams []*protocol.RangeStream // none: they are not open yet
	closed  bool
}

// open opens the streams, when the first blob is needed.
func (b *seedBlobs) open(ctx context.Context) ([]*protocol.RangeStream, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, &remoteError{fmt.Errorf("the streams for blobs: %w", net.ErrClosed)}
	}
	if len(b.streams) > 0 {
		return b.streams, nil
	}
	empty, err := b.s.st.NoBlobs()
	if err != nil {
		return nil, &localError{err}
	}
	b.own = !empty
	for range b.l.seed.forBlobs {
		stream, err := b.l.seed.openMore(ctx)
		if err != nil {
			return nil, &remoteError{fmt.Errorf("opening a stream for blobs: %w", err)}
		}
		b.streams = append(b.streams, stream)
	}
	return b.streams, nil
}

// lacking returns what did not come.
func (b *seedBlobs) lacking() []filestorage.BlobID {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lacks
}

// close closes the streams, and wakes who reads from them.
func (b *seedBlobs) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, stream := range b.streams {
		closeQuietly(stream)
	}
}

// stage is filestorage.AppendOptions.Blobs.
func (b *seedBlobs) stage(ctx context.Context, revisions []filestorage.BlobID) ([]zodb.StagedBlob, error) {
	defer context.AfterFunc(ctx, b.close)()
	streams, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	stream := streams[0]
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
	if b.own {
		_, revisions, err = b.fromFiles(stream, revisions, b.openOwn, b.keepOwn)
	}
	if err != nil {
		return nil, err
	}
	var staged []zodb.StagedBlob
	if c := b.s.opt.SeedCopy; c != nil && c.OpenBlob != nil {
		staged, revisions, err = b.fromFiles(stream, revisions, c.OpenBlob, b.stageCopied)
	}
	if err != nil {
		return staged, err
	}
	sent, large, err := b.small(stream, revisions)
	staged = append(staged, sent...)
	if err != nil || len(large) == 0 {
		return staged, err
	}
	sent, err = b.rest(streams, large)
	return append(staged, sent...), err
}

// openOwn opens a blob that is here already.
func (b *seedBlobs) openOwn(oid zodb.Oid, tid zodb.Tid) (CopiedBlob, error) {
	return b.s.st.BlobInPlace(oid, tid)
}

// keepOwn leaves a blob where it is, and makes that durable: nobody knows who put it there.
func (b *seedBlobs) keepOwn(f *copiedFile, content io.Reader) (zodb.StagedBlob, error) {
	if _, err := io.Copy(io.Discard, content); err != nil {
		return nil, err
	}
	return nil, b.s.st.SecureBlob(f.Oid, f.Tid)
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

// maxBlob is the largest blob that is taken.
func (s *Secondary) maxBlob() int64 {
	return protocol.Limits{MaxBlob: s.opt.MaxBlob}.WithDefaults().MaxBlob
}
