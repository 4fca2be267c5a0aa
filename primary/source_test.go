package primary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

var (
	_ Source = (*filestorage.Storage)(nil)
	_ Source = (*filestorage.Attached)(nil)
)

// A memTxn is a transaction of one record in a memSource.
type memTxn struct {
	tid    zodb.Tid
	status zodb.Status
	data   string
	blob   string // empty: none
	short  bool   // the file of the blob is damaged here, and this is what another node has
	end    int64
}

// A memSource is a storage in memory. Damage at a tid makes reading that transaction's record fail.
type memSource struct {
	mu     sync.Mutex
	magic  zodb.Magic
	blobs  bool
	txns   []memTxn
	moved  chan struct{}
	damage zodb.Tid
}

func newSource(txns ...memTxn) *memSource {
	s := &memSource{magic: zodb.MagicFS30, moved: make(chan struct{})}
	for _, t := range txns {
		s.commit(t)
	}
	return s
}

// plain returns n transactions, one second apart.
func plain(n int) (txns []memTxn) {
	for i := range n {
		txns = append(txns, memTxn{tid: tidAt(i), status: zodb.StatusCommitted, data: fmt.Sprint("data ", i)})
	}
	return txns
}

// tidAt returns the tid of the n-th second of a day.
func tidAt(n int) zodb.Tid {
	tid, err := zodb.TidFromTime(time.Date(2026, 1, 2, 3, 0, n, 0, time.UTC))
	if err != nil {
		panic(err)
	}
	return tid
}

func (s *memSource) commit(t memTxn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.end = s.size() + 100 + int64(len(t.data))
	s.txns = append(s.txns, t)
	close(s.moved)
	s.moved = make(chan struct{})
}

func (s *memSource) size() int64 {
	if len(s.txns) == 0 {
		return 4
	}
	return s.txns[len(s.txns)-1].end
}

func (s *memSource) Magic() zodb.Magic { return s.magic }
func (s *memSource) HasBlobs() bool    { return s.blobs }

func (s *memSource) Size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size()
}

func (s *memSource) LastTid() zodb.Tid {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.txns) == 0 {
		return 0
	}
	return s.txns[len(s.txns)-1].tid
}

func (s *memSource) Find(_ context.Context, tid zodb.Tid) (found filestorage.Found, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.txns {
		switch {
		case t.tid == s.damage:
			return found, &zodb.CorruptError{File: "Data.fs", Pos: t.end, Want: "a record", Got: "garbage"}
		case t.tid == tid:
			found.Status = t.status
			found.Digest, err = zodb.DigestOf(s.open(t))
			return found, err
		case t.tid > tid:
			found.After.Tid, found.After.Status = t.tid, t.status
			return found, fmt.Errorf("transaction %v: %w", tid, zodb.ErrNoTid)
		}
	}
	return found, fmt.Errorf("transaction %v: %w", tid, zodb.ErrNoTid)
}

func (s *memSource) Count(_ context.Context, after zodb.Tid) (n int64, upTo zodb.Tid, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	upTo = after
	for _, t := range s.txns {
		if t.tid > after {
			n, upTo = n+1, t.tid
		}
	}
	return n, upTo, nil
}

func (s *memSource) Iterate(after zodb.Tid, follow bool) (zodb.Iterator, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := &memIterator{s: s, pos: 4, follow: follow}
	for it.next < len(s.txns) && s.txns[it.next].tid <= after {
		it.pos = s.txns[it.next].end
		it.next++
	}
	return it, nil
}

type memIterator struct {
	s      *memSource
	next   int
	pos    int64
	follow bool
}

func (it *memIterator) Position() int64 { return it.pos }
func (it *memIterator) Close() error    { return nil }

func (it *memIterator) Pending() bool {
	it.s.mu.Lock()
	defer it.s.mu.Unlock()
	return it.next < len(it.s.txns)
}

func (it *memIterator) Next(ctx context.Context) (zodb.Transaction, error) {
	for {
		it.s.mu.Lock()
		moved := it.s.moved
		if it.next < len(it.s.txns) {
			t := it.s.txns[it.next]
			it.next++
			it.pos = t.end
			it.s.mu.Unlock()
			return it.s.open(t), nil
		}
		it.s.mu.Unlock()
		if !it.follow {
			return nil, io.EOF
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (s *memSource) open(t memTxn) zodb.Transaction {
	return &memReader{memTxn: t, meta: zodb.TxnMeta{Tid: t.tid, Status: t.status}, damaged: t.tid == s.damage}
}

type memReader struct {
	memTxn
	meta    zodb.TxnMeta
	damaged bool
	done    bool
}

func (r *memReader) Meta() *zodb.TxnMeta { return &r.meta }

func (r *memReader) NextRecord() (*zodb.Record, error) {
	if r.damaged {
		return nil, &zodb.CorruptError{File: "Data.fs", Pos: r.end, Want: "a record", Got: "garbage"}
	}
	if r.done {
		return nil, io.EOF
	}
	r.done = true
	rec := &zodb.Record{Oid: 1, Tid: r.tid, Size: int64(len(r.data)), Data: bytes.NewReader([]byte(r.data))}
	if r.blob != "" {
		rec.Blob, rec.BlobSize = bytes.NewReader([]byte(r.blob)), int64(len(r.blob))
		rec.BlobDamaged = r.short
	}
	return rec, nil
}

func digestOf(t *testing.T, s *memSource, tid zodb.Tid) zodb.Digest {
	t.Helper()
	found, err := s.Find(t.Context(), tid)
	if err != nil && !errors.Is(err, zodb.ErrNoTid) {
		t.Fatal(err)
	}
	return found.Digest
}
