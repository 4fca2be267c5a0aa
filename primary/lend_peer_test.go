package primary

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/zrsd/zrsd/internal/blobcache"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/zodb"
)

// A memPart is what a blob cache has of a blob.
type memPart struct {
	zodb.BlobPart
	b []byte
}

func (p *memPart) Size() (int64, error) { return int64(len(p.b)), nil }

func (p *memPart) ReadAt(b []byte, at int64) (int, error) { return copy(b, p.b[at:]), nil }

func (p *memPart) WriteAt(b []byte, at int64) (int, error) {
	if end := int(at) + len(b); end > len(p.b) {
		p.b = append(p.b, make([]byte, end-len(p.b))...)
	}
	return copy(p.b[at:], b), nil
}

// A lentBlobs gives blobs of which the oid is the size, and counts who connects.
type lentBlobs struct {
	*blobcache.Peer
	*seeder
	last  atomic.Int64
	calls atomic.Int64
}

const noSuchBlob = 9

func blobOf(size zodb.Oid) string {
	return strings.Repeat("0123456789abcdefghijklmnopq", int(size)/27+1)[:size]
}

func lendBlobs(t *testing.T) *lentBlobs {
	t.Helper()
	l := &lentBlobs{}
	blob := func(oid zodb.Oid, tid zodb.Tid) (BlobFile, error) {
		if oid == noSuchBlob {
			return nil, &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
		}
		return memBlob{strings.NewReader(blobOf(oid))}, nil
	}
	l.seeder = startSeeder(t, func(opt *Options) {
		opt.History, opt.Seed.OpenBlob, opt.Seed.BlobHere = remembered(t, newSource(plain(10)...)), blob, blob
		snapshot := opt.Seed.Snapshot
		opt.Seed.Snapshot = func() (Snapshot, error) {
			s, err := snapshot()
			s.(*memSnapshot).last = zodb.Tid(l.last.Load())
			return s, err
		}
	})
	l.Peer = blobcache.NewPeer(l.addr, func(ctx context.Context) (*hashchain.Remote, error) {
		l.calls.Add(1)
		return hashchain.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", l.addr)
		}, nil, "cache")
	}, func() string { return storageID })
	t.Cleanup(l.Close)
	return l
}

// fetch wants a blob where part of it may be here.
func (l *lentBlobs) fetch(t *testing.T, size zodb.Oid, tid zodb.Tid, kept int) {
	t.Helper()
	part := &memPart{b: make([]byte, kept)}
	copy(part.b, blobOf(size))
	if got, err := l.Fetch(t.Context(), size, tid, part); err != nil || got != int64(size) ||
		string(part.b[:min(len(part.b), int(got))]) != blobOf(size) || len(part.b) > max(kept, int(size)) {
		t.Errorf("a blob of %d bytes with %d here: %d, %v", size, kept, got, err)
	}
}

// A blob comes whole, however its size lies to the ranges that are asked for before the size is known, and whatever is
// here of it; also after one that is not there.
func TestABlobOfAnySizeComesWhole(t *testing.T) {
	l := lendBlobs(t)
	l.last.Store(7)
	const mega = 1 << 20
	for _, size := range []zodb.Oid{0, 1, mega - 1, mega, mega + 1, 2 * mega, 2*mega + 1, 11*mega + 5} {
		for _, kept := range []int{0, 1, mega + 1, 2 * mega, 12 * mega} {
			l.fetch(t, size, 7, kept)
		}
		missing := (*zodb.POSKeyError)(nil)
		if _, err := l.Fetch(t.Context(), noSuchBlob, 7, &memPart{}); !errors.As(err, &missing) {
			t.Errorf("a blob that is not there: %v", err)
		}
	}
	if n := l.calls.Load(); n != 1 {
		t.Errorf("%d connections, want one", n)
	}
}

// The blob of a transaction that is newer than the connection is fetched on it, when the node has come to it.
func TestANewerBlobNeedsNoNewConnection(t *testing.T) {
	l := lendBlobs(t)
	l.last.Store(7)
	l.fetch(t, 10, 7, 0)
	l.last.Store(8)
	l.fetch(t, 20, 8, 0)
	if n := l.calls.Load(); n != 1 {
		t.Errorf("%d connections, want one", n)
	}
	if _, err := l.Fetch(t.Context(), 30, 9, &memPart{}); err == nil || !strings.Contains(err.Error(), "not come to") {
		t.Errorf("of a node that has not come to the transaction: %v", err)
	}
	l.last.Store(9)
	l.fetch(t, 30, 9, 0)
}
