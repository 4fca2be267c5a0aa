package inside

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/references"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/internal/zlibrecord"
	"github.com/zrsd/zrsd/zodb"
)

// Only the opcodes of mentions are replaced, whichever form a class is mentioned in.
func TestOnlyNamesAreReplaced(t *testing.T) {
	const oid, other = "U\x08\x00\x00\x00\x00\x00\x00\x00\x07", "U\x08\x00\x00\x00\x00\x00\x00\x00\x08"
	rules := &Rules{
		Renames: map[Class]Class{{"m", "C"}: {"new.m", "D"}},
		Objects: map[zodb.Oid]Class{8: {"x", "Y"}},
	}
	p := &RewritePlan{rewrite: &Rewrite{Rules: rules}}
	for name, c := range map[string]struct{ from, to string }{
		"another class":    {"cn\nC\n.N.", "cn\nC\n.N."},
		"the class":        {"cm\nC\nq\x01.K\x05.", "cnew.m\nD\nq\x01.K\x05."},
		"with arguments":   {"(cm\nC\n(K\x01tt.N.", "(cnew.m\nD\n(K\x01tt.N."},
		"an instance":      {"cn\nC\n.(im\nC\n.", "cn\nC\n.(inew.m\nD\n."},
		"names in a tuple": {"((U\x01mU\x01CtNt.N.", "((U\x01mU\x01C1(U\x05new.mU\x01DtNt.N."},
		"names in a short tuple": {
			"X\x01\x00\x00\x00mX\x01\x00\x00\x00C\x86N\x86.N.",
			"X\x01\x00\x00\x00mX\x01\x00\x00\x00C00X\x05\x00\x00\x00new.mX\x01\x00\x00\x00D\x86N\x86.N.",
		},
		"names on the stack, in a frame": {
			"\x80\x04\x95\x07\x00\x00\x00\x00\x00\x00\x00\x8c\x01m\x8c\x01C\x93.N.",
			"\x80\x04\x95\x13\x00\x00\x00\x00\x00\x00\x00\x8c\x01m\x8c\x01C00\x8c\x05new.m\x8c\x01D\x93.N.",
		},
		"from the memo, where the memo has it": {
			"cm\nC\nq\x01.(" + oid + "h\x01tQ.", "cnew.m\nD\nq\x01.(" + oid + "h\x01tQ.",
		},
		"from the memo, where an object has another": {
			"cm\nC\nq\x01.((" + oid + "h\x01tQ(" + other + "h\x01tQt.",
			"cnew.m\nD\nq\x01.((" + oid + "h\x01tQ(" + other + "cx\nY\ntQt.",
		},
		"into the memo, where an object has another": {
			"cn\nC\n.((" + other + "cm\nC\nq\x01tQ(" + oid + "h\x01tQt.",
			"cn\nC\n.((" + other + "cx\nY\nq\x01tQ(" + oid + "cnew.m\nD\ntQt.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var w rewriter
			got, changed, err := w.rewrite([]byte(c.from), p.want(1))
			if err != nil || changed != (c.from != c.to) || string(got) != c.to {
				t.Errorf("%v, %v\ngot  %q\nwant %q", changed, err, got, c.to)
			}
		})
	}
}

func TestCompressedRecordsAreRewritten(t *testing.T) {
	record := []byte("cm\nC\n.X\x00\x10\x00\x00" + strings.Repeat("x", 4096) + ".")
	p := &RewritePlan{rewrite: &Rewrite{Rules: &Rules{Renames: map[Class]Class{{"m", "C"}: {"m", "D"}}}}}
	var w rewriter
	out, changed, err := w.rewrite(zlibrecord.Pack(record), p.want(1))
	if err != nil || !changed || !zlibrecord.Is(out) {
		t.Fatalf("%v, %v", changed, err)
	}
	unpacked, err := zlibrecord.Unpack(out, 1<<20)
	if want := bytes.Replace(record, []byte("C"), []byte("D"), 1); err != nil || !bytes.Equal(unpacked, want) {
		t.Errorf("%.40q, %v", unpacked, err)
	}
}

func FuzzRewrite(f *testing.F) {
	for _, s := range []string{
		"cm\nC\nq\x01.(U\x0812345678h\x01tQ.",
		"\x80\x04\x95\x07\x00\x00\x00\x00\x00\x00\x00\x8c\x01m\x8c\x01C\x93.N.",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		var w rewriter
		to := func(_ *references.Mention, is Class) Class { return Class{"new." + is.Module, is.Name} }
		out, changed, err := w.rewrite(record, to)
		if err != nil || !changed {
			return
		}
		var again rewriter // what is written can be read, and is as it was wanted
		if _, _, err := again.rewrite(out, func(_ *references.Mention, is Class) Class { return is }); err != nil {
			t.Errorf("%q becomes %q: %v", record, out, err)
		}
	})
}

func TestRules(t *testing.T) {
	r, err := ReadRules(strings.NewReader("# a comment\n\nold.mod Old = new.mod New\n0x1F = a.b C\n* = record\n"))
	want := &Rules{
		Renames: map[Class]Class{{"old.mod", "Old"}: {"new.mod", "New"}}, ByRecord: true,
		Objects: map[zodb.Oid]Class{0x1f: {"a.b", "C"}},
	}
	if diff := cmp.Diff(want, r); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	const saved = "renames = {'a B': 'c D',\n 'e F': 'g H'}" // as zodbupdate -s writes it
	r, err = ReadRules(strings.NewReader(saved))
	if err != nil || len(r.Renames) != 2 || r.Renames[Class{"e", "F"}] != (Class{"g", "H"}) {
		t.Errorf("%+v, %v", r, err)
	}
	for _, wrong := range []string{
		"a B", "a B = c", "a = b C", "a B = c D\na B = e F", "a B = c D\nc D = e F", "0x1 = a B\n0x1 = a C",
	} {
		if _, err := ReadRules(strings.NewReader(wrong)); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}

// siteRules make pages of all documents, and have references say what records say.
func siteRules() *Rules {
	return &Rules{Renames: map[Class]Class{{"old.site", "Document"}: {"new.site", "Page"}}, ByRecord: true}
}

// onDisk copies the site to a disk of its own.
func onDisk(t *testing.T) *simdisk.Disk {
	t.Helper()
	disk := simdisk.New()
	data, err := os.ReadFile(siteFile)
	if err != nil {
		t.Fatal(err)
	}
	f, err := disk.OpenFile("Data.fs", os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.WriteAt(data, 0)
	}
	if err = errors.Join(err, f.Sync(), disk.SyncDir("."), f.Close()); err != nil {
		t.Fatal(err)
	}
	return disk
}

func open(ctx context.Context, disk vfs.FS, readOnly bool) (*filestorage.Storage, error) {
	return filestorage.Open(ctx, "Data.fs", filestorage.Options{FS: disk, MustExist: true, ReadOnly: readOnly})
}

// rewriteSite rewrites the site with one object in each transaction.
func rewriteSite(ctx context.Context, disk vfs.FS) (done *Rewritten, err error) {
	st, err := open(ctx, disk, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	plan, err := (&Rewrite{Rules: siteRules(), Records: 1}).Plan(ctx, st)
	if err != nil {
		return nil, err
	}
	return plan.Apply(ctx, FileStore{st})
}

// records returns the current record of each object.
func records(t *testing.T, disk vfs.FS) map[zodb.Oid]string {
	t.Helper()
	st, err := open(t.Context(), disk, true)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[zodb.Oid]string)
	for oid := range st.Oids() {
		data, _, err := st.Load(oid)
		var none *zodb.POSKeyError
		if err != nil && !errors.As(err, &none) {
			t.Error(err)
		}
		all[oid] = string(data)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	return all
}

// A rewrite that is cut at any step leaves each object as it was or as it is to be, and the next one finishes it.
func TestARewriteCutAnywhereIsFinishedByTheNext(t *testing.T) {
	before := onDisk(t)
	was := records(t, before)
	whole := onDisk(t)
	if done, err := rewriteSite(t.Context(), whole); err != nil || !done.Done || len(done.Transactions) != 4 {
		t.Fatalf("%+v, %v", done, err)
	}
	want := records(t, whole)
	for n := 1; ; n++ {
		disk := onDisk(t)
		disk.PowerOffAt(n)
		_, err := rewriteSite(t.Context(), disk)
		if err == nil {
			break
		}
		if !errors.Is(err, simdisk.ErrPowerLoss) {
			t.Fatal(err)
		}
		left := disk.Crash(uint64(n))
		for oid, data := range records(t, left) {
			if data != was[oid] && data != want[oid] {
				t.Errorf("cut at %d: object %v is neither old nor new", n, oid)
			}
		}
		if _, err := rewriteSite(t.Context(), left); err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if diff := cmp.Diff(want, records(t, left)); diff != "" {
			t.Fatalf("cut at %d: -want +got:\n%s", n, diff)
		}
	}
}

// After a rewrite no reference believes another class, and nothing else has changed.
func TestARewriteMendsAllReferences(t *testing.T) {
	disk := onDisk(t)
	if _, err := rewriteSite(t.Context(), disk); err != nil {
		t.Fatal(err)
	}
	st, err := open(t.Context(), disk, true)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	s, err := Take(t.Context(), st, Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Census(t.Context(), 10)
	if err != nil || len(c.Mismatches) > 0 || s.HasClass("old.site.Document") {
		t.Errorf("%v, %+v", err, c.Mismatches)
	}
	again, err := rewriteSite(t.Context(), disk)
	if err == nil && (again.Objects > 0 || len(again.Transactions) > 0) {
		t.Errorf("a second rewrite did something: %+v", again)
	}
}

// A busyStore has others change an object just before each of the first commits.
type busyStore struct {
	FileStore
	busy int
}

func (s *busyStore) Commit(ctx context.Context, meta *zodb.TxnMeta, changes []Change) (zodb.Tid, error) {
	if s.busy > 0 {
		s.busy--
		c := changes[0]
		data, tid, err := s.Load(ctx, c.Oid)
		if err == nil {
			_, err = s.FileStore.Commit(ctx, &zodb.TxnMeta{}, []Change{{c.Oid, tid, data}})
		}
		if err != nil {
			return 0, err
		}
	}
	return s.FileStore.Commit(ctx, meta, changes)
}

func TestConflictsAreTriedAgain(t *testing.T) {
	for busy, fails := range map[int]bool{3: false, maxTries + 1: true} {
		t.Run(fmt.Sprint(busy), func(t *testing.T) {
			st, err := open(t.Context(), onDisk(t), false)
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			plan, err := (&Rewrite{Rules: siteRules()}).Plan(t.Context(), st)
			if err != nil {
				t.Fatal(err)
			}
			done, err := plan.Apply(t.Context(), &busyStore{FileStore{st}, busy})
			var conflict *zodb.ConflictError
			if errors.As(err, &conflict) != fails || !fails && (done.Conflicts != int64(busy) || done.Objects != 4) {
				t.Errorf("%+v, %v", done, err)
			}
		})
	}
}
