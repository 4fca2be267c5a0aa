package zeo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

func inv(tid zodb.Tid, oids int) filestorage.Invalidation {
	return filestorage.Invalidation{Tid: tid, Oids: make([]zodb.Oid, oids)}
}

func TestNewsAreBoundedAndThenRead(t *testing.T) {
	for name, add := range map[string]func(*news){
		"not told": func(n *news) { n.add(nil, false) },
		"too many transactions": func(n *news) {
			for i := range maxTold { // and the one before
				n.add([]filestorage.Invalidation{inv(zodb.Tid(i), 1)}, false)
			}
		},
		"too many objects": func(n *news) { n.add([]filestorage.Invalidation{inv(1, maxToldOids+1)}, false) },
	} {
		n := &news{there: make(chan struct{}, 1)}
		n.add([]filestorage.Invalidation{inv(0, 1)}, false)
		add(n)
		if batch, unread := n.next(); len(batch) > 0 || !unread {
			t.Errorf("%s: %d transactions, to be read: %v", name, len(batch), unread)
		}
		n.read(false)
		n.add([]filestorage.Invalidation{inv(1<<60, 1)}, false)
		n.done(1<<60 - 1)
		if batch, unread := n.next(); len(batch) != 1 || batch[0].Tid != 1<<60 || unread {
			t.Errorf("%s: then %v, to be read: %v", name, batch, unread)
		}
	}
}

func TestNewsAreTakenInBatches(t *testing.T) {
	n := &news{there: make(chan struct{}, 1)}
	for i := range zodb.Tid(maxBatch + 1) {
		n.add([]filestorage.Invalidation{inv(i, 1)}, false)
	}
	n.add([]filestorage.Invalidation{inv(1000, maxBatchOids), inv(1001, 1)}, false)
	var sizes []int
	for {
		batch, unread := n.next()
		if unread {
			t.Fatal("to be read")
		}
		if len(batch) == 0 {
			break
		}
		sizes = append(sizes, len(batch))
		n.done(batch[len(batch)-1].Tid)
	}
	if len(sizes) != 3 || sizes[0] != maxBatch || sizes[1] != 2 || sizes[2] != 1 || n.oids != 0 {
		t.Errorf("batches of %v, %d oids left", sizes, n.oids)
	}
}

// A shaky is a disk whose reads fail while it is told so.
type shaky struct {
	vfs.FS
	broken atomic.Bool
	failed chan struct{} // one slot
}

func (d *shaky) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := d.FS.OpenFile(path, flag, perm)
	return shakyFile{f, d}, err
}

type shakyFile struct {
	vfs.File
	d *shaky
}

func (f shakyFile) ReadAt(b []byte, at int64) (int, error) {
	if f.d.broken.Load() {
		select {
		case f.d.failed <- struct{}{}:
		default:
		}
		return 0, &fs.PathError{Op: "read", Path: f.Name(), Err: syscall.EIO}
	}
	return f.File.ReadAt(b, at)
}

// What somebody else commits, as replication does, is read from the file. A read that fails cuts the clients off, who
// hear of everything when they come again, and the server goes on by itself.
func TestNewsThatCannotBeReadAreReadLater(t *testing.T) {
	disk := &shaky{FS: simdisk.New(), failed: make(chan struct{}, 1)}
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var log bytes.Buffer
	s := offer(t, st, Options{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})}, StorageOptions{})
	defer s.stop()
	p, _ := s.register(t)
	p.commit(1, 0, "one")
	tid := commitBeside(t, st, func() { disk.broken.Store(true) })
	p.cut()
	<-disk.failed
	disk.broken.Store(false)
	q := s.dial(t, wire.Z5)
	q.call("register", "1", false)
	s.until(t, "what was committed is visible", func() (there bool) {
		s.storage("1").view(func(visible zodb.Tid) { there = visible == tid })
		return there
	})
	if data, found := q.current(2); data != "beside" || found != tid {
		t.Errorf("there is %q of %v", data, found)
	}
	q.commit(3, 0, "goes on")
	s.stop()
	for _, text := range []string{"clients are disconnected", "works again"} {
		if n := strings.Count(log.String(), text); n != 1 {
			t.Errorf("%q is in the log %d times:\n%s", text, n, log.String())
		}
	}
}

// commitBeside commits oid 2 without a client, and calls f before it is visible.
func commitBeside(t *testing.T, st *filestorage.Storage, f func()) zodb.Tid {
	t.Helper()
	txn, err := st.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	serial := zodb.Tid(0)
	if _, last, err := st.Load(2); err == nil {
		serial = last
	}
	if err := txn.Store(2, serial, []byte("beside")); err != nil {
		t.Fatal(errors.Join(err, txn.Abort()))
	}
	tid, err := txn.Finish(t.Context(), func(zodb.Tid) { f() })
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

// What clients commit is announced without the file, so that a disk that cannot read now does not matter to it.
func TestWhatClientsCommitIsAnnouncedFromMemory(t *testing.T) {
	disk := &shaky{FS: simdisk.New(), failed: make(chan struct{}, 1)}
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	s := offer(t, st, Options{}, StorageOptions{})
	defer s.stop()
	p, _ := s.register(t)
	other, _ := s.register(t)
	disk.broken.Store(true)
	tid := p.commit(1, 0, strings.Repeat("x", 100))
	for {
		m := other.receive()
		if m.Method != "invalidateTransaction" {
			continue
		}
		args, _ := m.Args.(pickle.Tuple)
		if got := tidIn(t, args[0]); got != tid {
			t.Errorf("invalidation of %v, want %v", got, tid)
		}
		break
	}
	select {
	case <-disk.failed:
		t.Error("something was read")
	default:
	}
	disk.broken.Store(false)
	if err := errors.Join(p.conn.Close(), other.conn.Close()); err != nil {
		t.Error(err)
	}
}

// unfollowed is a storage as it is served, without anybody who follows it.
func unfollowed(t *testing.T, st *filestorage.Storage, clients ...*client) *storage {
	t.Helper()
	s := &storage{
		name: "1", st: st, log: hclog.NewNullLogger(), keep: 10_000, news: news{there: make(chan struct{}, 1)},
		announced: make(chan struct{}, 1), moved: make(chan struct{}), clients: make(map[*client]struct{}),
		pendingFinishes: make(map[zodb.Tid]pendingFinish),
	}
	for _, c := range clients {
		s.clients[c] = struct{}{}
	}
	return s
}

// listener is a client of which only what it is sent matters.
func listener() *client {
	codec, _ := wire.CodecFor(wire.Z5)
	return &client{codec: codec, out: newOutbox(nil, func() {}, 1<<30)}
}

// toldOf returns of which transactions a client was told, in that order.
func (c *client) toldOf(t *testing.T) (tids []zodb.Tid) {
	t.Helper()
	for r := bytes.NewReader(c.out.waiting); r.Len() > 0; {
		b, err := wire.Read(r, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.codec.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		args, _ := m.Args.(pickle.Tuple)
		tids = append(tids, tidIn(t, args[0]))
	}
	return tids
}

func awake(s *storage) bool { return len(s.news.there) > 0 }

// A committer that announces its own transaction leaves to the follower what it would have to wait for: transactions
// that are to be read, which come first; transactions that clients may not see yet; and everything while somebody else
// announces. It announces all the rest.
func TestACommitterLeavesTheRestToTheFollower(t *testing.T) {
	cleared := errors.New("not yet")
	for _, c := range []struct {
		name   string
		before func(*storage)
		told   []zodb.Tid
		left   bool
	}{
		{"its own", func(*storage) {}, []zodb.Tid{5}, false},
		{"another one after it", func(s *storage) {
			s.news.add([]filestorage.Invalidation{inv(6, 1)}, true)
		}, []zodb.Tid{5, 6}, false},
		{"others before it", func(s *storage) { s.news.unread = true }, nil, true},
		{"others only", func(s *storage) { s.news.told, s.news.unread = nil, true }, nil, true},
		{"not cleared", func(s *storage) {
			s.opt.AwaitCommitted = func(context.Context, zodb.Tid) error { return cleared }
		}, nil, true},
		{"cleared no more", func(s *storage) {
			asked := 0
			s.opt.AwaitCommitted = func(context.Context, zodb.Tid) error {
				if asked++; asked > 1 {
					return cleared
				}
				return nil
			}
		}, nil, true},
		{"somebody else announces", func(s *storage) { s.telling.Lock() }, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			other := listener()
			s := unfollowed(t, nil, other)
			s.news.add([]filestorage.Invalidation{inv(5, 1)}, true)
			if awake(s) {
				t.Error("the follower is woken for what a committer announces")
			}
			c.before(s)
			s.announceHere(nil)
			if got := other.toldOf(t); !slices.Equal(got, c.told) {
				t.Errorf("told of %v, want %v", got, c.told)
			}
			if awake(s) != c.left {
				t.Errorf("left to the follower: %v", awake(s))
			}
		})
	}
}

// What others have committed is read to the end of the storage, in as many steps as it takes, and announced before
// what clients have committed after it. Once it is announced nothing of it comes again.
func TestManyTransactionsOfOthersAreAnnouncedInOrder(t *testing.T) {
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: simdisk.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	other := listener()
	s := unfollowed(t, st, other)
	defer st.Watch(s.news.add)()
	var want []zodb.Tid
	for range 2 * maxBatch {
		want = append(want, commitBeside(t, st, func() {}))
	}
	s.news.add([]filestorage.Invalidation{inv(1<<60, 1)}, false)
	if err := s.announceNews(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := other.toldOf(t); !slices.Equal(got, append(want, 1<<60)) {
		t.Errorf("told of %d transactions, want %d", len(got), len(want)+1)
	}
	if batch, unread := s.news.next(); len(batch) > 0 || unread {
		t.Errorf("there are still %v, to be read: %v", batch, unread)
	}
}

// listed are transactions of some objects each.
type listed struct {
	zodb.Iterator
	txns []listedTxn
	at   int
}

type listedTxn struct {
	meta zodb.TxnMeta
	oids []zodb.Oid
}

func (l *listed) Next(context.Context) (zodb.Transaction, error) {
	if l.at == len(l.txns) {
		return nil, io.EOF
	}
	l.at++
	return &l.txns[l.at-1], nil
}

func (l *listedTxn) Meta() *zodb.TxnMeta { return &l.meta }

func (l *listedTxn) NextRecord() (*zodb.Record, error) {
	if len(l.oids) == 0 {
		return nil, io.EOF
	}
	oid := l.oids[0]
	l.oids = l.oids[1:]
	return &zodb.Record{Oid: oid, Data: strings.NewReader("")}, nil
}

// What is read is gathered in batches that are bounded as those of news are; transactions that were undone by a pack
// of old are not announced; an object that a transaction has changed twice is in it once.
func TestWhatIsReadIsGatheredInBatches(t *testing.T) {
	many := func(n int) (oids []zodb.Oid) {
		for i := range n {
			oids = append(oids, zodb.Oid(i))
		}
		return oids
	}
	l := &listed{}
	add := func(status zodb.Status, oids []zodb.Oid) {
		l.txns = append(l.txns, listedTxn{zodb.TxnMeta{Tid: zodb.Tid(len(l.txns) + 1), Status: status}, oids})
	}
	for range maxBatch {
		add(zodb.StatusCommitted, []zodb.Oid{7, 7})
	}
	add(zodb.StatusUndone, []zodb.Oid{7})
	add(zodb.StatusCommitted, many(maxBatchOids-1))
	add(zodb.StatusCommitted, many(1))
	add(zodb.StatusCommitted, many(1))
	var sizes []int
	var err error
	for err == nil {
		var batch []filestorage.Invalidation
		batch, err = gather(t.Context(), l, maxTid)
		sizes = append(sizes, len(batch))
		if len(batch) == maxBatch && len(batch[0].Oids) != 1 {
			t.Errorf("the objects of one are %v", batch[0].Oids)
		}
	}
	if !errors.Is(err, io.EOF) || !slices.Equal(sizes, []int{maxBatch, 2, 1}) {
		t.Errorf("batches of %v, %v", sizes, err)
	}
}

// A counting disk knows how many of its files are open.
type counting struct {
	vfs.FS
	open atomic.Int64
}

func (d *counting) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := d.FS.OpenFile(path, flag, perm)
	if err == nil {
		d.open.Add(1)
	}
	return &countedFile{f, d}, err
}

type countedFile struct {
	vfs.File
	d *counting
}

func (f *countedFile) Close() error {
	f.d.open.Add(-1)
	return f.File.Close()
}

// Whoever reads news lets the file go: one that a pack has replaced must not stay open, which would keep its room.
func TestReadNewsLetTheFileGo(t *testing.T) {
	disk := &counting{FS: simdisk.New()}
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	s := unfollowed(t, st)
	first := commitBeside(t, st, func() {})
	second := commitBeside(t, st, func() {})
	open := disk.open.Load()
	s.news.add(nil, false)
	if err := s.announceNews(t.Context()); err != nil || s.visible != second {
		t.Fatalf("%v, visible is %v", err, s.visible)
	}
	if r, err := st.Pack(t.Context(), second, filestorage.PackOptions{}); err != nil || !r.Packed {
		t.Fatalf("packed %v, %v, after %v", r.Packed, err, first)
	}
	if n := disk.open.Load(); n != open {
		t.Errorf("%d files are open, and %d before", n, open)
	}
}
