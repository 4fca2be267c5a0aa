package filestorage

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// A stage is a disk on which a story of writes is played. Errors are kept, not reported: most performances end with the
// power going off.
type stage struct {
	t     *testing.T
	disk  *simdisk.Disk
	s     *Storage
	tried []string // the transactions written, as they must be found if at all
	acked int      // how many of them were acknowledged as durable
	err   error    // the first one
}

const crashPath = "db/Data.fs"

// A story is a path of writes that must survive a power failure at any point.
type story struct {
	name    string
	prepare func(*stage) // on a disk without faults
	play    func(*stage)
	trace   bool // whether its operations come in a fixed order, and are golden
}

var stories = append([]story{
	{"create", func(*stage) {}, func(st *stage) { st.open(); st.close() }, true},
	{"commit", start, func(st *stage) {
		st.commit(1, "one", "")
		st.commit(1, "two", "")
		st.commit(2, "three", "")
	}, true},
	{"here", start, func(st *stage) {
		st.here(1, "one", "")
		st.here(1, withBlob, "blob")
		st.here(2, "three", "")
	}, false},
	{"vote-abort", start, func(st *stage) { st.abort(1, "gone"); st.commit(1, "stays", "") }, true},
	{"blob-commit", start, func(st *stage) { st.commit(1, withBlob, "content of the blob") }, true},
	{"blob-draft", start, func(st *stage) { st.draft(1, "content of the blob"); st.commit(1, "record", "") }, false},
	{"blob-abort", start, func(st *stage) { st.abortBlob(1); st.commit(1, "record", "") }, true},
	{"group", startIdle, func(st *stage) {
		a, b, c := st.enqueue(1, "one", ""), st.enqueue(2, withBlob, "blob"), st.enqueue(1, "three", "")
		go st.s.syncGroups()
		st.wait(a, b, c)
	}, true},
	{"groups-in-flight", start, func(st *stage) {
		var commits []*Commit
		for i := range 12 {
			commits = append(commits, st.enqueue(zodb.Oid(i%3), strings.Repeat(fmt.Sprint(i), 700), ""))
		}
		st.wait(commits...)
	}, false},
	{"large", start, func(st *stage) { st.commit(1, strings.Repeat("large", outputLen/4), "") }, true},
	{"restore", startIdle, func(st *stage) {
		a, b := st.restore(1, "one", 0, ""), st.restore(1, withBlob, 0, "blob")
		c := st.restore(1, "one", 20, "")
		go st.s.syncGroups()
		st.wait(a, b, c)
	}, true},
	{"undo", withOldBlob, func(st *stage) { st.undo(30, 1, withBlob, "old blob") }, true},
	{"save-index", withCommits, func(st *stage) { st.close() }, true},
	{"save-index-open", withCommits, func(st *stage) {
		st.s.saveIndexAt(st.s.Size())
		st.commit(3, "after", "")
	}, true},
	{"recovery", interrupted3, func(st *stage) { st.open(); st.commit(1, "next", ""); st.close() }, true},
}, appendStories...)

func start(st *stage) { st.open(); st.commit(7, "base", "") }

// startIdle opens a storage whose syncer is not yet running, so that what is enqueued makes one group.
func startIdle(st *stage) {
	start(st)
	st.close()
	s := newStorage(crashPath, st.options())
	st.note(s.open(st.t.Context(), st.options()))
	st.s = s
}

func withCommits(st *stage) { start(st); st.commit(1, "one", ""); st.commit(2, "two", "") }

func withOldBlob(st *stage) {
	start(st)
	st.commit(1, withBlob, "old blob")
	st.commit(1, "no blob", "")
}

// interrupted3 leaves a group of three transactions, one with a published blob, that never became final.
func interrupted3(st *stage) {
	start(st)
	tried := len(st.tried)
	end := st.s.Size()
	st.commit(1, withBlob, "lost blob")
	st.commit(2, "lost too", "")
	st.commit(3, "lost as well", "")
	st.close()
	f, err := st.disk.OpenFile(crashPath, os.O_RDWR, 0)
	st.note(err)
	_, err = f.WriteAt([]byte{'c'}, end+statusAt)
	st.note(errors.Join(err, f.Sync(), f.Close(), st.disk.Remove(crashPath+".index"), st.disk.SyncDir("db")))
	st.tried, st.acked, st.s = st.tried[:tried], tried, nil
}

func newStage(t *testing.T, st story) *stage {
	t.Helper()
	s := &stage{t: t, disk: simdisk.New()}
	s.note(errors.Join(s.disk.Mkdir("db", 0o777), s.disk.SyncDir(".")))
	s.note(s.disk.Mkdir("db/blobs", 0o777))
	s.options() // makes the blob directory
	st.prepare(s)
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s
}

func (st *stage) note(err error) {
	if st.err == nil {
		st.err = err
	}
}

func (st *stage) options() Options {
	b, err := blobstore.Open("db/blobs", blobstore.Options{FS: st.disk})
	st.note(err)
	return Options{FS: st.disk, Blobs: b}
}

func (st *stage) open() {
	opt := st.options()
	if opt.Blobs == (*blobstore.Store)(nil) {
		return
	}
	s, err := Open(st.t.Context(), crashPath, opt)
	st.note(err)
	st.s = s
}

func (st *stage) close() {
	if st.s != nil {
		st.note(st.s.Close())
	}
	st.s = nil
}

// begin starts the next transaction; tids are 10, 20, 30 and so on.
func (st *stage) begin() *Txn {
	if st.s == nil {
		return nil
	}
	txn, err := st.s.Begin(st.t.Context(), &zodb.TxnMeta{Tid: zodb.Tid(10 * (len(st.tried) + 1))})
	st.note(err)
	return txn
}

// withBlob is the data of every record with a blob.
const withBlob = "\x80\x03cZODB.blob\nBlob\nq\x00.\x80\x03N."

func (st *stage) store(txn *Txn, oid zodb.Oid, data, blob string) {
	serial, err := st.serial(oid)
	st.note(err)
	if blob != "" {
		st.note(txn.StoreBlob(oid, serial, []byte(data), strings.NewReader(blob)))
	} else {
		st.note(txn.Store(oid, serial, []byte(data)))
	}
	st.tried = append(st.tried, describe(txn.Tid(), oid, data, blob))
}

// serial returns the tid of the newest record of oid, also of one that is not durable yet.
func (st *stage) serial(oid zodb.Oid) (zodb.Tid, error) {
	pos, ok := st.s.newest(oid)
	if !ok {
		return 0, nil
	}
	r, err := st.s.record(oid, pos, st.s.writer.end)
	return r.Tid, err
}

func describe(tid zodb.Tid, oid zodb.Oid, data, blob string) string {
	return fmt.Sprintf("tid %d oid %d data %s blob %q", uint64(tid), uint64(oid), digest([]byte(data)), blob)
}

func (st *stage) commit(oid zodb.Oid, data, blob string) {
	txn := st.begin()
	if txn == nil {
		return
	}
	st.store(txn, oid, data, blob)
	if _, err := txn.Finish(st.t.Context(), nil); err != nil {
		st.refused(txn, err)
		return
	}
	st.acked = len(st.tried)
}

// refused aborts the transaction tried last, which is not there, unless the storage has failed with it.
func (st *stage) refused(txn *Txn, err error) {
	st.note(errors.Join(err, txn.Abort()))
	if !errors.As(err, new(*FailedError)) {
		st.tried = st.tried[:len(st.tried)-1]
	}
}

// draft commits a blob that is there before its transaction begins, after an abort that leaves it there.
func (st *stage) draft(oid zodb.Oid, blob string) {
	if st.s == nil {
		return
	}
	d, err := st.s.NewDraft()
	st.note(err)
	if err != nil {
		return
	}
	_, err = d.Write([]byte(blob))
	st.note(err)
	for _, last := range []bool{false, true} {
		txn := st.begin()
		if txn == nil {
			return
		}
		err := txn.StoreDraft(oid, 0, []byte(withBlob), d)
		if !last || err != nil {
			st.note(errors.Join(err, txn.Abort()))
			continue
		}
		st.tried = append(st.tried, describe(txn.Tid(), oid, withBlob, blob))
		if _, err := txn.Finish(st.t.Context(), nil); err != nil {
			st.refused(txn, err)
			return
		}
		st.acked = len(st.tried)
	}
	st.note(d.Discard())
}

// undo undoes a transaction, after which oid is as described.
func (st *stage) undo(of zodb.Tid, oid zodb.Oid, data, blob string) {
	txn := st.begin()
	if txn == nil {
		return
	}
	if _, err := txn.Undo(st.t.Context(), of); err != nil {
		st.note(errors.Join(err, txn.Abort()))
		return
	}
	st.tried = append(st.tried, describe(txn.Tid(), oid, data, blob))
	if _, err := txn.Finish(st.t.Context(), nil); err != nil {
		st.refused(txn, err)
		return
	}
	st.acked = len(st.tried)
}

func (st *stage) abort(oid zodb.Oid, data string) {
	txn := st.begin()
	if txn == nil {
		return
	}
	st.store(txn, oid, data, "")
	st.tried = st.tried[:len(st.tried)-1]
	st.note(txn.Vote(st.t.Context()))
	st.note(txn.Abort())
}

func (st *stage) abortBlob(oid zodb.Oid) {
	txn := st.begin()
	if txn == nil {
		return
	}
	st.store(txn, oid, withBlob, "gone with its blob")
	st.tried = st.tried[:len(st.tried)-1]
	st.note(txn.Abort())
}

func (st *stage) enqueue(oid zodb.Oid, data, blob string) *Commit {
	txn := st.begin()
	if txn == nil {
		return nil
	}
	st.store(txn, oid, data, blob)
	return st.send(txn)
}

// here commits as a server does where nobody else commits: synced ahead, and settled by the committer.
func (st *stage) here(oid zodb.Oid, data, blob string) {
	txn := st.begin()
	if txn == nil {
		return
	}
	st.store(txn, oid, data, blob)
	err := txn.Complete()
	if sync := txn.SyncAhead(); err == nil && sync != nil {
		err = sync()
	}
	if err != nil {
		st.refused(txn, err)
		return
	}
	c, err := txn.EnqueueHere(st.t.Context())
	if err != nil {
		st.refused(txn, err)
		return
	}
	c.Finalize()
	st.wait(c)
}

func (st *stage) restore(oid zodb.Oid, data string, from zodb.Tid, blob string) *Commit {
	txn := st.begin()
	if txn == nil {
		return nil
	}
	rec := &zodb.Record{Oid: oid, Tid: txn.Tid(), HasPrev: true, DataTxn: from,
		Size: int64(len(data)), Data: strings.NewReader(data)}
	if blob != "" {
		rec.Blob, rec.BlobSize = strings.NewReader(blob), int64(len(blob))
	}
	st.note(txn.Restore(rec))
	st.tried = append(st.tried, describe(txn.Tid(), oid, data, blob))
	return st.send(txn)
}

func (st *stage) send(txn *Txn) *Commit {
	c, err := txn.Enqueue(st.t.Context())
	if err != nil {
		st.note(errors.Join(err, txn.Abort()))
	}
	return c
}

func (st *stage) wait(commits ...*Commit) {
	for _, c := range commits {
		if c == nil {
			continue
		}
		<-c.Done()
		if err := c.Err(); err != nil {
			st.note(err)
			continue
		}
		st.acked++
	}
}

// end closes the storage, whatever state it is in.
func (st *stage) end() {
	if st.s == nil {
		return
	}
	select {
	case <-st.s.queue.stopped:
	default:
		st.s.Close()
	}
}

// play performs a story to its end, or to where the power goes off.
func play(t *testing.T, s story, powerOff int) *stage {
	t.Helper()
	st := newStage(t, s)
	if powerOff > 0 {
		st.disk.PowerOffAt(len(st.disk.Ops()) + powerOff)
	}
	s.play(st)
	return st
}
