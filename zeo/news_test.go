package zeo

import (
	"errors"
	"io/fs"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

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
	s := offer(t, st, Options{}, StorageOptions{})
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
}

// commitBeside commits oid 2 without a client, and calls f before it is visible.
func commitBeside(t *testing.T, st *filestorage.Storage, f func()) zodb.Tid {
	t.Helper()
	txn, err := st.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	if err := txn.Store(2, 0, []byte("beside")); err != nil {
		t.Fatal(err)
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
