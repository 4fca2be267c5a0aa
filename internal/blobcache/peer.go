package blobcache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

const (
	peerRange    = 1 << 20          // bytes of a blob that are asked for at a time
	peerAhead    = 8                // ranges that are asked for before they have come
	peerPatience = 10 * time.Second // for a connection, and for the next bytes of an answer; ZEO clients wait for 30 s
	peerIdle     = 10 * time.Second // after which a connection is closed: the node keeps its present data file for it
	peerLines    = 4                // idle connections
)

// A Peer is another node of the cluster as a source. It gives ranges of blobs as to a secondary that is seeded, each
// with its digest.
type Peer struct {
	addr      string
	dial      func(ctx context.Context) (*hashchain.Remote, error)
	storageID func() string
	keeps     atomic.Bool

	mu   sync.Mutex
	idle []*line
}

// A line is a connection.
type line struct {
	remote *hashchain.Remote
	stream *protocol.RangeStream
	last   zodb.Tid    // what the node had when it was opened, durably and with all blobs, if it keeps them
	timer  *time.Timer // closes it; nil: it is in use
}

// NewPeer returns the node that dial connects to, which has to have this storage.
func NewPeer(addr string, dial func(ctx context.Context) (*hashchain.Remote, error), storageID func() string) *Peer {
	return &Peer{addr: addr, dial: dial, storageID: storageID}
}

func (p *Peer) String() string { return "node " + p.addr }

// Keeps is Source. It is known once the node has been asked something.
func (p *Peer) Keeps() bool { return p.keeps.Load() }

// Close closes what is idle.
func (p *Peer) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.idle {
		l.timer.Stop()
		l.close()
	}
	p.idle = nil
}

func (l *line) close() { _ = errors.Join(l.stream.Close(), l.remote.Close()) } // nothing was written

// with calls do with a connection, which ends with ctx. The node must have come to transaction tid: before that it says
// nothing of its blobs that will last.
func (p *Peer) with(ctx context.Context, tid zodb.Tid, do func(*protocol.RangeStream) error) error {
	l, err := p.take(ctx, tid)
	if err != nil {
		return err
	}
	if l.last < tid {
		l.close()
		return fmt.Errorf("it has not come to transaction %v, only to %v", tid, l.last)
	}
	stop := context.AfterFunc(ctx, l.close)
	err = do(l.stream)
	missing := (*zodb.POSKeyError)(nil)
	if !stop() || err != nil && !errors.As(err, &missing) {
		l.close()
		if isSilence(err) && ctx.Err() == nil {
			err = fmt.Errorf("%w (%w)", &hashchain.SilentError{For: peerPatience}, err)
		}
		return err
	}
	p.giveBack(l)
	return err
}

func (p *Peer) take(ctx context.Context, tid zodb.Tid) (*line, error) {
	p.mu.Lock()
	for n := len(p.idle); n > 0; n = len(p.idle) {
		l := p.idle[n-1]
		p.idle = p.idle[:n-1]
		if !l.timer.Stop() || !l.remote.Alive() {
			l.close()
			continue
		}
		p.mu.Unlock()
		return p.renewed(ctx, l, tid)
	}
	p.mu.Unlock()
	return p.connect(ctx)
}

// renewed returns a connection that was idle, and asks on it anew what the node has where it had not come to tid.
func (p *Peer) renewed(ctx context.Context, l *line, tid zodb.Tid) (*line, error) {
	if l.last >= tid {
		return l, nil
	}
	limited, cancel := context.WithTimeout(ctx, peerPatience)
	defer cancel()
	err := l.stream.Close()
	if err == nil {
		err = p.begin(limited, l)
	}
	if err == nil {
		return l, nil
	}
	l.close()
	return p.connect(ctx) // it may be another node now, or one that has been started anew
}

func (p *Peer) connect(ctx context.Context) (*line, error) {
	limited, cancel := context.WithTimeout(ctx, peerPatience)
	defer cancel()
	l, err := p.ready(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = &hashchain.SilentError{For: peerPatience}
	}
	return l, err
}

func (p *Peer) ready(ctx context.Context) (*line, error) {
	remote, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	l, err := p.open(ctx, remote)
	if err != nil {
		return nil, errors.Join(err, remote.Close())
	}
	return l, nil
}

func (p *Peer) open(ctx context.Context, remote *hashchain.Remote) (*line, error) {
	if _, err := remote.Span(ctx); err != nil {
		return nil, err
	}
	if _, id := remote.Node(); id != p.storageID() {
		return nil, fmt.Errorf("it has storage %.40q, and this node %q", id, p.storageID())
	}
	l := &line{remote: remote}
	return l, p.begin(ctx, l)
}

// begin opens the stream of a connection, which has none.
func (p *Peer) begin(ctx context.Context, l *line) error {
	stream, head, err := l.remote.BlobRanges(ctx)
	if err != nil {
		return err
	}
	if head.Code != 0 {
		return errors.Join(fmt.Errorf("it does not give its files: %.300q", head.Text), stream.Close())
	}
	stream.Patience(peerPatience)
	p.keeps.Store(!head.BlobCache)
	l.stream, l.last = stream, head.Last
	return nil
}

func (p *Peer) giveBack(l *line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == peerLines {
		l.close()
		return
	}
	l.timer = time.AfterFunc(peerIdle, func() {
		p.forget(l)
		l.close()
	})
	p.idle = append(p.idle, l)
}

func (p *Peer) forget(l *line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, one := range p.idle {
		if one == l {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			return
		}
	}
}

// Size is Source.
func (p *Peer) Size(ctx context.Context, oid zodb.Oid, tid zodb.Tid) (size int64, err error) {
	err = p.with(ctx, tid, func(s *protocol.RangeStream) error {
		t := &transfer{s: s, oid: oid, tid: tid}
		if err := t.ask(0, 0, false); err != nil {
			return err
		}
		size, _, err = t.receive()
		return err
	})
	return size, err
}

// Fetch is Source. What is there already is compared by digests, range by range.
func (p *Peer) Fetch(ctx context.Context, oid zodb.Oid, tid zodb.Tid, into zodb.BlobPart) (size int64, err error) {
	err = p.with(ctx, tid, func(s *protocol.RangeStream) error {
		t := &transfer{s: s, oid: oid, tid: tid, into: into}
		size, err = t.run()
		return err
	})
	return size, err
}

// A transfer is a blob that comes on a stream.
type transfer struct {
	s    *protocol.RangeStream
	oid  zodb.Oid
	tid  zodb.Tid
	into zodb.BlobPart

	asked []*protocol.BlobRequest
	buf   []byte
	have  []byte
}

func (t *transfer) ask(at, length int64, bare bool) error {
	r := &protocol.BlobRequest{Oid: t.oid, Tid: t.tid, Offset: at, Length: length, Bare: bare}
	t.asked = append(t.asked, r)
	return errors.Join(t.s.Request(r), t.s.Flush())
}

func (t *transfer) next() *protocol.BlobRequest {
	r := t.asked[0]
	t.asked = t.asked[1:]
	return r
}

// receive takes the answer to the oldest question.
func (t *transfer) receive() (size int64, data []byte, err error) {
	r := t.next()
	size, data, err = t.s.ReceiveBlob(r, t.buf[:0])
	if err == nil && size == protocol.NoBlob {
		err = &zodb.POSKeyError{Oid: t.oid, Tid: t.tid, Blob: true}
	}
	t.buf = data
	return size, data, err
}

// run gets the first range, which tells the size, and then the others.
func (t *transfer) run() (size int64, err error) {
	kept, err := t.into.Size()
	if err != nil {
		return 0, err
	}
	size, at, err := t.first(kept)
	if err != nil {
		return 0, err
	}
	for at < size || len(t.asked) > 0 {
		for at < size && len(t.asked) < peerAhead {
			length := min(peerRange, size-at)
			if err := t.ask(at, length, at+length <= kept); err != nil {
				return 0, err
			}
			at += length
		}
		if err := t.one(size); err != nil {
			return 0, err
		}
	}
	return size, nil
}

// first gets the first range, and returns where the next one begins that is not asked for yet. Where nothing is kept of
// a second range, it is asked for as well: the size is not known before a round trip, and of most blobs it is empty.
func (t *transfer) first(kept int64) (size, at int64, err error) {
	for at = 0; at == 0 || at == peerRange && kept <= at; at += peerRange {
		if err := t.ask(at, peerRange, false); err != nil {
			return 0, 0, err
		}
	}
	size, data, err := t.receive()
	if missing := (*zodb.POSKeyError)(nil); errors.As(err, &missing) && len(t.asked) > 0 {
		// The next one who has the connection must not get the other answer.
		if _, _, second := t.receive(); !errors.As(second, &missing) {
			return 0, 0, fmt.Errorf("it had no such blob, and then another answer: %w", cmp.Or(second, errChanged))
		}
	}
	if err != nil {
		return 0, 0, err
	}
	_, err = t.into.WriteAt(data, 0)
	return size, at, err
}

var errChanged = errors.New("the blob has come meanwhile")

// one takes the answer to the oldest question, and asks for the range itself where what is here is not the same.
func (t *transfer) one(size int64) error {
	if r := t.asked[0]; r.Bare {
		return t.compare(size)
	}
	r := t.asked[0]
	now, data, err := t.receive()
	if err != nil {
		return err
	}
	if now != size {
		return fmt.Errorf("the blob had %d bytes, and has %d now", size, now)
	}
	if len(data) > 0 { // else it was asked for before the size was known
		_, err = t.into.WriteAt(data, r.Offset)
	}
	return err
}

func (t *transfer) compare(size int64) error {
	r := t.next()
	if int64(cap(t.have)) < r.Length {
		t.have = make([]byte, r.Length)
	}
	have := t.have[:r.Length]
	if _, err := t.into.ReadAt(have, r.Offset); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	same, err := t.s.CompareBlob(r, size, have)
	if err == nil && !same {
		err = t.ask(r.Offset, r.Length, false)
	}
	return err
}
