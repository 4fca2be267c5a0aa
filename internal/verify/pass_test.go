package verify

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// A pass finds what a check finds in each file that ZODB wrote, and nothing worse.
func TestWhatZODBWroteIsSound(t *testing.T) {
	paths, err := filepath.Glob(fixtures + "/*/Data.fs")
	if err != nil || len(paths) < 20 {
		t.Fatalf("found %d fixtures, %v", len(paths), err)
	}
	for _, path := range paths {
		name := filepath.Base(filepath.Dir(path))
		if name == "corrupt-length" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			copied := filepath.Join(t.TempDir(), "Data.fs")
			if err := os.WriteFile(copied, content, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // with nothing noted, and with what the first one noted
				r := runPass(t, Options{Path: copied})
				ignore := func(check.Finding) {}
				sum, err := check.Run(t.Context(), check.Options{FS: vfs.OS{}, Path: copied, Report: ignore})
				if err != nil {
					t.Fatal(err)
				}
				if r.Damages > 0 || r.Bytes != sum.Checked || r.Records != sum.Records || r.Objects != sum.Objects ||
					r.Transactions != sum.Transactions {
					t.Errorf("got %s", r.Text())
				}
			}
		})
	}
}

// big is a file of several blocks: with packed transactions, and after them others, with an undo.
func big(t *testing.T, disk vfs.FS, path string) *site {
	t.Helper()
	s := newSite(t, disk, path)
	s.grow(60)
	stop := s.commit(10, 3)
	if _, err := s.st.Pack(t.Context(), stop, filestorage.PackOptions{}); err != nil {
		t.Fatal(err)
	}
	s.grow(60)
	s.undo(s.commit(10, 4))
	s.grow(60)
	return s
}

// Wherever one bit flips, in the packed part or after it, in data, headers, pointers or lengths, the second pass finds
// it and names its byte; and when it is as it was again, so does the third.
func TestAFlippedBitAnywhereIsFoundAndNamed(t *testing.T) {
	s := big(t, simdisk.New(), "Data.fs").close()
	r := runPass(t, Options{FS: s.disk, Path: s.path})
	sound(t, r)
	covered := r.Bytes / blockLen * blockLen
	if covered < 3*blockLen {
		t.Fatalf("the file has only %d bytes", r.Bytes)
	}
	for i := range 25 {
		at, bit := s.rand.Int64N(covered-4)+4, s.rand.IntN(8)
		back := s.flip(s.path, at, bit)
		r := runPass(t, Options{FS: s.disk, Path: s.path})
		named := slices.ContainsFunc(r.Findings, func(f Finding) bool {
			return f.Kind == KindBlock && *f.Pos == at && f.Tid != nil
		})
		if !named || r.Success != 0 || r.Failure != 1 {
			t.Errorf("%d: bit %d of byte %d: %s", i, bit, at, r.Text())
		}
		again := runPass(t, Options{FS: s.disk, Path: s.path})
		if again.Damages == 0 {
			t.Errorf("%d: the pass after it has forgotten it", i)
		}
		back()
		sound(t, runPass(t, Options{FS: s.disk, Path: s.path}))
	}
}

// The record is named, not only the byte.
func TestTheRecordOfAFlippedBitIsNamed(t *testing.T) {
	s := newSite(t, simdisk.New(), "Data.fs")
	s.grow(100)
	s.close()
	sound(t, runPass(t, Options{FS: s.disk, Path: s.path}))
	in, err := filestorage.Inspect(s.disk, s.path)
	if err != nil {
		t.Fatal(err)
	}
	var want filestorage.RawRecord
	for _, err := range in.Transactions() {
		if err != nil {
			t.Fatal(err)
		}
		for rec, err := range in.Records() {
			if err != nil {
				t.Fatal(err)
			}
			if rec.Pos < 2*blockLen {
				want = *rec
			}
		}
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	s.flip(s.path, want.Pos+recordHead+want.Size-20, 3)
	r := runPass(t, Options{FS: s.disk, Path: s.path})
	if len(r.Findings) != 1 || *r.Findings[0].Oid != want.Oid || *r.Findings[0].Tid != want.Tid {
		t.Errorf("want oid %v tid %v", want.Oid, want.Tid)
	}
}

// The chain finds other content where no pass has noted anything, as on a copy of the file.
func TestTheChainFindsOtherContent(t *testing.T) {
	s := newSite(t, simdisk.New(), "Data.fs")
	s.grow(50)
	kept := s.kept()
	s.close()
	r := runPass(t, Options{FS: s.disk, Path: s.path, Kept: kept})
	sound(t, r)
	if r.ChainKnown == 0 {
		t.Fatal("nothing was kept")
	}
	for _, name := range []string{s.path + blocksSuffix} {
		if err := s.disk.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	s.flip(s.path, 500, 0)
	r = runPass(t, Options{FS: s.disk, Path: s.path, Kept: kept})
	if diff := cmp.Diff([]check.Kind{KindChain}, kindsOf(r)); diff != "" || r.Findings[0].Where != Here {
		t.Error(diff)
	}
}

func TestAPackOrACopyIsNoDamage(t *testing.T) {
	s := big(t, vfs.OS{}, filepath.Join(t.TempDir(), "Data.fs"))
	sound(t, runPass(t, Options{FS: s.disk, Path: s.path}))
	if _, err := s.st.Pack(t.Context(), s.st.LastTid(), filestorage.PackOptions{}); err != nil {
		t.Fatal(err)
	}
	r := runPass(t, Options{FS: s.disk, Path: s.path, Committed: s.st.Size})
	sound(t, r)
	if r.BlocksKnown != 0 {
		t.Error("the new file was compared with the old one")
	}
	for range 2 {
		s.grow(100)
		r = runPass(t, Options{FS: s.disk, Path: s.path, Committed: s.st.Size})
		sound(t, r)
	}
	if s.close(); r.BlocksKnown == 0 {
		t.Error("nothing was noted of the new file")
	}
}

// A rewind cuts off transactions, and others take their place.
func TestARewindIsNoDamage(t *testing.T) {
	s := newSite(t, simdisk.New(), "Data.fs")
	s.grow(100)
	stays := s.st.LastTid()
	s.grow(150)
	s.close()
	sound(t, runPass(t, Options{FS: s.disk, Path: s.path}))
	s.open()
	if err := s.st.Cut(t.Context(), stays); err != nil {
		t.Fatal(err)
	}
	s.close()
	s.open()
	for range 200 {
		s.commit(1500, 1, 2)
	}
	s.close()
	sound(t, runPass(t, Options{FS: s.disk, Path: s.path}))
	s.flip(s.path, blockLen+100, 1) // what stayed is still covered by what was noted of the new file
	if r := runPass(t, Options{FS: s.disk, Path: s.path}); r.Kinds[KindBlock] != 1 {
		t.Errorf("got %s", r.Text())
	}
}

func TestAPassBesideCommitsAndPacksFindsNothing(t *testing.T) {
	s := big(t, vfs.OS{}, filepath.Join(t.TempDir(), "Data.fs"))
	ctx, cancel := context.WithCancel(t.Context())
	passes := make(chan error, 1)
	go func() {
		var err error
		for n := 0; err == nil && (n < 3 || ctx.Err() == nil); n++ {
			var r *Pass
			r, err = Run(t.Context(), Options{Path: s.path, Committed: s.st.Size, Yield: true})
			if err == nil && r.Damages > 0 {
				err = errors.New(r.Text() + r.Findings[0].String())
			}
		}
		passes <- err
	}()
	for range 3 {
		s.grow(30)
		if _, err := s.st.Pack(t.Context(), s.st.LastTid(), filestorage.PackOptions{}); err != nil {
			t.Error(err)
		}
	}
	cancel()
	if err := <-passes; err != nil {
		t.Error(err)
	}
	s.close()
}

func TestAPassWritesNothingButItsOwnFiles(t *testing.T) {
	dir := t.TempDir()
	s := big(t, vfs.OS{}, filepath.Join(dir, "Data.fs")).close()
	s.flip(s.path, 70000, 2)
	before := names(t, dir)
	for range 2 {
		runPass(t, Options{Path: s.path})
	}
	if diff := cmp.Diff([]string{"Data.fs.blocks.zrsd"}, changedNames(before, names(t, dir))); diff != "" {
		t.Error(diff)
	}
}

// A pass that cannot write its notes finds what it finds.
func TestAPassOnADiskThatTakesNothing(t *testing.T) {
	disk := simdisk.New()
	s := big(t, disk, "Data.fs").close()
	disk.FailWhen(func(simdisk.Op) error { return os.ErrPermission })
	r := runPass(t, Options{FS: disk, Path: s.path})
	sound(t, r)
	if diff := cmp.Diff([]check.Kind{KindOwnFile}, kindsOf(r)); diff != "" {
		t.Error(diff)
	}
}

// Whenever the power fails, the next pass has the notes of the pass before or of this one, and finds nothing.
func TestACrashLeavesNotesThatAreTrue(t *testing.T) {
	for n := 1; n <= 6; n++ { // create, write, sync, rename, sync the folder; and none
		for seed := range uint64(6) {
			disk := simdisk.New()
			s := newSite(t, disk, "Data.fs")
			s.grow(70)
			sound(t, runPass(t, Options{FS: disk, Path: s.path, Committed: s.st.Size}))
			s.grow(70)
			disk.PowerOffAt(len(disk.Ops()) + n)
			if _, err := Run(t.Context(), Options{FS: disk, Path: s.path, Committed: s.st.Size}); err != nil {
				t.Fatal(err)
			}
			_ = s.st.Close()
			crashed := disk.Crash(seed)
			r := runPass(t, Options{FS: crashed, Path: s.path})
			sound(t, r)
			if r.Warnings > 0 {
				t.Errorf("operation %d, seed %d: %s", n, seed, r.Text())
			}
		}
	}
}

func TestDamageToOwnFilesIsNoDamageToTheStorage(t *testing.T) {
	s := big(t, simdisk.New(), "Data.fs").close()
	sound(t, runPass(t, Options{FS: s.disk, Path: s.path}))
	for _, at := range []int64{3, 20, 33, 60, 90} {
		s.flip(s.path+blocksSuffix, at, 5)
		r := runPass(t, Options{FS: s.disk, Path: s.path})
		sound(t, r)
		if diff := cmp.Diff([]check.Kind{KindOwnFile}, kindsOf(r)); diff != "" {
			t.Errorf("byte %d: %s", at, diff)
		}
		r = runPass(t, Options{FS: s.disk, Path: s.path})
		if sound(t, r); r.BlocksKnown == 0 || r.Warnings > 0 {
			t.Errorf("byte %d: it was not made anew: %s", at, r.Text())
		}
	}
}

func TestADamagedStateFileIsFound(t *testing.T) {
	s := big(t, simdisk.New(), "Data.fs").close()
	if err := writeFile(s.disk, s.path+state.Suffix, []byte("{}\nsha256:0\n")); err != nil {
		t.Fatal(err)
	}
	r := runPass(t, Options{FS: s.disk, Path: s.path})
	if diff := cmp.Diff([]check.Kind{KindState}, kindsOf(r)); diff != "" || r.Damages != 1 {
		t.Error(diff)
	}
}

func TestAReferenceToNoObjectIsNamed(t *testing.T) {
	s := newSite(t, simdisk.New(), "Data.fs")
	to := func(oid zodb.Oid) []byte { // a pickle whose state is a reference
		b := []byte("cpersistent.mapping\nPersistentMapping\n.\x80\x03C\x08")
		id := oid.Bytes()
		return append(append(b, id[:]...), "Q."...)
	}
	store := func(oid zodb.Oid, data []byte) {
		txn, err := s.st.Begin(t.Context(), &zodb.TxnMeta{})
		if err != nil {
			t.Fatal(err)
		}
		_, serial, _ := txn.Current(oid)
		if err := txn.Store(oid, serial, data); err != nil {
			t.Fatal(err)
		}
		if _, err := txn.Finish(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	store(1, to(2))                      // comes later
	store(2, to(1))                      //
	store(3, to(99))                     // never comes
	store(4, to(98))                     // is not current any more
	store(4, to(1))                      //
	store(5, []byte("no pickle at all")) //
	s.close()
	r := runPass(t, Options{FS: s.disk, Path: s.path})
	sound(t, r)
	if r.Kinds[KindReference] != 1 || r.Kinds[KindPickle] != 1 || *r.Findings[0].Oid != 3 || *r.Findings[1].Oid != 5 {
		t.Errorf("got %v", r.Findings)
	}
}

func TestAPassEndsWithItsContext(t *testing.T) {
	s := big(t, simdisk.New(), "Data.fs").close()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the operator pressed a key")
	r, err := Run(ctx, Options{FS: s.disk, Path: s.path, Progress: func(int64, int64) { cancel(stop) }})
	if !errors.Is(err, stop) || r.Error == nil || r.Success != 0 {
		t.Errorf("got %v", err)
	}
	if _, err := s.disk.Stat(s.path + blocksSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Error("a pass that was interrupted has noted something")
	}
}

func TestAFileThatIsNotThereIsAnError(t *testing.T) {
	if _, err := Run(t.Context(), Options{FS: simdisk.New(), Path: "Data.fs"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestMuchOfOneKindIsCounted(t *testing.T) {
	r := &Pass{Kinds: map[check.Kind]int64{}}
	for range 3 * maxFindings {
		r.report(Finding{Finding: check.Finding{Severity: check.Damage, Kind: KindBlock}})
	}
	if len(r.Findings) != maxFindings || r.Damages != 3*maxFindings || r.Kinds[KindBlock] != 3*maxFindings {
		t.Errorf("%d listed, %d counted", len(r.Findings), r.Damages)
	}
}
