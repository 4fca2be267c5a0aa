package filestorage

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// A lossyDisk does not give one byte of a file.
type lossyDisk struct {
	vfs.FS
	at atomic.Int64 // 0: it gives all
}

func (d *lossyDisk) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := d.FS.OpenFile(path, flag, perm)
	return &lossyFile{f, d}, err
}

type lossyFile struct {
	vfs.File
	d *lossyDisk
}

func (f *lossyFile) ReadAt(b []byte, off int64) (int, error) {
	at := f.d.at.Load()
	if at == 0 || at < off || at >= off+int64(len(b)) {
		return f.File.ReadAt(b, off)
	}
	n, err := f.File.ReadAt(b[:at-off], off)
	return n, errors.Join(err, syscall.EIO)
}

// What the disk does not give is told like damage, with its place, by loads, iterations and packs. Who needs something
// else gets it, also from just before that place.
func TestWhatTheDiskDoesNotGiveIsTold(t *testing.T) {
	d, records := sampleFile()
	at := records[2][0] + recHeaderLen
	for name, meet := range map[string]func(*Storage) error{
		"load": func(s *Storage) error { _, _, err := s.Load(3); return err },
		"iteration": func(s *Storage) error {
			for txn, err := range s.Transactions(t.Context(), 0) {
				for err == nil {
					var rec *zodb.Record
					if rec, err = txn.NextRecord(); err == nil && rec.Size > 0 {
						_, err = io.Copy(io.Discard, rec.Data)
					}
				}
				if !errors.Is(err, io.EOF) {
					return err
				}
			}
			return nil
		},
		"pack": func(s *Storage) error {
			_, err := s.Pack(t.Context(), 45, PackOptions{})
			return err
		},
	} {
		disk := &lossyDisk{FS: simdisk.New()}
		put(t, disk.FS.(*simdisk.Disk), "Data.fs", d.bytes)
		var met []int64
		s := mustOpen(t, "Data.fs", Options{FS: disk, Damaged: func(err error) {
			if lost := (*UnreadableError)(nil); errors.As(err, &lost) && lost.File == "Data.fs" {
				met = append(met, lost.Pos)
			}
		}})
		disk.at.Store(at)
		if err := meet(s); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: got %v", name, err)
		}
		if len(met) == 0 || met[0] != at {
			t.Errorf("%s: met at %v, want %d", name, met, at)
		}
		for _, oid := range []zodb.Oid{1, 2} { // before it, and in what is read ahead
			if _, _, err := s.Load(oid); err != nil {
				t.Errorf("%s: object %v: %v", name, oid, err)
			}
		}
	}
}

// What is known of damage is what readers of objects get, until it is repaired: the right bytes, where somebody has
// proved them, or an error for that record. The file stays as it is.
func TestReadersSeeWhatIsKnownOfDamage(t *testing.T) {
	d, records := sampleFile()
	disk := simdisk.New()
	f := put(t, disk, "Data.fs", d.bytes)
	s := mustOpen(t, "Data.fs", Options{FS: disk})
	right, _, err := s.Load(3)
	if err != nil {
		t.Fatal(err)
	}
	at := records[2][0] + recHeaderLen
	damaged := flipped(d.bytes, at)
	overwriteDurably(t, f, damaged)
	file := s.Edition()
	s.SetDamaged(file, []Part{{at, at + 1}})
	if _, _, err := s.Load(3); DamageIn(err) == nil {
		t.Errorf("of what is known to be damaged: %v", err)
	}
	if _, _, err := s.Load(2); err != nil {
		t.Errorf("another object: %v", err)
	}
	r := repairOf(d, 2, damaged)
	prove := func(vfs.FS) (Part, []Patch, error) { return Part{r.From, r.To}, r.Patches, nil }
	if err := s.Correct(prove); err != nil {
		t.Fatal(err)
	}
	s.SetDamaged(file, []Part{{at, at + 1}}) // it is still there when it is looked at again
	if got, _, err := s.Load(3); err != nil || !bytes.Equal(got, right) {
		t.Errorf("got %q, %v, want %q", got, err, right)
	}
	whole := func(vfs.FS) (Part, []Patch, error) {
		return Part{magicLen, file.e.size()}, []Patch{{at, d.bytes[at : at+1]}}, nil
	}
	if err := s.Correct(whole); err != nil {
		t.Fatal(err)
	}
	other := records[4][0] + recHeaderLen // it was right when the whole file was proved, and is wrong now
	s.SetDamaged(file, []Part{{at, at + 1}, {other, other + 1}})
	if _, _, err := s.Load(2); DamageIn(err) == nil {
		t.Errorf("of what was damaged after it was proved: %v", err)
	}
	if err := s.Repair(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	s.SetDamaged(file, nil)
	if got, _, err := s.Load(3); err != nil || !bytes.Equal(got, right) || s.present().corrected.Load() != nil {
		t.Errorf("after the repair: got %q, %v, want %q, from the file", got, err, right)
	}
}

// What was found of a file does not count for the one that a pack has put in its place.
func TestWhatIsKnownOfDamageIsOfOneFile(t *testing.T) {
	d, _ := sampleFile()
	disk := simdisk.New()
	put(t, disk, "Data.fs", d.bytes)
	s := mustOpen(t, "Data.fs", Options{FS: disk})
	file := s.Edition()
	err := s.Correct(func(seen vfs.FS) (Part, []Patch, error) {
		if result, err := s.Pack(t.Context(), 45, PackOptions{}); err != nil || result.Before == result.After {
			t.Fatalf("got %+v, %v", result, err)
		}
		_, err := seen.OpenFile("Data.fs", 0, 0)
		return Part{}, nil, err
	})
	if !errors.Is(err, ErrReplaced) {
		t.Errorf("got %v", err)
	}
	s.SetDamaged(file, []Part{{magicLen, file.e.size()}})
	if _, _, err := s.Load(3); err != nil {
		t.Error(err)
	}
}

// Patches are kept in memory up to a bound.
func TestCorrectionsAreBounded(t *testing.T) {
	var c corrections
	if err := c.prove(Part{0, maxCorrections}, []Patch{{0, make([]byte, maxCorrections)}}); err != nil {
		t.Fatal(err)
	}
	err := c.prove(Part{maxCorrections, maxCorrections + 1}, []Patch{{maxCorrections, []byte{1}}})
	if !errors.Is(err, errCorrections) || len(c.patches) != 1 {
		t.Errorf("got %v, with %d", err, len(c.patches))
	}
}

// Iterators and seeds give out right bytes as soon as they are known: no copy is to be made of known damage.
func TestIteratorsAndSnapshotsSeeWhatIsProved(t *testing.T) {
	d, records := sampleFile()
	disk := simdisk.New()
	f := put(t, disk, "Data.fs", d.bytes)
	s := mustOpen(t, "Data.fs", Options{FS: disk})
	overwriteDurably(t, f, flipped(d.bytes, records[2][0]+recHeaderLen))
	snapshot, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	all, err := s.Iterate(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	r := repairOf(d, 2, flipped(d.bytes, records[2][0]+recHeaderLen))
	prove := func(vfs.FS) (Part, []Patch, error) { return Part{r.From, r.To}, r.Patches, nil }
	if err := s.Correct(prove); err != nil { // after both were opened
		t.Fatal(err)
	}
	got := make([]byte, len(d.bytes))
	if _, err := snapshot.ReadAt(got, 0); err != nil || !bytes.Equal(got, d.bytes) {
		t.Errorf("the snapshot has other bytes than were written: %v", err)
	}
	for n := range 3 {
		txn, err := all.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n < 2 {
			continue
		}
		rec, err := txn.NextRecord()
		if err != nil {
			t.Fatal(err)
		}
		want := d.bytes[records[2][0]+recHeaderLen:][:rec.Size]
		if data, err := io.ReadAll(rec.Data); err != nil || !bytes.Equal(data, want) {
			t.Errorf("the iterator has %q, %v, want %q", data, err, want)
		}
	}
}
