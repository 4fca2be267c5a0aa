package filestorage

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// AppendOptions of Append. The zero value takes transactions whose blobs, if any, do not come with them.
type AppendOptions struct {
	// HasBlob says whether a revision has a blob that Blobs can give. It is asked for every record; nil: Blobs, if set,
	// is asked for those whose data are of a blob, and those with the data of an earlier record.
	HasBlob func(oid zodb.Oid, tid zodb.Tid) bool
	// Blobs stages blobs for some of these revisions, at most 128 of one group at a time. A revision that is left out
	// has none, or has it in the directory already, durably. What it returns with an error is discarded.
	Blobs func(ctx context.Context, revisions []BlobID) ([]zodb.StagedBlob, error)
	// Check may refuse a transaction by its tid: its error ends the Append. nil: none is refused.
	Check func(tid zodb.Tid) error
	// Durable is told the transactions of each group in the order of the file, with the offset where they begin and the
	// tid of the one before them. They are durable and visible, as more may be by then. It is called by one goroutine
	// at a time, not after Close has returned, and must not wait for the Appender. nil: nobody is told, and no digests
	// are computed.
	Durable func(after zodb.Tid, start int64, txns []Appended)
}

// A BlobID is the revision that a blob belongs to.
type BlobID struct {
	Oid zodb.Oid
	Tid zodb.Tid
}

// A NotIdenticalError says that bytes given to an Appender cannot be the continuation of its file: the other copy is
// not byte for byte this one, or it is damaged.
type NotIdenticalError struct {
	Path string   // of the own Data.fs
	Pos  int64    // the offset in both files
	Tid  zodb.Tid // of the transaction, 0 where it is not known
	Oid  zodb.Oid // of the record, 0 where What is not about one
	What string   // what was found, and what would have been right
}

func (e *NotIdenticalError) Error() string {
	return fmt.Sprintf("the bytes of the other copy do not continue %s at offset %d (transaction %v, oid %v): %s",
		e.Path, e.Pos, e.Tid, e.Oid, e.What)
}

// ErrMoved ends an Append during which somebody else has written to the storage, or a pack has replaced its file: what
// the next byte's offset is in the other copy is not known any more.
var ErrMoved = errors.New("the storage was packed, or written to by somebody else, during the append")

// An Appender continues a Data.fs with the bytes of another copy of which it is the beginning, as they are. What it
// takes goes through the same groups as transactions do (see the package comment): the first transaction of each has
// status 'c' in the file until the group and its blobs are durable, and a group is durable before it is visible. Groups
// are larger than those of commits, and at most appendBytes or appendTxns and one transaction.
//
// An Appender holds the commit lock, except between two groups where somebody waits for it. It is for one goroutine,
// and the storage cannot be closed before it is. After an error all that it takes is Close.
type Appender struct {
	s    *Storage
	opt  AppendOptions
	file *openDataFile

	stream  appendStream
	digests *digester                   // nil: nobody wants them
	before  zodb.Tid                    // of the transaction before the group
	g       *group                      // what is gathered; nil between two groups
	newest  offsetTable                 // its records by oid, without those of the transaction in progress
	blobs   []BlobID                    // of its records
	pending *group                      // the last one that was given to the queue
	checks  []pointer                   // what is to be looked up in the file before the group may become durable
	entries []entry                     // records of the transaction in progress
	whole   struct{ checks, blobs int } // how many of those are of whole transactions
	highest zodb.Tid                    // of the group
	maxOid  zodb.Oid                    // of the group
	records int                         // of the group before
	most    groupSize                   // of a group
	begin   []byte                      // of the header of the first transaction of the group; not written yet
	touched bool                        // something was, or may have been, written to the file after g.start
	locked  bool                        // the commit lock is held
	err     error                       // set once
}

// Append begins to continue the file with bytes of another copy, at Pos. It waits for the commit lock.
//
// Errors: zodb.ErrReadOnly, zodb.ErrClosed, *FailedError, the context's cause.
func (s *Storage) Append(ctx context.Context, opt AppendOptions) (*Appender, error) {
	if s.readOnly {
		return nil, fmt.Errorf("append to %s: %w", s.path, zodb.ErrReadOnly)
	}
	if err := s.lockCommit(ctx); err != nil {
		return nil, fmt.Errorf("append to %s: %w", s.path, err)
	}
	if err := s.stopped(); err != nil {
		<-s.commit
		return nil, fmt.Errorf("append to %s: %w", s.path, err)
	}
	a := &Appender{s: s, opt: opt, file: s.openDataFile, locked: true, most: appendedGroup}
	a.stream.start(s.writer.end, s.writer.last)
	if a.before = s.writer.last; opt.Durable != nil {
		a.digests = newDigester(s.openDataFile, s.writer.end, s.writer.last, opt.Durable)
	}
	return a, nil
}

// Pos is the offset of the next byte, in both files.
func (a *Appender) Pos() int64 { return a.stream.offset }

// Last is the tid of the last transaction that was taken whole.
func (a *Appender) Last() zodb.Tid { return a.stream.last }

// Write takes the next bytes, divided in any way. It returns when they are in the file, durable or not, and waits where
// too much is not durable yet. With AppendOptions.Durable set, the bytes must stay as they are until the next Write has
// succeeded, or Close has returned.
//
// Errors, after which only Close is left: *NotIdenticalError and that of AppendOptions.Check, Blobs or the disk (of the
// group in progress nothing stays then), ErrMoved, *FailedError, zodb.ErrClosed, the context's cause.
func (a *Appender) Write(ctx context.Context, p []byte) error {
	for len(p) > 0 && a.err == nil {
		if a.err = a.ready(ctx); a.err != nil {
			break
		}
		n, whole, err := a.take(p)
		if err == nil {
			err = a.output(p[:n], a.stream.offset-int64(n))
		}
		if err == nil {
			err = a.digests.pass(ctx, piece{bytes: p[:n]})
		}
		if err == nil && whole {
			err = a.handOver(ctx)
		}
		if err != nil {
			a.err = errors.Join(err, a.drop())
		}
		p = p[n:]
	}
	if a.err != nil {
		return fmt.Errorf("append to %s: %w", a.s.path, a.err)
	}
	return nil
}

// Close cuts off a transaction of which the end is missing, waits until all that is whole is durable and visible, and
// gives the commit lock back. Its error says what became of that; one that Write has returned is not repeated. When ctx
// ends, transactions that wait for the disk are left to the storage, which makes them durable.
func (a *Appender) Close(ctx context.Context) error {
	err := a.finish(ctx)
	a.digests.close(ctx.Err() == nil)
	if a.g != nil { // without a whole transaction
		a.g.many.close()
	}
	if a.locked {
		a.locked = false
		<-a.s.commit
	}
	if a.err == nil {
		a.err = zodb.ErrTransaction // it is over
	}
	if err != nil {
		return fmt.Errorf("end the append to %s: %w", a.s.path, err)
	}
	return nil
}

// finish hands over what is whole and waits for it.
func (a *Appender) finish(ctx context.Context) (err error) {
	if a.g != nil {
		err = a.cutTo(a.g.end)
		a.checks, a.blobs = a.checks[:a.whole.checks], a.blobs[:a.whole.blobs]
		if err == nil && a.g.n > 0 {
			err = a.handOver(ctx)
		}
		if err != nil {
			err = errors.Join(err, a.drop())
		}
	}
	if a.pending == nil {
		return err
	}
	select {
	case <-a.pending.done:
		return errors.Join(err, a.pending.err)
	case <-ctx.Done():
		return errors.Join(err, context.Cause(ctx))
	}
}

// ready begins a group where none is in progress: with the commit lock, and room for it on the way to the disk.
func (a *Appender) ready(ctx context.Context) error {
	if a.g != nil {
		return nil
	}
	if err := a.letOthers(ctx); err != nil {
		return err
	}
	if err := a.s.queue.lighter(ctx, maxUnsynced-appendBytes); err != nil {
		return err
	}
	if err := a.s.checkOwn(); err != nil {
		return err
	}
	a.g = &group{
		start: a.stream.offset, end: a.stream.offset, done: make(chan struct{}),
		entries: make([]entry, 0, a.records),
	}
	a.highest, a.maxOid, a.touched, a.begin = 0, 0, false, a.begin[:0]
	a.whole.checks, a.whole.blobs = 0, 0
	a.blobs, a.checks, a.entries = a.blobs[:0], a.checks[:0], a.entries[:0]
	return a.together()
}

// letOthers gives the commit lock to those who wait for it, such as a pack at its end, and takes it again.
func (a *Appender) letOthers(ctx context.Context) error {
	s := a.s
	select {
	case <-s.closed:
		return zodb.ErrClosed
	default:
	}
	s.waits.tookLock()
	if s.waiting.Load() == 0 {
		return nil
	}
	a.locked = false
	<-s.commit
	if err := s.lockCommit(ctx); err != nil {
		return err
	}
	a.locked = true
	if s.openDataFile != a.file || s.writer.end != a.stream.offset {
		return ErrMoved
	}
	return nil
}

// output writes bytes at their offset, with status 'c' for the first transaction of the group. The header of that one
// is written at once: after a crash it is there with its 'c', or not there at all.
func (a *Appender) output(p []byte, at int64) error {
	a.s.waits.vote.Waits(waitWrite)
	defer a.s.waits.vote.Done()
	rest := a.g.start + txnHeaderLen - at // of the header
	if rest <= 0 {
		return a.writeAt(p, at)
	}
	n := min(rest, int64(len(p)))
	a.begin = append(a.begin, p[:n]...)
	if n < rest {
		return nil
	}
	a.begin[statusAt] = byte(zodb.StatusCheckpoint)
	err := a.writeAt(a.begin, a.g.start)
	a.begin = a.begin[:0]
	if err != nil {
		return err
	}
	return a.writeAt(p[n:], at+n)
}

func (a *Appender) writeAt(p []byte, at int64) error {
	if len(p) == 0 {
		return nil
	}
	a.touched = true
	if _, err := a.file.file.WriteAt(p, at); err != nil {
		a.s.room.failed(err, a.s.now())
		return fmt.Errorf("write %d bytes to %s at %d: %w", len(p), a.s.path, at, err)
	}
	return nil
}

// handOver gives the group, which is complete in the file, to the queue.
func (a *Appender) handOver(ctx context.Context) error {
	if err := a.checkPointers(ctx); err != nil {
		return err
	}
	if err := a.stageBlobs(ctx); err != nil {
		return err
	}
	g, s := a.g, a.s
	g.newest, a.newest = a.newest, a.newest.another()
	a.records = len(g.entries)
	if err := s.queue.put(ctx, g); err != nil {
		return err
	}
	s.raiseMaxOid(a.maxOid)
	w := &s.writer
	w.end, w.last, w.begun = g.end, g.last, max(w.begun, a.highest)
	after := a.before
	a.g, a.pending, a.before = nil, g, g.last
	return a.digests.pass(ctx, piece{group: g, after: after})
}

// drop takes the group in progress off the file, with its blobs.
func (a *Appender) drop() error {
	if a.g == nil {
		return nil
	}
	err := errors.Join(a.discardBlobs(), a.cutTo(a.g.start))
	a.stream.start(a.g.start, a.s.writer.last)
	a.g = nil
	return err
}

// cutTo takes what is after an offset off the file. If that fails, nothing can be written after it.
func (a *Appender) cutTo(at int64) error {
	if !a.touched || a.stream.offset == at {
		return nil
	}
	if err := a.file.file.Truncate(at); err != nil {
		return a.s.fail(fmt.Errorf("cut off an incomplete append at %d: %w", at, err))
	}
	return nil
}
