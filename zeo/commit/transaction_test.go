package commit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// blobRecord is the record of a blob object: its class is what tells.
var blobRecord = []byte("\x80\x03cZODB.blob\nBlob\nq\x00.\x80\x03N.")

// A site is an open storage with blobs, and a folder for buffers.
type site struct {
	*filestorage.Storage
	buffers, blobs string
}

func open(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{buffers: filepath.Join(dir, "buffers"), blobs: filepath.Join(dir, "blobs")}
	if err := os.Mkdir(s.buffers, 0o700); err != nil {
		t.Fatal(err)
	}
	blobs, err := blobstore.Open(s.blobs, blobstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Storage, err = filestorage.Open(t.Context(), filepath.Join(dir, "Data.fs"), filestorage.Options{Blobs: blobs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		left, err := os.ReadDir(s.buffers)
		if err != nil || len(left) > 0 {
			t.Errorf("left behind in the folder of buffers: %v, %v", left, err)
		}
	})
	return s
}

func (s *site) begin() *Transaction { return New(s.Storage, zodb.TxnMeta{}, Options{Dir: s.buffers}) }

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// vote expects success and returns what was changed.
func vote(t *testing.T, txn *Transaction) []zodb.Oid {
	t.Helper()
	out, err := txn.Vote(t.Context())
	must(t, err)
	if len(out.Conflicts) > 0 {
		t.Fatalf("conflicts: %+v", out.Conflicts)
	}
	return out.Changed
}

// finish waits until the transaction is final.
func finish(t *testing.T, txn *Transaction) zodb.Tid {
	t.Helper()
	tid, c, err := txn.Finish(t.Context(), true)
	must(t, err)
	c.Finalize()
	<-c.Done()
	must(t, c.Err())
	return tid
}

// commit stores one record in a transaction of its own.
func (s *site) commit(t *testing.T, oid zodb.Oid, serial zodb.Tid, data string) zodb.Tid {
	t.Helper()
	txn := s.begin()
	must(t, txn.Store(oid, serial, []byte(data)))
	vote(t, txn)
	return finish(t, txn)
}

func (s *site) expect(t *testing.T, oid zodb.Oid, want string) {
	t.Helper()
	data, _, err := s.Load(oid)
	if err != nil || string(data) != want {
		t.Errorf("oid %v: got %q, %v; want %q", oid, data, err, want)
	}
}

func upload(t *testing.T, s *site, content string) zodb.BlobDraft {
	t.Helper()
	u, err := s.NewDraft()
	must(t, err)
	for len(content) > 0 {
		n := min(len(content), 7)
		_, err := io.WriteString(u, content[:n])
		must(t, err)
		content = content[n:]
	}
	return u
}

func (s *site) expectBlob(t *testing.T, oid zodb.Oid, tid zodb.Tid, want string) {
	t.Helper()
	f, err := s.OpenBlob(oid, tid)
	must(t, err)
	defer f.Close()
	got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	if err != nil || string(got) != want {
		t.Errorf("blob of oid %v: got %q, %v; want %q", oid, got, err, want)
	}
}

func TestNothingIsVisibleBeforeFinishAndNothingIsLeftOfAnAbort(t *testing.T) {
	s := open(t)
	for name, end := range map[string]func(txn *Transaction){
		"buffered": func(*Transaction) {},
		"voted":    func(txn *Transaction) { vote(t, txn) },
	} {
		size := s.Size()
		txn := s.begin()
		must(t, txn.Store(1, 0, []byte("one")), txn.StoreBlob(2, 0, blobRecord, upload(t, s, "content")))
		end(txn)
		if _, _, err := s.Load(1); err == nil {
			t.Errorf("%s: visible", name)
		}
		must(t, txn.Abort(), txn.Abort())
		if s.Size() != size || s.LastTid() != 0 {
			t.Errorf("%s: the storage has changed", name)
		}
	}
	s.commit(t, 1, 0, "one")
	s.expect(t, 1, "one")
}

func TestTheLaterStoreOfAnObjectCounts(t *testing.T) {
	s := open(t)
	txn := s.begin()
	must(t, txn.Store(1, 0, []byte("first")), txn.Store(2, 0, []byte("other")), txn.Store(1, 0, []byte("second")))
	vote(t, txn)
	tid := finish(t, txn)
	s.expect(t, 1, "second")
	it, err := s.Iterate(0, false)
	must(t, err)
	defer it.Close()
	in, err := it.Next(t.Context())
	must(t, err)
	n := 0
	for ; ; n++ {
		if _, err := in.NextRecord(); err != nil {
			break
		}
	}
	if in.Meta().Tid != tid || n != 2 {
		t.Errorf("transaction %v has %d records, want 2 in %v", in.Meta().Tid, n, tid)
	}
}

func TestLargeTransactionsAreBufferedOnDisk(t *testing.T) {
	s := open(t)
	txn := New(s.Storage, zodb.TxnMeta{}, Options{Dir: s.buffers, memory: 100})
	for oid := range zodb.Oid(50) {
		must(t, txn.Store(oid, 0, bytes.Repeat([]byte{byte(oid)}, 30)))
	}
	if txn.buf.memory > 100 {
		t.Errorf("%d bytes in memory", txn.buf.memory)
	}
	vote(t, txn)
	finish(t, txn)
	for oid := range zodb.Oid(50) {
		s.expect(t, oid, strings.Repeat(string([]byte{byte(oid)}), 30))
	}
}

// What is replaced is not in memory any more, and what just fits is.
func TestMemoryIsThatOfWhatIsKept(t *testing.T) {
	s := open(t)
	txn := New(s.Storage, zodb.TxnMeta{}, Options{Dir: s.buffers, memory: 30})
	for range 5 { // the new record comes before the old one goes
		must(t, txn.Store(1, 0, []byte("ten bytes.")), txn.Store(2, 0, []byte("ten bytes!")))
	}
	must(t, txn.Store(3, 0, []byte("ten bytes?")))
	if txn.buf.memory != 30 || txn.buf.spill != nil {
		t.Errorf("%d bytes in memory, and a file: %v", txn.buf.memory, txn.buf.spill != nil)
	}
	for _, data := range []string{"x", "y"} { // what is replaced in the file took no memory
		must(t, txn.Store(4, 0, []byte(data)))
		if txn.buf.memory != 30 || txn.buf.spill == nil {
			t.Errorf("with one more: %d bytes in memory, and a file: %v", txn.buf.memory, txn.buf.spill != nil)
		}
	}
	must(t, txn.Abort())
}

func TestATransactionMayBeAsLargeAsAllowed(t *testing.T) {
	s := open(t)
	txn := New(s.Storage, zodb.TxnMeta{}, Options{Dir: s.buffers, bytes: 10, operations: 2})
	must(t, txn.Store(1, 0, []byte("12345")), txn.Store(2, 0, []byte("67890")))
	vote(t, txn)
	finish(t, txn)
	s.expect(t, 2, "67890")
}

func TestABlobThatIsNotCommittedIsRemoved(t *testing.T) {
	s := open(t)
	left := func(want int) {
		t.Helper()
		drafts, err := os.ReadDir(filepath.Join(s.blobs, "tmp"))
		if err != nil || len(drafts) != want {
			t.Errorf("left behind: %v, %v; want %d", drafts, err, want)
		}
	}
	replaced := s.begin()
	must(t, replaced.StoreBlob(1, 0, blobRecord, upload(t, s, "first")),
		replaced.StoreBlob(1, 0, blobRecord, upload(t, s, "second")))
	left(1)
	vote(t, replaced)
	s.expectBlob(t, 1, finish(t, replaced), "second")
	broken := New(s.Storage, zodb.TxnMeta{}, Options{Dir: s.buffers, operations: 1})
	must(t, broken.StoreBlob(2, 0, blobRecord, upload(t, s, "content")))
	left(1)
	if err := broken.Check(3, 0); err == nil {
		t.Error("a second operation was taken")
	}
	left(0)
	must(t, broken.Abort())
}

// A record of a blob that is too large for memory keeps its blob.
func TestARecordOfABlobMayBeInTheFile(t *testing.T) {
	s := open(t)
	txn := New(s.Storage, zodb.TxnMeta{}, Options{Dir: s.buffers, memory: 1})
	must(t, txn.StoreBlob(1, 0, blobRecord, upload(t, s, "content")))
	vote(t, txn)
	s.expectBlob(t, 1, finish(t, txn), "content")
}

// Whoever votes on the spot holds up all others: only what is small and in memory does, where nobody has the lock.
func TestASmallTransactionVotesOnTheSpot(t *testing.T) {
	s := open(t)
	base := s.commit(t, 1000, 0, "base")
	stores := func(n int) func(*Transaction) error {
		return func(txn *Transaction) (err error) {
			for i := range n {
				err = errors.Join(err, txn.Store(zodb.Oid(i+1), 0, []byte("x")))
			}
			return err
		}
	}
	for name, c := range map[string]struct {
		fill  func(*Transaction) error
		voted bool
	}{
		"nothing":                    {func(*Transaction) error { return nil }, true},
		"as many operations as that": {stores(smallOperations), true},
		"one more":                   {stores(smallOperations + 1), false},
		"an undo":                    {func(txn *Transaction) error { return txn.Undo(base) }, false},
		"a restored revision": {func(txn *Transaction) error {
			return txn.Restore(7, base, []byte("x"), 0)
		}, false},
		"more than there is memory": {func(txn *Transaction) error {
			return txn.Store(7, 0, make([]byte, 2001))
		}, false},
		"a blob": {func(txn *Transaction) error {
			return txn.StoreBlob(7, 0, blobRecord, upload(t, s, "b"))
		}, false},
		"a condition and a deletion": {func(txn *Transaction) error {
			return errors.Join(txn.Check(1000, base), txn.Delete(1000, base))
		}, true},
		"what could not be buffered": {func(txn *Transaction) error {
			_ = txn.Store(7, 0, make([]byte, 9001))
			return nil
		}, false},
		"what has voted already": {func(txn *Transaction) error {
			_, err := txn.Vote(t.Context())
			return err
		}, false},
	} {
		txn := New(s.Storage, zodb.TxnMeta{}, Options{Dir: s.buffers, memory: 2000, bytes: 9000})
		must(t, c.fill(txn))
		out, voted, err := txn.VoteNow()
		if err != nil || voted != c.voted || voted != (out != nil) {
			t.Errorf("%s: voted %v, %+v, %v", name, voted, out, err)
		}
		must(t, txn.Abort())
	}
	holds, waits := s.begin(), s.begin()
	vote(t, holds)
	if _, voted, err := waits.VoteNow(); voted || err != nil {
		t.Errorf("it voted while another one held the lock: %v", err)
	}
	must(t, holds.Abort(), waits.Abort())
}

func TestAFinishedTransactionIsOver(t *testing.T) {
	s := open(t)
	txn := s.begin()
	must(t, txn.Store(1, 0, []byte("one")))
	vote(t, txn)
	finish(t, txn)
	must(t, txn.Abort())
	if _, _, err := txn.Finish(t.Context(), false); !errors.Is(err, zodb.ErrTransaction) {
		t.Errorf("finished twice: %v", err)
	}
	s.expect(t, 1, "one")
}

func TestHowMuchIsInMemoryWhereNobodySays(t *testing.T) {
	if got := New(nil, zodb.TxnMeta{}, Options{}).buf.opt.memory; got != 1<<20 {
		t.Errorf("%d bytes", got)
	}
}

// Where the client has to resolve something, it sends everything again: what was resolved here is not reported.
func TestWithAConflictNothingIsReportedAsResolved(t *testing.T) {
	s := open(t)
	first, other := s.commit(t, 1, 0, "old"), s.commit(t, 2, 0, "old")
	s.commit(t, 1, first, "new")
	s.commit(t, 2, other, "new")
	txn := New(s.Storage, zodb.TxnMeta{}, Options{Dir: s.buffers, Resolve: func(_, _, sent []byte) ([]byte, error) {
		if string(sent) == "cannot" {
			return nil, errors.New("no")
		}
		return sent, nil
	}})
	must(t, txn.Store(1, first, []byte("can")), txn.Store(2, other, []byte("cannot")))
	out, err := txn.Vote(t.Context())
	if err != nil || len(out.Conflicts) != 1 || len(out.Changed) > 0 || out.Resolved != 0 {
		t.Errorf("got %+v, %v", out, err)
	}
	must(t, txn.Abort())
}

func TestARestoredRecordThatIsTooLargeIsRefused(t *testing.T) {
	txn := New(open(t).Storage, zodb.TxnMeta{}, Options{bytes: 10})
	var large *tooLargeError
	if err := txn.Restore(1, 1, make([]byte, 11), 0); !errors.As(err, &large) || txn.Broken() == nil {
		t.Errorf("got %v", err)
	}
	must(t, txn.Abort())
}

func TestATransactionThatIsTooLargeIsRefused(t *testing.T) {
	s := open(t)
	for name, opt := range map[string]Options{"bytes": {bytes: 10}, "operations": {operations: 2}} {
		opt.Dir = s.buffers
		txn := New(s.Storage, zodb.TxnMeta{}, opt)
		var err error
		for oid := zodb.Oid(0); oid < 3 && err == nil; oid++ {
			err = txn.Store(oid, 0, []byte("12345"))
		}
		var large *tooLargeError
		if !errors.As(err, &large) || large.what != name {
			t.Errorf("%s: got %v", name, err)
		}
		must(t, txn.Abort())
	}
}

func TestAConflictLeavesTheBufferAndGivesTheLockBack(t *testing.T) {
	s := open(t)
	first := s.commit(t, 1, 0, "old")
	second := s.commit(t, 1, first, "committed")
	txn := s.begin()
	must(t, txn.Store(1, first, []byte("sent")), txn.StoreBlob(2, 0, blobRecord, upload(t, s, "content")))
	out, err := txn.Vote(t.Context())
	must(t, err)
	if len(out.Conflicts) != 1 {
		t.Fatalf("got %+v", out)
	}
	if c := out.Conflicts[0]; c.Oid != 1 || c.Current != second || c.Seen != first || string(c.Sent) != "sent" {
		t.Errorf("got %+v", c)
	}
	third := s.commit(t, 3, 0, "others go on")
	must(t, txn.Store(1, second, []byte("resolved")))
	vote(t, txn)
	tid := finish(t, txn)
	if tid <= third {
		t.Errorf("tid %v is not above %v", tid, third)
	}
	s.expect(t, 1, "resolved")
	s.expectBlob(t, 2, tid, "content")
}

func TestABlobSurvivesAConflictOfItsRecord(t *testing.T) {
	s := open(t)
	txn := s.begin()
	must(t, txn.Store(1, 0, blobRecord), txn.StoreBlob(1, 0, blobRecord, upload(t, s, "one")))
	vote(t, txn)
	first := finish(t, txn)
	s.expectBlob(t, 1, first, "one")

	mine, theirs := s.begin(), s.begin()
	must(t, mine.StoreBlob(1, first, blobRecord, upload(t, s, "mine")),
		theirs.StoreBlob(1, first, blobRecord, upload(t, s, "theirs")))
	vote(t, theirs)
	second := finish(t, theirs)
	out, err := mine.Vote(t.Context())
	must(t, err)
	if len(out.Conflicts) != 1 {
		t.Fatalf("got %+v", out)
	}
	must(t, mine.Store(1, second, blobRecord))
	vote(t, mine)
	s.expectBlob(t, 1, finish(t, mine), "mine")
	s.expectBlob(t, 1, second, "theirs")
}

func TestWhatCanBeResolvedHereIsNotAskedForAndIsReported(t *testing.T) {
	s := open(t)
	first := s.commit(t, 1, 0, "old")
	second := s.commit(t, 1, first, "committed")
	join := func(old, committed, sent []byte) ([]byte, error) {
		return bytes.Join([][]byte{old, committed, sent}, []byte("+")), nil
	}
	txn := New(s.Storage, zodb.TxnMeta{}, Options{Dir: s.buffers, Resolve: join})
	must(t, txn.Store(1, first, []byte("sent")), txn.Store(2, 0, []byte("new")))
	out, err := txn.Vote(t.Context())
	if err != nil || len(out.Conflicts) > 0 || len(out.Changed) != 1 || out.Changed[0] != 1 || out.Resolved != 1 {
		t.Errorf("got %+v, %v", out, err)
	}
	finish(t, txn)
	s.expect(t, 1, "old+committed+sent")

	txn = New(s.Storage, zodb.TxnMeta{}, Options{Dir: s.buffers, Resolve: func(_, _, _ []byte) ([]byte, error) {
		return nil, errors.New("no")
	}})
	must(t, txn.Store(1, second, []byte("sent")))
	out, err = txn.Vote(t.Context())
	if err != nil || len(out.Conflicts) != 1 || out.Resolved != 0 {
		t.Errorf("got %+v, %v", out, err)
	}
	must(t, txn.Abort())
}

func TestConditionsDeletionsAndUndo(t *testing.T) {
	s := open(t)
	first := s.commit(t, 1, 0, "one")
	second := s.commit(t, 1, first, "two")

	stale := s.begin()
	must(t, stale.Check(1, first))
	var conflict *zodb.ConflictError
	if _, err := stale.Vote(t.Context()); !errors.As(err, &conflict) || !conflict.Read {
		t.Errorf("a stale read: got %v", err)
	}
	must(t, stale.Abort())

	back := s.begin()
	must(t, back.Check(1, second), back.Undo(second))
	if changed := vote(t, back); len(changed) != 1 || changed[0] != 1 {
		t.Errorf("undo changed %v", changed)
	}
	third := finish(t, back)
	s.expect(t, 1, "one")

	gone := s.begin()
	must(t, gone.Delete(1, third))
	vote(t, gone)
	finish(t, gone)
	if _, _, err := s.Load(1); err == nil {
		t.Error("still there after its deletion")
	}
}

func TestARestoredTransactionKeepsItsTid(t *testing.T) {
	s := open(t)
	first := s.commit(t, 1, 0, "one")
	tid := first + 1000
	txn := New(s.Storage, zodb.TxnMeta{Tid: tid, Status: zodb.StatusPacked}, Options{Dir: s.buffers})
	must(t, txn.Restore(1, tid, []byte("one"), first), txn.Restore(2, tid, nil, 0))
	vote(t, txn)
	if got := finish(t, txn); got != tid || s.LastTid() != tid {
		t.Errorf("tid %v, want %v", got, tid)
	}
	s.expect(t, 1, "one")

	late := New(s.Storage, zodb.TxnMeta{Tid: first, Status: zodb.StatusCommitted}, Options{Dir: s.buffers})
	if _, err := late.Vote(t.Context()); !errors.Is(err, zodb.ErrTidOrder) {
		t.Errorf("a tid of the past: got %v", err)
	}
	must(t, late.Abort())
}

func TestCallsOutOfOrderAreRefused(t *testing.T) {
	s := open(t)
	txn := s.begin()
	must(t, txn.Store(1, 0, []byte("x")))
	if _, _, err := txn.Finish(t.Context(), true); !errors.Is(err, zodb.ErrTransaction) {
		t.Errorf("finish without vote: got %v", err)
	}
	vote(t, txn)
	if _, err := txn.Vote(t.Context()); !errors.Is(err, zodb.ErrTransaction) {
		t.Errorf("a second vote: got %v", err)
	}
	must(t, txn.Abort())
}

func TestAVoteWaitsForTheLockAndCanBeGivenUp(t *testing.T) {
	s := open(t)
	holder := s.begin()
	must(t, holder.Store(1, 0, []byte("x")))
	vote(t, holder)

	waiting := s.begin()
	must(t, waiting.Store(2, 0, []byte("y")))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := waiting.Vote(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	finish(t, holder)
	vote(t, waiting) // nothing was lost by giving up
	finish(t, waiting)
	s.expect(t, 2, "y")
}

func TestWhatCannotBeRemovedIsNothingToACommit(t *testing.T) {
	s := open(t)
	txn := New(s.Storage, zodb.TxnMeta{}, Options{Dir: s.buffers, memory: 1})
	must(t, txn.Store(1, 0, []byte("spilled")))
	vote(t, txn)
	must(t, txn.buf.spill.f.Close())
	_, c, err := txn.Finish(t.Context(), true)
	if c == nil || err == nil {
		t.Fatalf("got %v, %v", c, err)
	}
	c.Finalize()
	<-c.Done()
	must(t, c.Err())
	s.expect(t, 1, "spilled")
}

func TestABlobThatIsRefusedLeavesNothingBehind(t *testing.T) {
	s := open(t)
	for name, opt := range map[string]Options{"bytes": {bytes: 1}, "operations": {operations: 1}} {
		txn := New(s.Storage, zodb.TxnMeta{}, opt)
		must(t, txn.Check(1, 0))
		var large *tooLargeError
		if err := txn.StoreBlob(2, 0, blobRecord, upload(t, s, "content")); !errors.As(err, &large) {
			t.Errorf("%s: got %v", name, err)
		}
		left, err := os.ReadDir(filepath.Join(s.blobs, "tmp"))
		if err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v, %v", name, left, err)
		}
		must(t, txn.Abort())
	}
}

// The revision that a client started from is looked for under the commit lock, but not far back: a conflict with one of
// long ago costs the others nothing, and its client resolves it.
func TestAConflictWithARevisionOfLongAgoIsLeftToTheClient(t *testing.T) {
	s := open(t)
	serials := []zodb.Tid{s.commit(t, 1, 0, "0")}
	for range filestorage.MaxRecent {
		serials = append(serials, s.commit(t, 1, serials[len(serials)-1], "more"))
	}
	for back, resolved := range map[int]bool{1: true, filestorage.MaxRecent - 1: true, filestorage.MaxRecent: false} {
		asked := false
		txn := New(s.Storage, zodb.TxnMeta{}, Options{Dir: s.buffers, Resolve: func(_, _, sent []byte) ([]byte, error) {
			asked = true
			return sent, nil
		}})
		must(t, txn.Store(1, serials[len(serials)-1-back], []byte("mine")))
		out, err := txn.Vote(t.Context())
		must(t, err)
		if asked != resolved || resolved != (len(out.Conflicts) == 0) {
			t.Errorf("%d revisions back: resolved here %v, conflicts %d", back, asked, len(out.Conflicts))
		}
		must(t, txn.Abort())
	}
	if _, err := s.LoadSerial(1, serials[0]); err != nil { // as the client does
		t.Error(err)
	}
}

// What cannot be kept fails its own call, all after it and the vote, and gives back at once what was kept before.
func TestWhatCannotBeKeptFailsTheVote(t *testing.T) {
	s := open(t)
	for name, spoil := range map[string]func(txn *Transaction) error{
		"no room": func(txn *Transaction) error {
			must(t, txn.Store(9, 0, []byte("spilled")), txn.buf.spill.f.Close()) // each write fails now
			return txn.Store(10, 0, []byte("more"))
		},
		"a record that breaks off": func(txn *Transaction) error {
			_, err := txn.Take(100, strings.NewReader("not so many"))
			return err
		},
		"too large": func(txn *Transaction) error { return txn.Store(1, 0, make([]byte, 1001)) },
	} {
		txn := New(s.Storage, zodb.TxnMeta{}, Options{Dir: s.buffers, memory: 1, bytes: 1000})
		must(t, txn.StoreBlob(2, 0, blobRecord, upload(t, s, "content")))
		err := spoil(txn)
		if err == nil || txn.Broken() == nil || len(txn.buf.ops) > 0 || txn.buf.spill != nil {
			t.Errorf("%s: %v, and it holds %d operations", name, err, len(txn.buf.ops))
		}
		cause := txn.Broken()
		for _, err := range []error{
			txn.Store(3, 0, []byte("small")), txn.StoreBlob(4, 0, blobRecord, upload(t, s, "content")),
			txn.Check(3, 0), txn.StoreRecord(5, 0, Record{}), txn.Restore(6, 1, nil, 0),
		} {
			if !errors.Is(err, cause) {
				t.Errorf("%s: after it: %v", name, err)
			}
		}
		if _, voted, err := txn.VoteNow(); voted || err != nil {
			t.Errorf("%s: voted at once: %v", name, err)
		}
		if _, err := txn.Vote(t.Context()); !errors.Is(err, cause) {
			t.Errorf("%s: the vote: %v", name, err)
		}
		must(t, txn.Abort())
		if txn.Broken() != nil || s.LastTid() != 0 {
			t.Errorf("%s: after the abort: %v, last %v", name, txn.Broken(), s.LastTid())
		}
	}
}
