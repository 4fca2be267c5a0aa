package zeoload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

var errConflict = errors.New("vote reported conflicts, although no two writers share an object")

// A Writer commits to two objects of its own. It is for one goroutine.
type Writer struct {
	c      *Conn
	oid    zodb.Oid // of the first; the other is the next
	serial zodb.Tid // of both; 0 until the first commit
	record []byte
}

// NewWriter returns a writer on c to the objects oid and oid+1, which do not exist yet, with records of size bytes and
// a few more.
func NewWriter(c *Conn, oid zodb.Oid, size int) *Writer {
	record := message("\x80\x03cpersistent.mapping\nPersistentMapping\n.\x80\x03").bytes(make([]byte, size))
	return &Writer{c: c, oid: oid, record: append(record, opStop)}
}

// Vote stores a new revision of both objects and returns when the server has voted for it.
func (w *Writer) Vote() error {
	w.c.send(beginCall(), storeCall(w.oid, w.serial, w.record), storeCall(w.oid+1, w.serial, w.record))
	return w.c.vote()
}

// Finish ends what Vote began and returns when the server says that it is committed.
func (w *Writer) Finish() (err error) {
	w.serial, err = w.c.finish()
	return err
}

// Commit is Vote and Finish.
func (w *Writer) Commit() error {
	if err := w.Vote(); err != nil {
		return err
	}
	return w.Finish()
}

// Tid is that of the last commit.
func (w *Writer) Tid() zodb.Tid { return w.serial }

func (c *Conn) vote() error {
	c.send(voteCall())
	a, err := c.answer()
	if err != nil {
		return err
	}
	if err := a.answers(voteID, "vote"); err != nil {
		return err
	}
	if a.conflicts() {
		return fmt.Errorf("%w: %q", errConflict, a.rest)
	}
	return nil
}

func (c *Conn) finish() (zodb.Tid, error) {
	c.send(finishCall())
	a, err := c.answer()
	if err != nil {
		return 0, err
	}
	if err := a.answers(finishID, "tpc_finish"); err != nil {
		return 0, err
	}
	return a.tid()
}

// Commits commits transactions of two records of size bytes, one after the other on each connection, for d and at
// least one. The i-th connection has the objects 2i and 2i+1 above first, which are new.
func Commits(ctx context.Context, conns []*Conn, first zodb.Oid, size int, d time.Duration) (*Outcome, error) {
	until := time.Now().Add(d)
	return play(ctx, conns, func(c *Conn, i int) (took []time.Duration, err error) {
		w := NewWriter(c, first+2*zodb.Oid(i), size)
		for begin := time.Now(); ; begin = time.Now() {
			if err := w.Commit(); err != nil {
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
	ctx context.Context, conns []*Conn, first zodb.Oid, size int, pace time.Duration, until <-chan struct{},
) (*Outcome, error) {
	begin := time.Now()
	return play(ctx, conns, func(c *Conn, i int) (took []time.Duration, err error) {
		w := NewWriter(c, first+2*zodb.Oid(i), size)
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
			if err := w.Commit(); err != nil {
				return nil, err
			}
			took = append(took, time.Since(due))
		}
	})
}
