package filestorage

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// Every index vector is read as ZODB meant it, or refused with the typed error where it cannot be used.
func TestLoadIndexVectors(t *testing.T) {
	var vectors []struct {
		File    string
		Note    string
		Pos     *int64
		Entries map[zodb.Oid]int64
		Error   *string `json:"zodb_error"`
	}
	readJSON(t, filepath.Join(fixtures, "vectors/indexes.json"), &vectors)
	for _, v := range vectors {
		t.Run(v.File, func(t *testing.T) {
			path := filepath.Join(fixtures, "vectors/indexes", v.File)
			x, pos, err := loadIndex(vfs.OS{}, path)
			if v.Pos == nil {
				if !errors.Is(err, errIndexUnusable) {
					t.Fatalf("%s: err = %v, want ErrIndexUnusable", v.Note, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if pos != *v.Pos || !maps.Equal(maps.Collect(x.all()), v.Entries) {
				t.Fatalf("%s: position %d, %d entries; want %d, %d", v.Note, pos, x.len(), *v.Pos, len(v.Entries))
			}
			if v.Error == nil {
				checkRewrite(t, path, x, pos)
			}
		})
	}
}

// checkRewrite saves x and expects the bytes of the file at path.
func checkRewrite(t *testing.T, path string, x *index, pos int64) {
	t.Helper()
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "Data.fs.index")
	if err := saveIndex(vfs.OS{}, copied, x.all(), pos); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(copied); !bytes.Equal(got, want) {
		t.Errorf("saved again, %s differs:\n got %x\nwant %x", path, got, want)
	}
	if left, _ := filepath.Glob(copied + ".*"); len(left) > 0 {
		t.Errorf("saving left %v", left)
	}
}

// Every fixture's saved index gives the entries that are expected of it, and the same bytes when it is saved again.
func TestLoadIndexFixtures(t *testing.T) {
	forFixtures(t, func(t *testing.T, dir string, want *expectation) {
		t.Helper()
		path := filepath.Join(dir, "Data.fs.index")
		if want.IndexFile == nil {
			t.Skip("has no index of its state")
		}
		x, pos, err := loadIndex(vfs.OS{}, path)
		if err != nil {
			t.Fatal(err)
		}
		if pos == want.End && !maps.Equal(maps.Collect(x.all()), want.Index) {
			t.Errorf("entries %v, want %v", maps.Collect(x.all()), want.Index)
		}
		if want.IndexFile.Canonical {
			checkRewrite(t, path, x, pos)
		}
	})
}

// All formats of older releases hold the same index as the current one.
func TestLoadOldIndexFormats(t *testing.T) {
	var want expectation
	readJSON(t, filepath.Join(fixtures, "old-index/expected.json"), &want)
	for _, name := range []string{"Data.fs.index", "index.dict", "index.v0", "index.current"} {
		x, pos, err := loadIndex(vfs.OS{}, filepath.Join(fixtures, "old-index", name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if pos != want.End || !maps.Equal(maps.Collect(x.all()), want.Index) {
			t.Errorf("%s: position %d, entries %v; want %d, %v", name, pos, maps.Collect(x.all()), want.End, want.Index)
		}
	}
}

// A missing index is not a damaged one.
func TestLoadIndexMissing(t *testing.T) {
	_, _, err := loadIndex(vfs.OS{}, filepath.Join(t.TempDir(), "Data.fs.index"))
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, errIndexUnusable) {
		t.Errorf("err = %v", err)
	}
}

// What is no index is refused, naming what is wrong.
func TestLoadIndexRefuses(t *testing.T) {
	const (
		zeros  = "\x00\x00\x00\x00\x00\x00\x00\x00"
		prefix = "U\x06\x00\x00\x00\x00\x00\x00"
		four   = "\x00\x00\x00\x00\x00\x04"
	)
	cases := []struct{ name, text, why string }{
		{"nothing", "", "1 bytes are announced and 0 are left"},
		{"class that nobody knows", "cos\nsystem\n(U\x02lstR.", `"os.system" is not a class that may come here`},
		{"later protocol", "\x80\x04K\x04.\x80\x04N.", "neither in the current format"},
		{"position before the first transaction", "K\x03.N.", "position 3"},
		{"negative position", "J\xff\xff\xff\xff.N.", "position -1"},
		{"integer too large", "\x8a\x09\x01\x01\x01\x01\x01\x01\x01\x01\x01.N.", "integer of 9 bytes"},
		{"text that is no number", "Ix\n.N.", "a number that is none"},
		{"bytes after its end", "K\x64.N.N.", "2 bytes after"},
		{"offset before the first transaction", "K\x64.(" + prefix + "U\x08" + zeros + "t.N.", "offset 0"},
		{"oids out of order", "K\x64.(" + prefix + "U\x10\x00\x02\x00\x01" + four + four + "t.N.", "out of order"},
		{"length far beyond the file", "K\x64.(" + prefix + "T\xff\xff\xff\xff", "4294967295 bytes"},
		{"dict that holds itself", "}(U\x03posK\x64U\x05index}q\x01U\x08" + zeros + "h\x01su.", "no oid and offset"},
		{"tree that holds itself", treeIn("cBTrees.OOBTree\nOOBTree\n)Rq\x01((h\x01tNtb"), "tree that is none"},
		{"tree without children", treeIn("cBTrees.OOBTree\nOOBTree\n)Rq\x01()tb"), "tree that is none"},
		{"bucket without items", treeIn("cBTrees.OOBTree\nOOBTree\n)R(((K\x01tttb"), "bucket that is none"},
		{"reference to nothing", "h\x05.", "memo entry 5 is empty"},
		{"end without value", ".", "the stack is empty"},
		{"items without mark", "}u.", "there is no mark"},
		{"tuple of missing items", "\x86.", "a tuple of 2 values"},
		{"endless line", "I" + strings.Repeat("1", 100), "line of more than"},
	}
	for _, c := range cases {
		_, _, err := readIndex(section(c.text))
		if !errors.Is(err, errIndexUnusable) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: err = %v, want one with %q", c.name, err, c.why)
		}
	}
}

// treeIn is an index file of the old format around the pickle of its OOBTree.
func treeIn(tree string) string {
	return "}(U\x03posK\x64U\x05indexcZODB.fsIndex\nfsIndex\n)R}U\x05_data" + tree + "sbu."
}

func section(text string) *io.SectionReader {
	return io.NewSectionReader(strings.NewReader(text), 0, int64(len(text)))
}

// What was saved is loaded again.
func TestIndexFileRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Data.fs.index")
	rapid.Check(t, func(t *rapid.T) {
		x := newIndex()
		start := rapid.Uint64().Draw(t, "start")
		for i := range rapid.Uint64Range(0, 3000).Draw(t, "n") {
			x.set(zodb.Oid(start+i*rapid.SampledFrom([]uint64{1, 1, 1, 70_000}).Draw(t, "step")), int64(i)+4)
		}
		pos := rapid.Int64Range(magicLen, 1<<62).Draw(t, "pos")
		if err := saveIndex(vfs.OS{}, path, x.all(), pos); err != nil {
			t.Fatal(err)
		}
		y, gotPos, err := loadIndex(vfs.OS{}, path)
		if err != nil || gotPos != pos || !maps.Equal(maps.Collect(x.all()), maps.Collect(y.all())) {
			t.Fatalf("position %d, want %d; err %v; or other entries", gotPos, pos, err)
		}
	})
}

// An offset that the format cannot express is an error, not another offset.
func TestSaveIndexOffsetTooLarge(t *testing.T) {
	x := newIndex()
	x.set(1, 1<<48)
	dir := t.TempDir()
	if err := saveIndex(vfs.OS{}, filepath.Join(dir, "Data.fs.index"), x.all(), 1<<49); err == nil {
		t.Error("an offset of 2^48 was saved")
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("the failed save left %v", left)
	}
}

// Saving and loading a full prefix needs memory for one prefix, whatever the number of objects.
func TestIndexFileMemory(t *testing.T) {
	x := newIndex()
	for i := range 1_000_000 {
		x.set(zodb.Oid(i), int64(i)+4)
	}
	path := filepath.Join(t.TempDir(), "Data.fs.index")
	allocated := func(f func() error) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := f(); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	if n := allocated(func() error { return saveIndex(vfs.OS{}, path, x.all(), 1<<30) }); n > 4<<20 {
		t.Errorf("saving allocated %d bytes", n)
	}
	n := allocated(func() error { _, _, err := loadIndex(vfs.OS{}, path); return err })
	if n > 12<<20 {
		t.Errorf("loading allocated %d bytes", n)
	}
}

func FuzzLoadIndex(f *testing.F) {
	for _, pattern := range []string{"vectors/indexes/*", "*/Data.fs.index", "old-index/index.*", "fs21/index.p2"} {
		files, _ := filepath.Glob(filepath.Join(fixtures, pattern))
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		x, pos, err := readIndex(section(text))
		if err != nil {
			if !errors.Is(err, errIndexUnusable) {
				t.Errorf("err = %v", err)
			}
			return
		}
		if x.len() > len(text) || pos < magicLen {
			t.Errorf("%d entries, position %d from %d bytes", x.len(), pos, len(text))
		}
	})
}

func BenchmarkLoadIndex(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, oid := range map[string]func(i int) zodb.Oid{
		"dense":  func(i int) zodb.Oid { return zodb.Oid(i) },
		"sparse": func(int) zodb.Oid { return zodb.Oid(random.Uint64()) },
	} {
		b.Run(name, func(b *testing.B) {
			x := newIndex()
			for i := range 1_000_000 {
				x.set(oid(i), int64(i)+4)
			}
			path := filepath.Join(b.TempDir(), "Data.fs.index")
			if err := saveIndex(vfs.OS{}, path, x.all(), 1<<30); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, _, err := loadIndex(vfs.OS{}, path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
