package filestorage

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/zodb"
)

// A verdict is what opening a damaged file comes to: the error at Pos, or a good end with the rest of the file cut off.
type verdict struct {
	Pos      int64 // of the error, 0 for none
	Versions bool
	End      int64
	Last     zodb.Tid
	Kept     string // content of .tr0
}

func openVerdict(t *testing.T, data []byte, opt Options) verdict {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Data.fs")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), path, opt)
	var corrupt *zodb.CorruptError
	switch {
	case errors.As(err, &corrupt):
		if corrupt.File != path || corrupt.Want == "" || corrupt.Got == "" {
			t.Errorf("error does not say enough: %v", err)
		}
		unchanged(t, path, data)
		return verdict{Pos: corrupt.Pos}
	case errors.Is(err, ErrVersions):
		unchanged(t, path, data)
		return verdict{Versions: true}
	case err != nil:
		t.Fatal(err)
	}
	defer s.Close()
	v := verdict{End: s.Size(), Last: s.LastTid()}
	kept, err := os.ReadFile(path + ".tr0")
	if err == nil {
		v.Kept = string(kept)
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if opt.ReadOnly {
		unchanged(t, path, data)
	} else if got := mustRead(t, path); !bytes.Equal(got, data[:v.End]) {
		t.Errorf("file is not the good part: %d bytes, want %d", len(got), v.End)
	}
	return v
}

// unchanged checks that nothing but the data file, as it was, and a lock are there.
func unchanged(t *testing.T, path string, data []byte) {
	t.Helper()
	if !bytes.Equal(mustRead(t, path), data) {
		t.Error("the file was changed")
	}
	if kept, err := filepath.Glob(path + ".tr*"); len(kept) > 0 {
		t.Errorf("something was kept: %v, %v", kept, err)
	}
}

// The damage that the fixture lists is an error that names the place, never a cut; what is a tail is cut and kept; the
// last tid is that of the last good transaction.
func TestOpenDamaged(t *testing.T) {
	dir := filepath.Join(fixtures, "corrupt-length")
	good := mustRead(t, filepath.Join(dir, "good.fs"))
	const third, end = 301, 814 // offset of the third of five transactions
	fine := verdict{End: end, Last: 0x03f8658025555555}
	wants := map[string]verdict{
		"length + 8":                 {Pos: 455},
		"length - 1":                 {Pos: 411},
		"length below header length": {Pos: third + 8},
		"length 2^40":                {Pos: third + 8},
		"length 2^63":                {Pos: third + 8},
		"length 2^64-1":              {Pos: third + 8},
		"redundant length":           {Pos: 455},
		"redundant length of the last transaction": {Pos: 806},
		"status x":                      {Pos: third + 16},
		"status c in the middle":        {End: third, Last: 0x03f8658015555555},
		"tid zero":                      fine,
		"record: tloc":                  {Pos: 329 + 24},
		"record: prev":                  fine,
		"record: version length":        {Versions: true},
		"record: data length too large": {Pos: 329 + 34},
		"record: data length 2^64-1":    {Pos: 329 + 34},
		"record: oid":                   fine,
		"100 zero bytes appended":       fine,
		"10 zero bytes appended":        fine,
	}
	var fixture struct {
		Variants []struct {
			Variant  string
			At       int64  `json:"first_difference"`
			Patch    string `json:"patch_hex"`
			Appended string `json:"appended_hex"`
		}
	}
	readJSON(t, filepath.Join(dir, "expected.json"), &fixture)
	for _, v := range fixture.Variants {
		t.Run(v.Variant, func(t *testing.T) {
			data := bytes.Clone(good)
			patch, _ := hex.DecodeString(v.Patch)
			copy(data[v.At:], patch)
			tail, _ := hex.DecodeString(v.Appended)
			data = append(data, tail...)
			want, ok := wants[v.Variant]
			if !ok {
				t.Fatal("a variant that this test does not know")
			}
			if diff := cmp.Diff(want, openVerdict(t, data, Options{ReadOnly: true})); diff != "" {
				t.Errorf("read-only (-want +got):\n%s", diff)
			}
			if want.End != 0 {
				want.Kept = string(data[want.End:])
			}
			if diff := cmp.Diff(want, openVerdict(t, data, Options{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Cut anywhere, the torn-tail fixture opens to the last whole transaction, and keeps the rest.
func TestOpenTornTail(t *testing.T) {
	good := mustRead(t, filepath.Join(fixtures, "corrupt-length", "good.fs"))
	ends := []int64{4, 148, 301, 463, 634, 814}
	tids := []zodb.Tid{
		0, 0x03f8658010000000, 0x03f8658015555555, 0x03f865801aaaaaaa, 0x03f8658020000000, 0x03f8658025555555,
	}
	for size := 4; size <= len(good); size += 3 { // 3: all places in a header and a record come up
		i := 0
		for i+1 < len(ends) && ends[i+1] <= int64(size) {
			i++
		}
		want := verdict{End: ends[i], Last: tids[i], Kept: string(good[ends[i]:size])}
		if diff := cmp.Diff(want, openVerdict(t, good[:size], Options{})); diff != "" {
			t.Errorf("cut at %d (-want +got):\n%s", size, diff)
		}
	}
}

// A length that points beyond the end of the file is damage when the transaction is whole after all, although the file
// ends in a torn transaction so that nothing can be followed backwards.
func TestOpenDamageBeforeTornTail(t *testing.T) {
	good := mustRead(t, filepath.Join(fixtures, "corrupt-length", "good.fs"))
	data := bytes.Clone(good[:700])
	binary.BigEndian.PutUint64(data[301+8:], 1<<40)
	if diff := cmp.Diff(verdict{Pos: 301 + 8}, openVerdict(t, data, Options{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A status 'c', or a header that was never written, begins the tail also when transactions of its group follow, but not
// when more follow than can have been on their way to the disk.
func TestOpenUnfinishedGroup(t *testing.T) {
	for _, c := range []struct {
		name   string
		unmake func(header []byte)
	}{
		{"status c", func(b []byte) { b[16] = 'c' }},
		{"header of zeros", func(b []byte) { clear(b[:23]) }},
	} {
		for _, follow := range []int{0, 1, 10, 70} {
			t.Run(fmt.Sprintf("%s, %d MiB follow", c.name, follow), func(t *testing.T) {
				d := newDataFile()
				d.fill(3, 3, 10)
				end := len(d.bytes)
				d.fill(1, 1, 10)
				d.fill(follow, 5, 1<<20)
				c.unmake(d.bytes[end:])
				want := verdict{End: int64(end), Last: d.tids[2], Kept: string(d.bytes[end:])}
				if follow > 64 {
					want = verdict{Pos: int64(end) + 16}
				}
				got := openVerdict(t, d.bytes, Options{})
				if got != want {
					got.Kept, want.Kept = digest([]byte(got.Kept)), digest([]byte(want.Kept))
					t.Errorf("got %+v, want %+v", got, want)
				}
			})
		}
	}
}

// What recovery cuts off goes to the first free number.
func TestKeepTailsApart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "Data.fs")
	good := mustRead(t, filepath.Join(fixtures, "one-txn", "Data.fs"))
	for n := range 3 {
		tail := strings.Repeat("c", n+1)
		if err := os.WriteFile(path, append(bytes.Clone(good), tail...), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := mustOpen(t, path, Options{}).Close(); err != nil {
			t.Fatal(err)
		}
		if got := string(mustRead(t, fmt.Sprintf("%s.tr%d", path, n))); got != tail {
			t.Errorf("tail %d is %q, want %q", n, got, tail)
		}
	}
}

// Blobs of a transaction that recovery cuts off are set aside; those of committed ones stay.
func TestBlobsOfLostTransaction(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, filepath.Join(dir, "Data.fs"), Options{Blobs: openBlobs(t, filepath.Join(dir, "blobs"))})
	var tids []zodb.Tid
	for i := range 2 {
		txn := mustBegin(t, s, &zodb.TxnMeta{})
		serial := zodb.Tid(0)
		if i > 0 {
			serial = tids[0]
		}
		if err := txn.StoreBlob(1, serial, []byte("record"), strings.NewReader("content")); err != nil {
			t.Fatal(err)
		}
		tids = append(tids, mustFinish(t, txn))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(s.Path(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{'c'}, lastTxn(t, s.Path())+16); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, s.Path(), Options{Blobs: openBlobs(t, filepath.Join(dir, "blobs"))})
	if got := readBlob(t, s, 1, tids[0]); got != "content content" {
		t.Errorf("blob of the committed transaction: %s", got)
	}
	aside := fmt.Sprintf("%016x.%016x.blob", 1, uint64(tids[1]))
	if got := string(mustRead(t, filepath.Join(dir, "blobs", ".tr0", aside))); got != "content" {
		t.Errorf("blob set aside is %q", got)
	}
	if _, err := s.blobs.OpenBlob(1, tids[1]); err == nil {
		t.Error("the blob of the lost transaction is still there")
	}
}

// lastTxn returns the offset of the last transaction of a file.
func lastTxn(t *testing.T, path string) int64 {
	t.Helper()
	b := mustRead(t, path)
	return int64(len(b)) - 8 - int64(binary.BigEndian.Uint64(b[len(b)-8:]))
}

// An empty Data.fs is a new storage; a missing one is not created where there are signs of a lost one.
func TestCreate(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(dir string) error
		refused bool
	}{
		{"nothing", func(string) error { return nil }, false},
		{"zero bytes", func(dir string) error { return os.WriteFile(dir+"/Data.fs", nil, 0o666) }, false},
		{"half a magic", func(dir string) error { return os.WriteFile(dir+"/Data.fs", []byte("FS"), 0o666) }, false},
		{"beside .old", func(dir string) error { return os.WriteFile(dir+"/Data.fs.old", nil, 0o666) }, true},
		{"beside .pack", func(dir string) error { return os.WriteFile(dir+"/Data.fs.pack", nil, 0o666) }, true},
		{"beside blobs", func(dir string) error {
			return os.CopyFS(dir+"/blobs", os.DirFS(filepath.Join(fixtures, "blobs-bushy/blobs")))
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := c.prepare(dir); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "Data.fs")
			s, err := Open(t.Context(), path, Options{Blobs: openBlobs(t, filepath.Join(dir, "blobs"))})
			if c.refused {
				var refused *CreateError
				if !errors.As(err, &refused) {
					t.Fatalf("%v, want a CreateError", err)
				}
				if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the file was created all the same: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got := string(mustRead(t, path)); got != "FS30" || s.Size() != 4 || s.LastTid() != 0 {
				t.Errorf("file %q, end %d, last tid %v", got, s.Size(), s.LastTid())
			}
		})
	}
}

// A file that is no Data.fs is an error and stays as it is.
func TestOpenOtherFile(t *testing.T) {
	zeros := strings.Repeat("\x00", 100)
	for _, content := range []string{
		"F", "FS3", "FS2", zeros[:1], zeros[:4], "abc", "FS31 and more", "text file", "FS", zeros[:5], zeros,
	} {
		path := filepath.Join(t.TempDir(), "Data.fs")
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), path, Options{})
		var corrupt *zodb.CorruptError
		if strings.HasPrefix("FS30", content) || strings.HasPrefix("FS21", content) || content <= zeros[:4] {
			if err != nil {
				t.Errorf("%q: %v", content, err)
			} else {
				s.Close()
			}
		} else if !errors.As(err, &corrupt) || string(mustRead(t, path)) != content {
			t.Errorf("%q: %v, file is %q", content, err, mustRead(t, path))
		}
	}
}

// While a storage is open for writing nobody else opens it so; reading is possible.
func TestLock(t *testing.T) {
	s := openFixture(t, "one-txn", Options{})
	_, err := Open(t.Context(), s.Path(), Options{})
	var locked *LockError
	if !errors.As(err, &locked) || locked.Pid != os.Getpid() || locked.Path != s.Path()+".lock" {
		t.Errorf("second open: %v", err)
	}
	if got, want := string(mustRead(t, s.Path()+".lock")), fmt.Sprintf(" %d\n", os.Getpid()); got != want {
		t.Errorf("lock file has %q, want %q", got, want)
	}
	mustOpen(t, s.Path(), Options{ReadOnly: true})
	reopen(t, s)
}

// A scan reports how far it is, and ends with its context; the lock is free again then.
func TestScanProgress(t *testing.T) {
	d := newDataFile()
	d.fill(40, 40, 100_000)
	path := filepath.Join(t.TempDir(), "Data.fs")
	if err := os.WriteFile(path, d.bytes, 0o666); err != nil {
		t.Fatal(err)
	}
	size := int64(len(d.bytes))
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("no time")
	_, err := Open(ctx, path, Options{Progress: func(done, total int64) {
		if done > 2<<20 {
			cancel(cause)
		}
	}})
	if !errors.Is(err, cause) {
		t.Errorf("open with a context that ended: %v", err)
	}
	last := int64(0)
	mustOpen(t, path, Options{Progress: func(done, total int64) {
		if done < last || total != size {
			t.Errorf("progress %d of %d after %d, file has %d bytes", done, total, last, size)
		}
		last = done
	}})
	if last != size {
		t.Errorf("progress ended at %d of %d", last, size)
	}
}
