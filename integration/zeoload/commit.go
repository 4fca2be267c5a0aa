package zeoload

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

// class is that of the objects that writers commit to.
var class = pickle.Global{Module: "persistent.mapping", Name: "PersistentMapping"}

// A Writer commits to two objects of its own. It is for one goroutine.
type Writer struct {
	c      *client.Conn
	oid    zodb.Oid // of the first; the other is the next
	serial zodb.Tid // of both; 0 until the first commit
	record []byte
	txn    *client.Txn
}

// NewWriter returns a writer on c to the objects oid and oid+1, which do not exist yet, with records of size bytes and
// a few more.
func NewWriter(c *client.Conn, oid zodb.Oid, size int) (*Writer, error) {
	record, err := pickle.DumpRecord(class, pickle.Bytes(make([]byte, size)), pickle.Limits{Bytes: size + 1000})
	return &Writer{c: c, oid: oid, record: record}, err
}

// Vote stores a new revision of both objects and returns when the server has voted for it.
func (w *Writer) Vote(ctx context.Context) error {
	if err := w.store(ctx); err != nil {
		return err
	}
	if err := w.txn.Vote(ctx); err != nil {
		return fmt.Errorf("a commit to objects that no other writer has: %w", err)
	}
	return nil
}

func (w *Writer) store(ctx context.Context) (err error) {
	if w.txn, err = w.c.Begin(ctx, &zodb.TxnMeta{Description: []byte("load")}); err != nil {
		return err
	}
	for _, oid := range []zodb.Oid{w.oid, w.oid + 1} {
		if err := w.txn.Store(ctx, oid, w.serial, w.record); err != nil {
			return err
		}
	}
	return nil
}

// Finish ends what Vote began and returns when the server says that it is committed.
func (w *Writer) Finish(ctx context.Context) (err error) {
	w.serial, err = w.txn.Finish(ctx)
	return err
}

// Commit is Vote and Finish, with less for this process to do between them.
func (w *Writer) Commit(ctx context.Context) (err error) {
	if err := w.store(ctx); err != nil {
		return err
	}
	if w.serial, err = w.txn.Commit(ctx); err != nil {
		return fmt.Errorf("a commit to objects that no other writer has: %w", err)
	}
	return nil
}

// Tid is that of the last commit.
func (w *Writer) Tid() zodb.Tid { return w.serial }

// Commits commits transactions of two records of size bytes, one after the other on each connection, for d and at
// least one. The i-th connection has the objects 2i and 2i+1 above first, which are new.
func Commits(
	ctx context.Context, conns []*client.Conn, first zodb.Oid, size int, d time.Duration,
) (*Outcome, error) {
	until := time.Now().Add(d)
	return play(ctx, conns, func(ctx context.Context, c *client.Conn, i int) (took []time.Duration, err error) {
		w, err := NewWriter(c, first+2*zodb.Oid(i), size)
		if err != nil {
			return nil, err
		}
		for begin := time.Now(); ; begin = time.Now() {
			if err := w.Commit(ctx); err != nil {
				return nil, err
			}
			now := time.Now()
			took = append(took, now.Sub(begin))
			if !now.Before(until) {
				return took, nil
			}
		}
	})
}

// Steady commits as Commits does, but on each connection once in every pace, until the channel is closed. A commit
// counts from the moment when it was due: one that comes late because the one before took long was late for who waits
// for it.
func Steady(
	ctx context.Context, conns []*client.Conn, first zodb.Oid, size int, pace time.Duration, until <-chan struct{},
) (*Outcome, error) {
	begin := time.Now()
	return play(ctx, conns, func(ctx context.Context, c *client.Conn, i int) (took []time.Duration, err error) {
		w, err := NewWriter(c, first+2*zodb.Oid(i), size)
		if err != nil {
			return nil, err
		}
		timer := time.NewTimer(0)
		defer timer.Stop()
		shift := pace * time.Duration(i) / time.Duration(len(conns)) // not all at once
		for due := begin.Add(shift); ; due = due.Add(pace) {
			timer.Reset(time.Until(due))
			select {
			case <-timer.C:
			case <-until:
				return took, nil
			}
			if err := w.Commit(ctx); err != nil {
				return nil, err
			}
			took = append(took, time.Since(due))
		}
	})
}

// blobByte is what all blobs consist of.
const blobByte = 0xb1

// blobRecord is the record of every blob.
var blobRecord = []byte("\x80\x03cZODB.blob\nBlob\nq\x00.\x80\x03N.")

// StoreBlob commits a new object with a blob of size bytes, all the same.
func StoreBlob(ctx context.Context, c *client.Conn, oid zodb.Oid, size int64) (zodb.Tid, error) {
	txn, err := c.Begin(ctx, &zodb.TxnMeta{Description: []byte("load")})
	if err != nil {
		return 0, err
	}
	if err := txn.StoreBlob(ctx, oid, 0, blobRecord, io.LimitReader(same{}, size)); err != nil {
		return 0, err
	}
	return txn.Commit(ctx)
}

// same is a blob without an end.
type same struct{}

var sameBytes = bytes.Repeat([]byte{blobByte}, 64<<10)

func (same) Read(b []byte) (int, error) { return copy(b, sameBytes), nil }
