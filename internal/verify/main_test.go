package verify

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const fixtures = "../../testdata/filestorage"

// pickled returns the record of an object without references, with so many bytes of random content.
func pickled(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(random.IntN(26))
	}
	return fmt.Appendf(nil, "cpersistent.mapping\nPersistentMapping\n.(dS'data'\nS'%s'\ns.", b)
}

// A site is a storage for tests.
type site struct {
	t    *testing.T
	disk vfs.FS
	path string
	st   *filestorage.Storage
	rand *rand.Rand
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func newSite(t *testing.T, disk vfs.FS, path string) *site {
	t.Helper()
	s := &site{t: t, disk: disk, path: path, rand: newRand()}
	s.open()
	return s
}

func (s *site) open() {
	s.t.Helper()
	var err error
	if s.st, err = filestorage.Open(s.t.Context(), s.path, filestorage.Options{FS: s.disk}); err != nil {
		s.t.Fatal(err)
	}
}

// close closes the storage.
func (s *site) close() *site {
	s.t.Helper()
	if err := s.st.Close(); err != nil {
		s.t.Fatal(err)
	}
	return s
}

// commit stores each of the objects again, with n bytes, in one transaction.
func (s *site) commit(n int, oids ...zodb.Oid) zodb.Tid {
	s.t.Helper()
	txn, err := s.st.Begin(s.t.Context(), &zodb.TxnMeta{User: []byte("user"), Description: []byte("a description")})
	for _, oid := range oids {
		_, serial, e := txn.Current(oid)
		if missing := (*zodb.POSKeyError)(nil); errors.As(e, &missing) {
			e = nil
		}
		err = errors.Join(err, e, txn.Store(oid, serial, pickled(s.rand, n)))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	tid, err := txn.Finish(s.t.Context(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return tid
}

// grow commits n transactions of objects 0 to 9.
func (s *site) grow(n int) {
	s.t.Helper()
	for i := range n {
		s.commit(1000+37*i%900, zodb.Oid(i%10), zodb.Oid((i+3)%10))
	}
}

func (s *site) undo(tid zodb.Tid) {
	s.t.Helper()
	txn, err := s.st.Begin(s.t.Context(), &zodb.TxnMeta{})
	if err == nil {
		_, err = txn.Undo(s.t.Context(), tid)
	}
	if err == nil {
		_, err = txn.Finish(s.t.Context(), nil)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// kept returns the chain of the file as it is.
func (s *site) kept() func() (state.Chain, error) {
	s.t.Helper()
	l := hashchain.Keep(s.st, hashchain.Options{})
	defer l.Close()
	for l.Status().Behind > 0 || !l.Status().Known {
		if runtime.Gosched(); s.t.Context().Err() != nil {
			s.t.Fatal("the chain was not read to its end")
		}
	}
	c := l.Kept()
	return func() (state.Chain, error) { return c, nil }
}

// flip changes one bit of a file, and returns what takes that back.
func (s *site) flip(path string, at int64, bit int) (back func()) {
	s.t.Helper()
	change := func() {
		f, err := s.disk.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			s.t.Fatal(err)
		}
		var b [1]byte
		_, err = f.ReadAt(b[:], at)
		if err == nil {
			b[0] ^= 1 << bit
			_, err = f.WriteAt(b[:], at)
		}
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			s.t.Fatal(err)
		}
	}
	change()
	return change
}

func runPass(t *testing.T, opt Options) *Pass {
	t.Helper()
	r, err := Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.Findings {
		t.Log(r.Findings[i].String())
	}
	return r
}

func sound(t *testing.T, r *Pass) {
	t.Helper()
	if r.Damages > 0 || r.Success != 1 || r.Failure != 0 || r.Error != nil {
		t.Fatalf("damage in a sound file: %s", r.Text())
	}
}

// names returns the files below a folder of the real disk, with their content.
func names(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// changedNames returns what is new, other or gone.
func changedNames(before, after map[string]string) (changed []string) {
	for name, content := range after {
		if was, there := before[name]; !there || was != content {
			changed = append(changed, filepath.Base(name))
		}
	}
	for name := range maps.Keys(before) {
		if _, there := after[name]; !there {
			changed = append(changed, "gone: "+filepath.Base(name))
		}
	}
	slices.Sort(changed)
	return changed
}

func kindsOf(r *Pass) (kinds []check.Kind) { return slices.Sorted(maps.Keys(r.Kinds)) }
