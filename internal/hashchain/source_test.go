package hashchain_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/zodb"
)

// limit is how long a test waits for what must happen.
const limit = 5 * time.Minute

// A txn is a transaction of one record.
type txn struct {
	tid    zodb.Tid
	data   string
	packed bool
}

// txnLen is how long each is in its file.
const txnLen = 100

// A memory is a storage in memory. An iterator keeps to the file that a pack replaces until that has ended, as those of
// real storages do.
type memory struct {
	mu    sync.Mutex
	txns  []txn
	moved chan struct{}
	reads int // transactions that were read
	fails int // of the reads to come
}

func newMemory(txns ...txn) *memory { return &memory{txns: txns, moved: make(chan struct{})} }

// plain returns n transactions, with tids 10, 20, …
func plain(n int) (txns []txn) {
	for i := range n {
		txns = append(txns, txn{tid: zodb.Tid(10 * (i + 1)), data: fmt.Sprint("data ", i)})
	}
	return txns
}

var errRead = errors.New("input/output error")

func (m *memory) commit(txns ...txn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.txns = append(slices.Clip(m.txns), txns...)
	close(m.moved)
	m.moved = make(chan struct{})
}

// pack goes over the transactions up to a tid: of each two it drops one and changes the other.
func (m *memory) pack(upTo zodb.Tid) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var kept []txn
	for i, t := range m.txns {
		switch {
		case t.tid > upTo:
			kept = append(kept, t)
		case i%2 == 0:
			kept = append(kept, txn{t.tid, "packed", true})
		}
	}
	m.txns = kept
}

func (m *memory) now() ([]txn, chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.txns, m.moved
}

func (m *memory) LastTid() zodb.Tid {
	if txns, _ := m.now(); len(txns) > 0 {
		return txns[len(txns)-1].tid
	}
	return 0
}

func (m *memory) Size() int64 {
	txns, _ := m.now()
	return 4 + int64(len(txns))*txnLen
}

func (m *memory) Find(_ context.Context, tid zodb.Tid) (found filestorage.Found, err error) {
	txns, _ := m.now()
	for _, t := range txns {
		if t.tid == tid {
			r := t.reader()
			found.Status = r.meta.Status
			found.Digest, err = zodb.DigestOf(r)
			return found, err
		}
	}
	return found, zodb.ErrNoTid
}

func (m *memory) Iterate(after zodb.Tid, follow bool) (zodb.Iterator, error) {
	it := &memoryIterator{m: m, last: after, follow: follow, pos: 4}
	txns, _ := m.now()
	for _, t := range txns {
		if t.tid <= after {
			it.pos += txnLen
		}
	}
	return it, nil
}

type memoryIterator struct {
	m      *memory
	last   zodb.Tid
	follow bool
	pos    int64
}

func (it *memoryIterator) Next(ctx context.Context) (zodb.Transaction, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		txns, moved := it.m.now()
		for i, t := range txns {
			if t.tid > it.last {
				it.last, it.pos = t.tid, 4+int64(i+1)*txnLen
				it.m.mu.Lock()
				defer it.m.mu.Unlock()
				if it.m.fails > 0 {
					it.m.fails--
					it.last = t.tid - 1
					return nil, errRead
				}
				it.m.reads++
				return t.reader(), nil
			}
		}
		if !it.follow {
			return nil, io.EOF
		}
		select {
		case <-moved:
		case <-ctx.Done():
		}
	}
}

func (it *memoryIterator) Pending() bool   { return false }
func (it *memoryIterator) Position() int64 { return it.pos }
func (it *memoryIterator) Close() error    { return nil }

type txnReader struct {
	txn
	meta zodb.TxnMeta
	done bool
}

func (t txn) reader() *txnReader {
	status := zodb.StatusCommitted
	if t.packed {
		status = zodb.StatusPacked
	}
	return &txnReader{txn: t, meta: zodb.TxnMeta{Tid: t.tid, Status: status}}
}

func (r *txnReader) Meta() *zodb.TxnMeta { return &r.meta }

func (r *txnReader) NextRecord() (*zodb.Record, error) {
	if r.done {
		return nil, io.EOF
	}
	r.done = true
	return &zodb.Record{Oid: 1, Tid: r.tid, Size: int64(len(r.data)), Data: strings.NewReader(r.data)}, nil
}

// values computes the points of a chain by the words of its definition.
func values(t fataler, base zodb.Tid, txns []txn) []hashchain.Point {
	t.Helper()
	points := []hashchain.Point{{Tid: base}}
	for _, one := range txns {
		if one.tid <= base {
			continue
		}
		digest, err := zodb.DigestOf(one.reader())
		if err != nil {
			t.Fatalf("%v", err)
		}
		before, tid := points[len(points)-1], one.tid.Bytes()
		points = append(points, hashchain.Point{Tid: one.tid, Count: before.Count + 1,
			Value: sha256.Sum256(slices.Concat(before.Value[:], tid[:], digest[:]))})
	}
	return points
}

// keep follows src until the test ends.
func keep(t *testing.T, src hashchain.Source, opt hashchain.Options) *hashchain.Local {
	t.Helper()
	l := hashchain.Keep(src, opt)
	t.Cleanup(l.Close)
	return l
}

// A fataler is a *testing.T or a *rapid.T.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// reaches waits until the chain is at tid.
func reaches(t fataler, l *hashchain.Local, tid zodb.Tid) hashchain.Status {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if st := l.Status(); st.Known && st.Head.Tid == tid {
			return st
		}
		if time.Now().After(deadline) {
			t.Fatalf("the chain is at %+v, want %v", l.Status(), tid)
		}
	}
	return hashchain.Status{}
}

func unknown(err error) bool {
	e := (*hashchain.UnknownError)(nil)
	return errors.As(err, &e)
}
