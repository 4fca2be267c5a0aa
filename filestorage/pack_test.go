package filestorage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

const forever = zodb.Tid(1<<63 - 1)

// toPack returns a storage with a root that refers to oid 1, which has two revisions, and with garbage as oid 2.
func toPack(tb testing.TB, opt Options) *Storage {
	tb.Helper()
	s := emptyStorage(tb, opt)
	commit(tb, s, 0, 0, "root|1")
	first := commit(tb, s, 1, 0, "old")
	commit(tb, s, 1, first, "new")
	commit(tb, s, 2, 0, "garbage")
	return s
}

func toyOptions() PackOptions { return PackOptions{GC: true, References: toyReferences} }

func mustPack(tb testing.TB, s *Storage, stop zodb.Tid, opt PackOptions) PackResult {
	tb.Helper()
	r, err := s.Pack(tb.Context(), stop, opt)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// With garbage collection an object without a way to it from the root is dropped, without it is kept; old revisions
// are dropped by both, and nothing is lost by opening the file again, with its index or without.
func TestPackDrops(t *testing.T) {
	for _, gc := range []bool{true, false} {
		s := toPack(t, Options{})
		opt := toyOptions()
		opt.GC = gc
		last := s.LastTid()
		r := mustPack(t, s, forever, opt)
		objects, garbage := 3, "garbage"
		if gc {
			objects, garbage = 2, ""
		}
		if !r.Packed || r.Objects != objects || r.After != s.Size() || r.Before <= r.After || s.LastTid() != last {
			t.Errorf("gc %v: %+v, last tid %v, size %d", gc, r, s.LastTid(), s.Size())
		}
		check := func(s *Storage) {
			expectState(t, s, 0, "root|1")
			expectState(t, s, 1, "new")
			expectState(t, s, 2, garbage)
			if h, err := s.History(1, 9); err != nil || len(h) != 1 {
				t.Errorf("history %v, %v", h, err)
			}
		}
		check(s)
		commit(t, s, 3, 0, "after")
		s = reopen(t, s)
		check(s)
		checkIndexAgainstFile(t, "packed", s)
		if exists(s.Path()+".old") || exists(s.Path()+".pack") {
			t.Error("there are left-overs")
		}
	}
}

// A pack to a time keeps all that came after it, and what was current then.
func TestPackToATime(t *testing.T) {
	s := emptyStorage(t, Options{})
	commit(t, s, 0, 0, "root|1")
	var tids []zodb.Tid
	tid := zodb.Tid(0)
	for i := range 5 {
		tid = commit(t, s, 1, tid, fmt.Sprint(i))
		tids = append(tids, tid)
	}
	mustPack(t, s, tids[2], toyOptions())
	h, err := s.History(1, 9)
	if err != nil || len(h) != 3 || h[2].Tid != tids[2] {
		t.Errorf("history %v, %v", h, err)
	}
	mustUndo(t, s, tids[4], tids[3])
	expectState(t, s, 1, "2")
}

// What was packed already is not packed again, and a file from which nothing would be dropped stays what it is.
func TestPackOfNothing(t *testing.T) {
	s := emptyStorage(t, Options{})
	if r := mustPack(t, s, forever, PackOptions{}); r.Packed {
		t.Error("an empty storage was packed")
	}
	first := commit(t, s, 0, 0, "root|1")
	second := commit(t, s, 1, 0, "state")
	for _, stop := range []zodb.Tid{first - 1, first, second} {
		if r := mustPack(t, s, stop, PackOptions{}); r.Packed {
			t.Errorf("packed to %v: %+v", stop, r)
		}
	}
	changed := commit(t, s, 1, second, "changed")
	if r := mustPack(t, s, changed, toyOptions()); !r.Packed {
		t.Error("not packed")
	}
	if r := mustPack(t, s, changed, toyOptions()); r.Packed {
		t.Error("packed twice to one time")
	}
	if exists(s.Path() + ".pack") {
		t.Error("there are left-overs")
	}
}

// A pack that cannot be done leaves everything as it is, and says what is in its way.
func TestPackRefuses(t *testing.T) {
	unparsable := errors.New("no pickle")
	none := func([]byte, []zodb.Oid) ([]zodb.Oid, error) { return nil, unparsable }
	var record *RecordError
	var dangling *DanglingError
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	for name, c := range map[string]struct {
		prepare func(*Storage) // and what it commits
		stop    zodb.Tid
		opt     PackOptions
		want    func(error) bool
	}{
		"no time": {stop: 0, want: func(err error) bool { return strings.Contains(err.Error(), "pack time") }},
		"unparsable record": {
			stop: forever,
			opt:  PackOptions{GC: true, References: none},
			want: func(err error) bool {
				return errors.As(err, &record) && record.Oid == 0 && record.Pos == 27 && errors.Is(err, unparsable)
			},
		},
		"no pickle": {
			stop: forever, opt: PackOptions{GC: true},
			want: func(err error) bool { return errors.As(err, &record) && record.Pos == 27 },
		},
		"a broken record, and who refers to it": {
			prepare: func(s *Storage) {
				commit(t, s, 0, s.mustTid(t, 0), "root|901")
				commit(t, s, 901, 0, "one|902")
				commit(t, s, 902, 0, "broken")
			},
			stop: forever,
			opt: PackOptions{GC: true, References: func(b []byte, oids []zodb.Oid) ([]zodb.Oid, error) {
				if string(b) == "broken" {
					return oids, unparsable
				}
				return toyOptions().References(b, oids)
			}},
			want: func(err error) bool {
				return errors.As(err, &record) && record.Oid == 902 && record.From == 901 && record.FromPos > 0 &&
					strings.Contains(err.Error(), "oid 0000000000000385 refers to it")
			},
		},
		"dangling reference": {
			prepare: func(s *Storage) { commit(t, s, 0, s.mustTid(t, 0), "root|1|77") },
			stop:    forever, opt: toyOptions(),
			want: func(err error) bool { return errors.As(err, &dangling) && dangling.Oid == 77 && dangling.From == 0 },
		},
		"no root": {
			prepare: func(s *Storage) {
				txn := mustBegin(t, s, &zodb.TxnMeta{})
				if err := txn.Delete(0, s.mustTid(t, 0)); err != nil {
					t.Fatal(err)
				}
				mustFinish(t, txn)
			},
			stop: forever, opt: toyOptions(),
			want: func(err error) bool { return errors.As(err, &dangling) && dangling.Oid == 0 && dangling.Pos == 0 },
		},
		"closed": {prepare: func(s *Storage) { s.Close() }, stop: forever, want: is(zodb.ErrClosed)},
	} {
		t.Run(name, func(t *testing.T) {
			s := toPack(t, Options{})
			if c.prepare != nil {
				c.prepare(s)
			}
			before := mustRead(t, s.Path())
			if r, err := s.Pack(t.Context(), c.stop, c.opt); err == nil || r.Packed || !c.want(err) {
				t.Fatalf("%+v, %v", r, err)
			}
			if !bytes.Equal(mustRead(t, s.Path()), before) || exists(s.Path()+".pack") {
				t.Error("something was changed")
			}
		})
	}
	s := toPack(t, Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, s.Path(), Options{ReadOnly: true})
	if _, err := s.Pack(t.Context(), forever, toyOptions()); !errors.Is(err, zodb.ErrReadOnly) {
		t.Error(err)
	}
}

func (s *Storage) mustTid(tb testing.TB, oid zodb.Oid) zodb.Tid {
	tb.Helper()
	_, tid, err := s.Load(oid)
	if err != nil {
		tb.Fatal(err)
	}
	return tid
}

// A pack can be given up in every phase; the old file stays, and another pack can be done. There is one at a time.
func TestPackIsGivenUp(t *testing.T) {
	for _, phase := range []string{packScan, packMark, packCopy} {
		t.Run(phase, func(t *testing.T) {
			s := toPack(t, Options{Blobs: openBlobs(t, filepath.Join(t.TempDir(), "blobs"))})
			before := mustRead(t, s.Path())
			enough := errors.New("enough")
			ctx, cancel := context.WithCancelCause(t.Context())
			opt := toyOptions()
			opt.Progress = func(p PackProgress) {
				if p.Phase != phase {
					return
				}
				if _, err := s.Pack(ctx, forever, opt); !errors.Is(err, ErrPacking) {
					t.Errorf("a second pack: %v", err)
				}
				cancel(enough)
			}
			if r, err := s.Pack(ctx, forever, opt); !errors.Is(err, enough) || r.Packed {
				t.Fatal(r, err)
			}
			if !bytes.Equal(mustRead(t, s.Path()), before) || exists(s.Path()+".pack") {
				t.Error("something was changed")
			}
			opt.Progress = nil
			if r := mustPack(t, s, forever, opt); !r.Packed {
				t.Error("not packed")
			}
		})
	}
}

// What forbids a pack may become known while it runs.
func TestAPackThatIsRefusedLateChangesNothing(t *testing.T) {
	s := toPack(t, Options{})
	refusal, asked := errors.New("damage is known"), 0
	for _, last := range []int{1, 2} {
		opt, before := toyOptions(), s.Size()
		asked = 0
		opt.Refuse = func() error {
			if asked++; asked == last {
				return refusal
			}
			return nil
		}
		if r, err := s.Pack(t.Context(), forever, opt); !errors.Is(err, refusal) || r.Packed || s.Size() != before {
			t.Errorf("refused when asked %d times: %+v, %v", last, r, err)
		}
		if exists(s.Path()+".old") || exists(s.Path()+".pack") {
			t.Error("there are left-overs")
		}
	}
	mustPack(t, s, forever, toyOptions())
}

// Close ends a pack that is under way, and waits for it.
func TestCloseEndsAPack(t *testing.T) {
	s := toPack(t, Options{})
	closing := make(chan error, 1)
	opt := toyOptions()
	opt.Progress = func(p PackProgress) {
		if p.Phase == packMark && p.Done == 0 {
			go func() { closing <- s.Close() }()
			<-s.closed
		}
	}
	if _, err := s.Pack(t.Context(), forever, opt); !errors.Is(err, zodb.ErrClosed) {
		t.Error(err)
	}
	if err := <-closing; err != nil {
		t.Error(err)
	}
}

// The disk must have room for the new file beforehand; when it fails all the same, the pack ends and commits go on.
func TestPackNeedsSpace(t *testing.T) {
	st := newStage(t, story{prepare: packable})
	defer st.end()
	st.disk.SetCapacity(usedBytes(t, st.disk) + 1000)
	var space *SpaceError
	if _, err := st.s.Pack(t.Context(), 10000, toyOptions()); !errors.As(err, &space) || space.Need <= space.Free {
		t.Error(err)
	}
	st.disk.SetCapacity(0)
	for _, kind := range []simdisk.Kind{simdisk.Write, simdisk.Sync, simdisk.Rename, simdisk.Create} {
		st.disk.FailWhen(func(op simdisk.Op) error {
			if op.Kind == kind && strings.HasPrefix(op.Path, "db/Data.fs.pack") {
				return syscall.ENOSPC
			}
			return nil
		})
		if r, err := st.s.Pack(t.Context(), 10000, toyOptions()); !errors.Is(err, syscall.ENOSPC) || r.Packed {
			t.Errorf("%v: %+v, %v", kind, r, err)
		}
		st.disk.Heal()
		if _, err := st.disk.Stat("db/Data.fs.pack"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v: the new file: %v", kind, err)
		}
		st.commit(2, "goes on", "")
	}
	if r := mustPack(t, st.s, 10000, toyOptions()); !r.Packed || st.err != nil {
		t.Error(r, st.err)
	}
}

// An undo that is committed while a pack is under way may point back to what the pack has dropped already: it keeps
// the data. One that comes after it, and one that points to what is kept, are what they were.
func TestUndoDuringAPack(t *testing.T) {
	s := emptyStorage(t, Options{})
	commit(t, s, 0, 0, "root|1|2")
	oldest := commit(t, s, 1, 0, "oldest")
	older := commit(t, s, 1, oldest, "older")
	other := commit(t, s, 2, 0, "other")
	stop := commit(t, s, 1, older, "current")
	later := commit(t, s, 2, other, "later")
	opt := toyOptions()
	var undone zodb.Tid
	opt.Progress = func(p PackProgress) {
		if p.Phase == packCopy && undone == 0 {
			undone = mustUndo(t, s, stop)
			mustUndo(t, s, later)
			mustUndo(t, s, undone)
		}
	}
	if r := mustPack(t, s, stop, opt); !r.Packed {
		t.Fatal("not packed")
	}
	for range 2 {
		expectState(t, s, 1, "current")
		expectState(t, s, 2, "other")
		if data, err := s.LoadSerial(1, undone); err != nil || string(data) != "older" {
			t.Errorf("%q, %v", data, err)
		}
		checkIndexAgainstFile(t, "packed", s)
		if list := contents(t, s); len(list) != 7 {
			t.Errorf("%d records:\n%s", len(list), lines(list))
		}
		s = reopen(t, s)
	}
}

// The last transaction up to the pack time stays, if need be without records: the last tid never goes back, and where a
// pack has dropped others, one with status 'p' follows.
func TestPackKeepsTheLastTid(t *testing.T) {
	s := toPack(t, Options{})
	last := s.LastTid()
	mustPack(t, s, forever, toyOptions())
	s = reopen(t, s)
	found, err := s.Find(t.Context(), last)
	if err != nil || found.Status != zodb.StatusPacked || s.LastTid() != last {
		t.Errorf("%+v, %v, last tid %v, want %v", found, err, s.LastTid(), last)
	}
	later := commit(t, s, 1, s.mustTid(t, 1), "later")
	found, err = s.Find(t.Context(), last-1)
	if !errors.Is(err, zodb.ErrNoTid) || found.After.Status != zodb.StatusPacked {
		t.Errorf("%+v, %v", found, err)
	}
	mustPack(t, s, later, toyOptions())
	if tids := s.tids(t); len(tids) != 2 || tids[1] != later {
		t.Errorf("packed again to %v", tids)
	}
}

// Where a transaction has two records of an object, an undo that points back to the second one goes on to do so; ZODB
// makes it point to the first one.
func TestPackOfAnObjectChangedTwice(t *testing.T) {
	s := emptyStorage(t, Options{})
	first := commit(t, s, 1, 0, "first")
	second := commit(t, s, 1, first, "second")
	dropped := commit(t, s, 2, 0, "dropped")
	commit(t, s, 2, dropped, "kept")
	third := commit(t, s, 1, second, "third")
	twice := mustUndo(t, s, third, second)
	last := commit(t, s, 1, twice, "last")
	mustUndo(t, s, last)
	expectState(t, s, 1, "first")
	if r := mustPack(t, s, third-1, PackOptions{}); !r.Packed {
		t.Fatal("not packed")
	}
	expectState(t, s, 1, "first")
}

// Who reads a file that is replaced reads it to its end, and goes on in the new one; then the old one is closed.
func TestIteratorsGoOnAfterAPack(t *testing.T) {
	s := toPack(t, Options{})
	old := s.openDataFile
	all, err := s.Iterate(0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	tids := s.tids(t)
	expectTids(t, all, tids[:2]...)
	mustPack(t, s, forever, toyOptions())
	if len(s.tids(t)) != 3 {
		t.Fatalf("packed to %v", s.tids(t))
	}
	after := commit(t, s, 5, 0, "after")
	expectTids(t, all, tids[2], tids[3], after)
	if _, err := old.file.Stat(); !errors.Is(err, fs.ErrClosed) || old.holders.Load() != 0 {
		t.Errorf("the old file has %d holders, %v", old.holders.Load(), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := all.Next(t.Context()); !errors.Is(err, zodb.ErrClosed) {
		t.Error(err)
	}
}

// tids lists the transactions of a storage.
func (s *Storage) tids(tb testing.TB) (tids []zodb.Tid) {
	tb.Helper()
	it, err := s.Iterate(0, false)
	if err != nil {
		tb.Fatal(err)
	}
	defer it.Close()
	for {
		txn, err := it.Next(tb.Context())
		if err != nil {
			return tids
		}
		tids = append(tids, txn.Meta().Tid)
	}
}
