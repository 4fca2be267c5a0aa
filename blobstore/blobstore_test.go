package blobstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const fixtures = "../testdata/filestorage"

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string, opt Options) *Store {
	t.Helper()
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPathsAreThoseOfZODB(t *testing.T) {
	var v struct {
		Paths []struct {
			Oid         zodb.Oid
			Tid         zodb.Tid
			Bushy, Lawn string
		}
	}
	readJSON(t, fixtures+"/vectors/blob-paths.json", &v)
	if len(v.Paths) == 0 {
		t.Fatal("no vectors")
	}
	for _, p := range v.Paths {
		for _, c := range []struct {
			l    layout
			want string
		}{{bushy{}, p.Bushy}, {lawn{}, p.Lawn}} {
			folder := c.l.folder(p.Oid)
			if got := filepath.Join(folder, FileName(p.Tid)); got != c.want {
				t.Errorf("%s path of %v %v is %s, want %s", c.l.name(), p.Oid, p.Tid, got, c.want)
			}
			if oid, ok := c.l.oid(strings.Split(folder, "/")); !ok || oid != p.Oid {
				t.Errorf("%s: %s reads back as %v, %v", c.l.name(), folder, oid, ok)
			}
			if tid, ok := ParseFileName(FileName(p.Tid)); !ok || tid != p.Tid {
				t.Errorf("%s reads back as %v, %v", FileName(p.Tid), tid, ok)
			}
		}
	}
}

func TestOnlyNamesThatWouldBeWrittenAreRead(t *testing.T) {
	for _, name := range []string{
		"", "0x", "0x1", "01", "0x0001", "0xAB", "0x000102", "0x010203040506070809", "x01", "0x0g", "tmp", ".layout",
		"0x01 ",
	} {
		if oid, ok := (lawn{}).oid([]string{name}); ok {
			t.Errorf("lawn reads %q as %v", name, oid)
		}
		if tid, ok := ParseFileName(name + suffix); ok {
			t.Errorf("%q reads as tid %v", name+suffix, tid)
		}
	}
	for _, path := range []string{
		"0x00", "0x00/0x00/0x00/0x00/0x00/0x00/0x01/0x2", "0x00/0x00/0x00/0x00/0x00/0x00/0x00/0x00/0x00",
	} {
		if oid, ok := (bushy{}).oid(strings.Split(path, "/")); ok {
			t.Errorf("bushy reads %q as %v", path, oid)
		}
	}
}

func TestEveryPathReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		oid := zodb.Oid(rapid.Uint64().Draw(t, "oid"))
		for _, l := range []layout{bushy{}, lawn{}} {
			if got, ok := l.oid(strings.Split(l.folder(oid), "/")); !ok || got != oid {
				t.Fatalf("%s: %v reads back as %v, %v", l.name(), oid, got, ok)
			}
		}
	})
}

func TestBlobsOfZODBAreFound(t *testing.T) {
	for _, fixture := range []string{"blobs-bushy", "blobs-lawn", "blobs-packed"} {
		t.Run(fixture, func(t *testing.T) {
			var v struct {
				Blobs []struct {
					Path   string
					Oid    zodb.Oid
					Tid    zodb.Tid
					Size   int64
					Sha256 string
				}
			}
			readJSON(t, filepath.Join(fixtures, fixture, "expected.json"), &v)
			s := open(t, filepath.Join(fixtures, fixture, "blobs"), Options{ReadOnly: true})
			left := map[string]bool{}
			err := s.Walk(func(oid zodb.Oid, tid zodb.Tid, size int64, path string) error {
				left[fmt.Sprint(oid, tid, size)] = true
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range v.Blobs {
				checkBlob(t, s, b.Oid, b.Tid, b.Sha256)
				if size, err := s.Stat(b.Oid, b.Tid); err != nil || size != b.Size {
					t.Errorf("%v %v has %d bytes, %v; want %d", b.Oid, b.Tid, size, err, b.Size)
				}
				delete(left, fmt.Sprint(b.Oid, b.Tid, b.Size))
			}
			if len(v.Blobs) == 0 || len(left) > 0 {
				t.Errorf("walk found what is not expected: %v", left)
			}
		})
	}
}

func checkBlob(t *testing.T, s *Store, oid zodb.Oid, tid zodb.Tid, sum string) {
	t.Helper()
	f, err := s.OpenBlob(oid, tid)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, 1<<40)); err != nil {
		t.Error(err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		t.Errorf("blob %v %v has sum %s, want %s", oid, tid, got, sum)
	}
}

func TestLayoutOfADirectory(t *testing.T) {
	for _, c := range []struct {
		name, marker, file, want string
		layout                   string
		fails                    bool
	}{
		{name: "absent", layout: Bushy},
		{name: "asked for", want: Lawn, layout: Lawn},
		{name: "marker", marker: " lawn\n", layout: Lawn},
		{name: "without marker", file: "0x01", layout: Lawn},
		{name: "only hidden names", file: ".hidden", layout: Bushy},
		{name: "contradiction", marker: "bushy", want: Lawn, fails: true},
		{name: "unknown", marker: "tree", fails: true},
		{name: "unknown asked for", want: "tree", fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "blobs")
			for _, f := range [][2]string{{markerName, c.marker}, {c.file, "x"}} {
				if f[0] == "" || f[1] == "" {
					continue
				}
				if err := os.MkdirAll(dir, 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, f[0]), []byte(f[1]), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			s, err := Open(dir, Options{Layout: c.want})
			if c.fails {
				var wrong *LayoutError
				if !errors.As(err, &wrong) {
					t.Fatalf("got %v, want a LayoutError", err)
				}
				return
			}
			if err != nil || s.Layout() != c.layout {
				t.Fatalf("got %v, %v; want %s", s, err, c.layout)
			}
			if again := open(t, dir, Options{}); again.Layout() != c.layout {
				t.Errorf("opened again it is %s", again.Layout())
			}
		})
	}
}

func stage(t *testing.T, s *Store, oid zodb.Oid, tid zodb.Tid, content []byte) zodb.StagedBlob {
	t.Helper()
	b, err := s.Stage(oid, tid, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestABlobIsThereFromPublishOn(t *testing.T) {
	for _, size := range []int{0, 1, blockSize - 1, blockSize, blockSize + 1, 3*blockSize + 7} {
		s := open(t, filepath.Join(t.TempDir(), "blobs"), Options{})
		content := bytes.Repeat([]byte{7}, size)
		b := stage(t, s, 1, 2, content)
		if err := b.Sync(); err != nil {
			t.Fatal(err)
		}
		var missing *zodb.POSKeyError
		if _, err := s.OpenBlob(1, 2); !errors.As(err, &missing) || !missing.Blob {
			t.Fatalf("before publish: %v", err)
		}
		if err := errors.Join(b.Publish(), b.SyncDir()); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		checkBlob(t, s, 1, 2, hex.EncodeToString(sum[:]))
		info, err := os.Stat(s.path(1, 2))
		if err != nil || info.Mode().Perm() != 0o444 {
			t.Errorf("mode is %v, %v; want 0444", info.Mode(), err)
		}
	}
}

func TestADiscardedBlobLeavesNothing(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "blobs"), Options{})
	early, late := stage(t, s, 1, 2, []byte("a")), stage(t, s, 1, 3, []byte("b"))
	if err := errors.Join(late.Sync(), late.Publish()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := errors.Join(early.Discard(), late.Discard()); err != nil {
			t.Fatal(err)
		}
	}
	if empty, err := s.Empty(); !empty || err != nil {
		t.Errorf("empty: %v, %v", empty, err)
	}
	if names, err := os.ReadDir(filepath.Join(s.Dir(), tmpName)); err != nil || len(names) > 0 {
		t.Errorf("tmp has %v, %v", names, err)
	}
}

func TestLeftOversAreRemovedBeforeTheFirstBlobAndNotBefore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	stage(t, open(t, dir, Options{}), 1, 2, []byte("left by a crash"))
	foreign := filepath.Join(dir, tmpName, "upload")
	if err := os.WriteFile(foreign, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, Options{})
	if n := len(tmpNames(t, dir)); n != 2 {
		t.Fatalf("after Open there are %d names, want 2: only the holder of the storage's lock may remove any", n)
	}
	b := stage(t, s, 1, 3, nil)
	if err := b.Discard(); err != nil {
		t.Fatal(err)
	}
	if names := tmpNames(t, dir); len(names) != 1 || names[0] != "upload" {
		t.Errorf("left: %v", names)
	}
}

func tmpNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, tmpName))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestSetAsideKeepsTheContent(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "blobs"), Options{Layout: Lawn})
	b := stage(t, s, 0x102, 5, []byte("lost"))
	if err := errors.Join(b.Sync(), b.Publish(), b.SyncDir()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.SetAside(0x102, 5, "tr0"), s.SetAside(9, 9, "tr0")); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(s.Dir(), ".tr0", "0000000000000102.0000000000000005.blob"))
	if err != nil || string(got) != "lost" {
		t.Errorf("got %q, %v", got, err)
	}
	if empty, err := s.Empty(); !empty || err != nil {
		t.Errorf("it is still under its final name: %v", err)
	}
}

func TestAReadOnlyStoreChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	if _, err := Open(dir, Options{ReadOnly: true}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
	open(t, dir, Options{})
	s := open(t, dir, Options{ReadOnly: true})
	if _, err := s.Stage(1, 2, strings.NewReader("x")); !errors.Is(err, zodb.ErrReadOnly) {
		t.Errorf("stage: %v", err)
	}
	if err := s.SetAside(1, 2, "tr0"); !errors.Is(err, zodb.ErrReadOnly) {
		t.Errorf("set aside: %v", err)
	}
}

func TestAContentThatFailsLeavesNothing(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "blobs"), Options{FS: vfs.OS{}})
	broken := errors.New("cut")
	r := io.MultiReader(bytes.NewReader(make([]byte, 100)), &failing{broken})
	if _, err := s.Stage(1, 2, r); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if names := tmpNames(t, s.Dir()); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// A blob that a pack removes during a walk is passed over.
func TestAWalkPassesOverABlobThatIsRemovedMeanwhile(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	for tid := zodb.Tid(1); tid <= 3; tid++ {
		put(t, s, 1, tid)
	}
	var seen []zodb.Tid
	err := s.Walk(func(_ zodb.Oid, tid zodb.Tid, _ int64, _ string) error {
		if seen = append(seen, tid); tid == 1 {
			return s.Remove(1, 2)
		}
		return nil
	})
	if err != nil || len(seen) != 2 || seen[1] != 3 {
		t.Errorf("seen %v, %v", seen, err)
	}
}
