package zeo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// As of a transaction, a storage answers every question as the file did that ended with that transaction, whatever was
// committed, undone, deleted or packed since. Files of every kind that Python wrote are asked everything about, each as
// of each of its transactions, and compared with the file cut off there.
func TestAMomentAnswersAsTheFileThatEndedThere(t *testing.T) {
	names, err := fs.Glob(os.DirFS(filepath.Join("..", "testdata", "filestorage")), "*/Data.fs")
	if err != nil || len(names) < 20 {
		t.Fatalf("%d fixtures, %v", len(names), err)
	}
	moments := 0
	for _, name := range names {
		dir := filepath.Dir(name)
		if unopenable[dir] {
			continue
		}
		t.Run(dir, func(t *testing.T) {
			whole := readOnly(t, copied(t, dir))
			every := transactions(t, whole)
			for _, tid := range some(every, 8) {
				m, err := whole.MomentAt(t.Context(), tid)
				if packed := (*filestorage.MomentPackedError)(nil); errors.As(err, &packed) {
					continue
				}
				if err != nil || m.Tid != tid {
					t.Fatalf("%v: %+v, %v", tid, m, err)
				}
				there := copied(t, dir)
				if err := os.Truncate(filepath.Join(there, "Data.fs"), m.Size); err != nil {
					t.Fatal(err)
				}
				cut := offer(t, readOnly(t, there), Options{}, StorageOptions{Access: ReadOnly})
				as := offer(t, whole, Options{}, StorageOptions{Access: ReadOnly, Moment: &m})
				compareAnswers(t, as, cut, every)
				moments++
			}
		})
	}
	if moments < 40 {
		t.Errorf("only %d moments were compared", moments)
	}
}

// copied returns a folder with a copy of a fixture, without its index.
func copied(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "testdata", "filestorage", name))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "Data.fs.index")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return dir
}

func readOnly(t *testing.T, dir string) *filestorage.Storage {
	t.Helper()
	blobs, err := blobstore.Open(filepath.Join(dir, "blobs"), blobstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := filestorage.Open(t.Context(), filepath.Join(dir, "Data.fs"), filestorage.Options{Blobs: blobs,
		ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func transactions(t *testing.T, st *filestorage.Storage) (tids []zodb.Tid) {
	t.Helper()
	for txn, err := range st.Transactions(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if txn.Meta().Status != zodb.StatusUndone {
			tids = append(tids, txn.Meta().Tid)
		}
	}
	return tids
}

// some returns most of them at most, the first and the last among them.
func some(tids []zodb.Tid, most int) (list []zodb.Tid) {
	for i := range min(most, len(tids)) {
		list = append(list, tids[i*(len(tids)-1)/max(min(most, len(tids))-1, 1)])
	}
	return list
}

// compareAnswers asks both everything that a reader can ask.
func compareAnswers(t *testing.T, as, cut *site, tids []zodb.Tid) {
	t.Helper()
	one, other := as.dial(t, wire.M5), cut.dial(t, wire.M5)
	same := func(method string, args ...pickle.Value) pickle.Value {
		t.Helper()
		a, b := one.answer(one.send(0, method, args...)), other.answer(other.send(0, method, args...))
		if a.Flag != b.Flag || !reflect.DeepEqual(a.Args, b.Args) {
			t.Errorf("%s%v: as of the moment %.300s, in the cut file %.300s", method, args, fmt.Sprint(a.Flag, a.Args),
				fmt.Sprint(b.Flag, b.Args))
		}
		return b.Args
	}
	same("register", "1", true)
	for _, method := range []string{"get_info", "lastTransaction", "ping"} {
		same(method)
	}
	same("undoLog", int64(0), int64(-1000))
	same("undoInfo", int64(0), int64(-1000))
	var oids []zodb.Oid
	iterate(&caller{as.reader(t), map[string]bool{}}, func(oid zodb.Oid, _ zodb.Tid) { oids = append(oids, oid) })
	for oid, ok := as.st.NextOid(0); ok; oid, ok = as.st.NextOid(oid + 1) {
		oids = append(oids, oid)
	}
	slices.Sort(oids)
	same("record_iternext", nil)
	for _, oid := range slices.Compact(append(oids, 1<<50)) {
		same("getTid", oidValue(oid))
		same("history", oidValue(oid), int64(1000))
		same("record_iternext", oidValue(oid))
		for _, tid := range append(slices.Clone(tids), maxTid) {
			same("loadBefore", oidValue(oid), tidValue(tid))
			same("loadSerial", oidValue(oid), tidValue(tid))
			same("sendBlob", oidValue(oid), tidValue(tid))
		}
	}
	for _, tid := range tids {
		same("getInvalidations", tidValue(tid))
	}
	sameTransactions(t, as, cut)
}

func (s *site) reader(t *testing.T) *peer {
	t.Helper()
	p := s.dial(t, wire.Z5)
	p.call("register", "1", true)
	return p
}

func sameTransactions(t *testing.T, as, cut *site) {
	t.Helper()
	var lists [2][]string
	for i, s := range []*site{as, cut} {
		iterate(&caller{s.reader(t), map[string]bool{}}, func(oid zodb.Oid, tid zodb.Tid) {
			lists[i] = append(lists[i], fmt.Sprint(oid, tid))
		})
	}
	if !slices.Equal(lists[0], lists[1]) {
		t.Errorf("iterated as of the moment: %v, in the cut file: %v", lists[0], lists[1])
	}
}
