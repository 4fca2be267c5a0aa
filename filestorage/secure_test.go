package filestorage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// put writes a file to a simulated disk, durably.
func put(t *testing.T, disk *simdisk.Disk, path string, content []byte) vfs.File {
	t.Helper()
	f, err := disk.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err == nil {
		_, err = f.WriteAt(content, 0)
	}
	if err = errors.Join(err, f.Sync(), disk.SyncDir(".")); err != nil {
		t.Fatal(err)
	}
	return f
}

// overwrite changes a file so that it can be read, and is not on the disk: the sync of it has failed.
func overwrite(t *testing.T, disk *simdisk.Disk, f vfs.File, content []byte) {
	t.Helper()
	_, err := f.WriteAt(content, 0)
	disk.FailAt(len(disk.Ops())+1, syscall.EIO)
	if f.Sync() == nil || err != nil {
		t.Fatalf("the sync did not fail, %v", err)
	}
	disk.Heal()
}

// a5 is a record that makes a transaction of one length.
func a5(oid zodb.Oid) written { return written{oid: oid, data: []byte("12345")} }

// What was read while the storage was opened, and is not there any more after it was written again, does not count:
// pages that a failed sync left clean have gone out of memory. Whatever it is that changed, the storage is opened with
// what the disk has.
func TestWhatADiskDoesNotHaveDoesNotCount(t *testing.T) {
	for _, c := range []struct {
		name   string
		cached func(*builtFile) // what can be read at first
		onDisk func(*builtFile)
	}{
		{
			"a status that says finished",
			func(d *builtFile) { d.add(8, ' ', a5(1)) },
			func(d *builtFile) { d.add(8, 'c', a5(1)) },
		},
		{
			"a status that says unfinished",
			func(d *builtFile) { d.add(8, 'c', a5(1)) },
			func(d *builtFile) { d.add(8, ' ', a5(1)) },
		},
		{
			"a status that says unfinished, of an empty transaction",
			func(d *builtFile) { d.add(8, 'c') },
			func(d *builtFile) { d.add(8, ' ') },
		},
		{
			"a status that says unfinished, to none",
			func(d *builtFile) { d.add(8, 'c', a5(1)) },
			func(d *builtFile) { d.add(8, 'x', a5(1)) },
		},
		{
			"an object",
			func(d *builtFile) { d.add(8, ' ', a5(1)) },
			func(d *builtFile) { d.add(8, ' ', a5(9)) },
		},
		{
			"a tid",
			func(d *builtFile) { d.add(8, ' ', a5(1)) },
			func(d *builtFile) { d.add(9, ' ', a5(1)) },
		},
		{
			"a length",
			func(d *builtFile) { d.add(8, ' ', a5(1)); d.add(9, 'c', a5(1)) },
			func(d *builtFile) { d.add(8, ' ', written{oid: 1, data: make([]byte, 87)}) },
		},
		{
			"a second length",
			func(d *builtFile) { d.add(8, ' ', a5(1)) },
			func(d *builtFile) { d.add(8, 'c', a5(1)); clear(d.bytes[len(d.bytes)-4:]) },
		},
		{
			"a second length, to a wrong one",
			func(d *builtFile) { d.add(8, ' ', a5(1)) },
			func(d *builtFile) { d.add(8, ' ', a5(1)); clear(d.bytes[len(d.bytes)-4:]) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			cached, onDisk := newDataFile(), newDataFile()
			for _, d := range []*builtFile{cached, onDisk} {
				d.fill(3, 3, 10)
			}
			c.cached(cached)
			c.onDisk(onDisk)
			if len(cached.bytes) != len(onDisk.bytes) {
				t.Fatalf("%d bytes and %d", len(cached.bytes), len(onDisk.bytes))
			}
			want, wantErr := Open(t.Context(), "Data.fs", Options{FS: diskWith(t, onDisk.bytes)})
			disk := simdisk.New()
			overwrite(t, disk, put(t, disk, "Data.fs", onDisk.bytes), cached.bytes)
			var log bytes.Buffer
			s, err := Open(t.Context(), "Data.fs", Options{
				FS: disk, Logger: hclog.New(&hclog.LoggerOptions{Output: &log}),
				Progress: func(done, _ int64) {
					if done > int64(len(cached.bytes))/2 {
						disk.Evict()
					}
				},
			})
			if !strings.Contains(log.String(), "differs from what was read") {
				t.Errorf("nothing is told: %s", log.String())
			}
			if wantErr != nil {
				if err == nil || err.Error() != wantErr.Error() {
					t.Errorf("%v, want %v", err, wantErr)
				}
				return
			}
			defer want.Close()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if s.LastTid() != want.LastTid() || s.Size() != want.Size() {
				t.Errorf("up to %v at %d, want %v at %d", s.LastTid(), s.Size(), want.LastTid(), want.Size())
			}
			if diff := cmp.Diff(contents(t, want), contents(t, s)); diff != "" {
				t.Error(diff)
			}
			checkIndexAgainstFile(t, "opened", s)
		})
	}
}

func diskWith(t *testing.T, content []byte) *simdisk.Disk {
	t.Helper()
	disk := simdisk.New()
	put(t, disk, "Data.fs", content)
	return disk
}

// A file that reads differently each time is not opened.
func TestAFileThatNeverReadsTheSameIsNotOpened(t *testing.T) {
	d := newDataFile()
	d.fill(3, 3, 10)
	d.add(8, ' ', a5(1))
	disk := simdisk.New()
	f := put(t, disk, "Data.fs", d.bytes)
	read := 0
	_, err := Open(t.Context(), "Data.fs", Options{FS: disk, Progress: func(done, _ int64) {
		if done < d.at[3] {
			return
		}
		read++
		if _, err := f.WriteAt([]byte{" c"[read%2]}, d.at[3]+statusAt); err != nil {
			t.Error(err)
		}
	}})
	if !errors.Is(err, errChanged) || read != readings {
		t.Errorf("read %d times, %v", read, err)
	}
}

// All that counts is written again, however long it is: its pages may not be on the disk, although they can be read and
// a sync succeeds.
func TestALongTransactionThatWasNotSyncedIsWrittenAgain(t *testing.T) {
	d := newDataFile()
	d.fill(3, 3, 10)
	durable := slices.Clone(d.bytes)
	d.add(8, ' ', written{oid: 1, data: bytes.Repeat([]byte("long"), scanBuf)})
	disk := simdisk.New()
	overwrite(t, disk, put(t, disk, "Data.fs", durable), d.bytes)
	s, err := Open(t.Context(), "Data.fs", Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	shown := contents(t, s)
	crashed := disk.Crash(0)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = Open(t.Context(), "Data.fs", Options{FS: crashed})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if diff := cmp.Diff(shown, contents(t, s)); diff != "" || len(shown) != 4 {
		t.Errorf("what was shown is not there after a power failure: %s", diff)
	}
}

// At least tailLimit bytes of transactions, the largest not counted, may not be on the disk, and all that came after
// the saved index if that is less.
func TestHowMuchMayNotBeOnTheDisk(t *testing.T) {
	const size = 10 << 20
	f, err := vfs.OrOS(nil).OpenFile(filepath.Join(t.TempDir(), "Data.fs"), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var ends []int64
	end := int64(magicLen)
	for i := range 20 { // the data are holes
		n := int64(size)
		if i == 15 {
			n = 3 * size
		}
		end = hollow(t, f, end, zodb.Tid(i+1), ' ', n)
		ends = append(ends, end)
	}
	c := newScan(t.Context(), f, "Data.fs", end)
	c.pos = end
	for _, from := range []int64{magicLen, ends[11], ends[12], ends[17]} {
		start, err := c.unsure(from)
		var largest int64
		for i := len(ends) - 1; ends[i] > start; i-- {
			largest = max(largest, ends[i]-ends[i-1])
		}
		switch {
		case err != nil:
			t.Fatal(err)
		case start < from:
			t.Errorf("from %d on: %d is before the saved index", from, start)
		case start > from && end-start-largest < tailLimit-size:
			t.Errorf("from %d on: only what begins at %d", from, start)
		case end-start-largest > tailLimit+size:
			t.Errorf("from %d on: all from %d on is written again", from, start)
		}
	}
	c.pos = ends[2]
	if start, err := c.unsure(magicLen); start != 0 || err != nil {
		t.Errorf("a short file: from %d, %v: without its magic", start, err)
	}
}

// hollow writes a transaction of one record, whose data of n bytes are a hole, and returns where it ends.
func hollow(t *testing.T, f vfs.File, pos int64, tid zodb.Tid, status zodb.Status, n int64) int64 {
	t.Helper()
	h := txnHeader{Tid: tid, Status: status, Length: uint64(txnHeaderLen + recHeaderLen + n)}
	r := recHeader{Oid: 1, Tid: tid, Tloc: pos, PLen: uint64(n)}
	var b [txnHeaderLen + recHeaderLen]byte
	h.encode(b[:])
	r.encode(b[txnHeaderLen:])
	end := pos + int64(h.Length)
	_, err := f.WriteAt(b[:], pos)
	_, err2 := f.WriteAt(binary.BigEndian.AppendUint64(nil, h.Length), end)
	if err = errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return end + lengthLen
}

// A securing blob directory notes which blobs are made durable.
type securing struct {
	*blobstore.Store
	mu      sync.Mutex
	secured []revisionID
	fail    error
}

func (b *securing) Secure(oid zodb.Oid, tid zodb.Tid) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.secured = append(b.secured, revisionID{oid, tid})
	return b.fail
}

// The blobs of all transactions after the saved index are made durable before these count, as those that Python wrote
// are not. Where that fails the storage is not opened.
func TestBlobsOfWhatMayNotBeOnTheDiskAreMadeDurable(t *testing.T) {
	d := newDataFile()
	d.fill(2, 2, 10)
	indexed := int64(len(d.bytes))
	x := newIndex()
	for oid, pos := range d.x.all() {
		x.set(oid, pos)
	}
	d.add(20, ' ', a5(5), a5(6))
	d.add(21, 'p', a5(7))
	all := []revisionID{{0, 2}, {1, 4}, {5, 20}, {6, 20}, {7, 21}}
	for _, c := range []struct {
		name string
		save bool
		fail error
		want []revisionID
	}{
		{"without an index", false, nil, all},
		{"after the saved index", true, nil, all[2:]},
		{"a blob that cannot be synced", true, syscall.EIO, all[2:3]},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "Data.fs")
			if err := os.WriteFile(path, d.bytes, 0o666); err != nil {
				t.Fatal(err)
			}
			if c.save {
				if err := saveIndex(vfs.OrOS(nil), path+indexSuffix, x.all(), indexed); err != nil {
					t.Fatal(err)
				}
			}
			blobs := &securing{Store: openBlobs(t, filepath.Join(dir, "blobs")), fail: c.fail}
			s, err := Open(t.Context(), path, Options{Blobs: blobs})
			if !errors.Is(err, c.fail) || c.fail != nil && err == nil {
				t.Errorf("opened: %v", err)
			}
			if err == nil {
				defer s.Close()
			}
			if !slices.Equal(blobs.secured, c.want) {
				t.Errorf("made durable are %v, want %v", blobs.secured, c.want)
			}
		})
	}
}

// Opening a storage to read it writes nothing, whatever is beside it.
func TestAReaderWritesNothing(t *testing.T) {
	d := newDataFile()
	d.fill(3, 3, 10)
	whole := len(d.bytes)
	d.add(8, 'c', a5(1))
	for _, size := range []int{0, 2, magicLen, whole, whole + 30, len(d.bytes)} {
		disk := simdisk.New()
		put(t, disk, "Data.fs", d.bytes[:size])
		before := len(disk.Ops())
		s, err := Open(t.Context(), "Data.fs", Options{FS: disk, ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if wrote := disk.Ops()[before:]; len(wrote) > 0 {
			t.Errorf("of %d bytes: %v", size, wrote)
		}
	}
	for name, opt := range map[string]Options{"a reader": {ReadOnly: true}, "must exist": {MustExist: true}} {
		disk := simdisk.New()
		opt.FS = disk
		if _, err := Open(t.Context(), "Data.fs", opt); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s, no file: %v", name, err)
		}
		if _, err := disk.Stat("Data.fs"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s has made a file: %v", name, err)
		}
	}
}

// A metered disk counts what is read of the data file.
type meteredDisk struct {
	*simdisk.Disk
	read atomic.Int64
}

func (d *meteredDisk) OpenFile(path string, flag int, perm os.FileMode) (vfs.File, error) {
	f, err := d.Disk.OpenFile(path, flag, perm)
	if path != "Data.fs" {
		return f, err
	}
	return meteredFile{f, d}, err
}

type meteredFile struct {
	vfs.File
	d *meteredDisk
}

func (f meteredFile) ReadAt(b []byte, pos int64) (int, error) {
	f.d.read.Add(int64(len(b)))
	return f.File.ReadAt(b, pos)
}

// With a good index only what came after it is read and written again, and the index stays. One that does not belong
// to the file is told and replaced, a missing one is made.
func TestOpeningCostsWhatCameAfterTheSavedIndex(t *testing.T) {
	d := newDataFile()
	d.fill(8, 3, scanBuf)
	indexed := int64(len(d.bytes))
	x := newIndex()
	for oid, pos := range d.x.all() {
		x.set(oid, pos)
	}
	d.add(d.last+2, ' ', a5(1))
	for _, c := range []struct {
		name  string
		index func(*meteredDisk) error
		good  bool
		told  bool
	}{
		{"a good index", func(disk *meteredDisk) error {
			return saveIndex(disk, "Data.fs.index", x.all(), indexed)
		}, true, false},
		{"no index", func(*meteredDisk) error { return nil }, false, false},
		{"an index of another file", func(disk *meteredDisk) error {
			return saveIndex(disk, "Data.fs.index", x.all(), indexed+1)
		}, false, true},
		{"an index that cannot be read", func(disk *meteredDisk) error {
			put(t, disk.Disk, "Data.fs.index", []byte("something else"))
			return nil
		}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := &meteredDisk{Disk: simdisk.New()}
			put(t, disk.Disk, "Data.fs", d.bytes)
			if err := c.index(disk); err != nil {
				t.Fatal(err)
			}
			before := len(disk.Ops())
			var log bytes.Buffer
			s, err := Open(t.Context(), "Data.fs", Options{
				FS: disk, Logger: hclog.New(&hclog.LoggerOptions{Output: &log}),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			written, saved := 0, false
			for _, op := range disk.Ops()[before:] {
				if op.Kind == simdisk.Write && op.Path == "Data.fs" {
					written += op.Len
				}
				saved = saved || strings.Contains(op.Path, "Data.fs.index")
			}
			little := disk.read.Load() < 2*scanBuf && written < scanBuf
			if little != c.good || saved == c.good {
				t.Errorf("read %d, written %d bytes, index saved: %v", disk.read.Load(), written, saved)
			}
			if told := strings.Contains(log.String(), "cannot use the saved index"); told != c.told {
				t.Errorf("told: %s", log.String())
			}
			want := indexed
			if !c.good {
				want = int64(len(d.bytes))
			}
			_, pos, err := loadIndex(disk, "Data.fs.index")
			if pos != want || s.indexSaver.saved != want || err != nil {
				t.Errorf("the saved index is of %d, taken for %d, %v; want %d", pos, s.indexSaver.saved, err, want)
			}
			checkIndexAgainstFile(t, c.name, s)
		})
	}
}

// What a scan sees that is odd is counted and told; what packs and transactions that store an object twice do is not.
func TestWhatIsOddInAFileIsTold(t *testing.T) {
	prev := func(d *builtFile, txn int, to int64) {
		at := d.at[txn] + txnHeaderLen + 4
		var r recHeader
		r.decode(d.bytes[at:])
		r.Prev = to
		r.encode(d.bytes[at:])
	}
	for _, c := range []struct {
		name              string
		build             func(*builtFile)
		strange, disorder int
	}{
		{"nothing", func(d *builtFile) {}, 0, 0},
		{"another record before it", func(d *builtFile) { prev(d, 5, d.at[1]+27) }, 1, 0},
		{"none before it", func(d *builtFile) { prev(d, 5, 0) }, 1, 0},
		{"one where there is none", func(d *builtFile) { prev(d, 1, d.at[0]+27) }, 1, 0},
		{"none before it, packed", func(d *builtFile) {
			d.bytes[d.at[5]+statusAt] = 'p'
			prev(d, 5, 0)
		}, 0, 0},
		{"another one before it, packed", func(d *builtFile) {
			d.bytes[d.at[5]+statusAt] = 'p'
			prev(d, 5, d.at[1]+27)
		}, 1, 0},
		{"an object twice", func(d *builtFile) { d.add(20, ' ', a5(1), a5(1), a5(1)) }, 0, 0},
		{"a tid twice", func(d *builtFile) { d.add(d.last, ' ', a5(1)) }, 0, 1},
		{"tids that go down", func(d *builtFile) { d.add(1, ' ', a5(1)); d.add(2, ' ', a5(1)) }, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDataFile()
			d.fill(6, 3, 10)
			c.build(d)
			scan := newScan(t.Context(), d.source(t).file, "Data.fs", int64(len(d.bytes)))
			if err := scan.run(); err != nil || scan.strange != c.strange || scan.disorder != c.disorder {
				t.Errorf("%d records, %d tids, %v", scan.strange, scan.disorder, err)
			}
			var log bytes.Buffer
			s, err := Open(t.Context(), "Data.fs", Options{
				FS: diskWith(t, d.bytes), Logger: hclog.New(&hclog.LoggerOptions{Output: &log}),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for text, n := range map[string]int{"wrong pointer": c.strange, "a clock was wrong": c.disorder} {
				if strings.Contains(log.String(), text) != (n > 0) {
					t.Errorf("%s is told: %s", text, log.String())
				}
			}
		})
	}
}

// A scan that is given up has an error, and not an end.
func TestAScanThatIsGivenUpHasNoEnd(t *testing.T) {
	d := newDataFile()
	d.fill(3, 3, 10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, "Data.fs", Options{FS: diskWith(t, d.bytes)}); !errors.Is(err, context.Canceled) {
		t.Errorf("opened: %v", err)
	}
}
