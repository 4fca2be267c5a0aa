package filestorage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// sampleFile is a file with records of several objects, a back pointer, and an object that is only in its third
// transaction.
func sampleFile() (d *builtFile, records [][]int64) {
	d = newDataFile()
	records = append(records, d.add(10, ' ', written{oid: 1, data: []byte("one")},
		written{oid: 2, data: []byte("two")}))
	records = append(records, d.add(20, ' ', written{oid: 1, data: []byte("one again")}))
	records = append(records, d.add(30, ' ', written{oid: 3, data: bytes.Repeat([]byte("three"), 300)}))
	records = append(records, d.add(40, ' ', written{oid: 1, back: records[0][0]}))
	records = append(records, d.add(50, ' ', written{oid: 2, data: []byte("two again")}))
	return d, records
}

// flipped returns content with one bit of the byte at pos flipped.
func flipped(content []byte, pos int64) []byte {
	b := bytes.Clone(content)
	b[pos] ^= 4
	return b
}

// repairOf returns the repair of transaction n, which makes a damaged file what it was.
func repairOf(d *builtFile, n int, damaged []byte) *Repair {
	end := int64(len(d.bytes))
	if n+1 < len(d.at) {
		end = d.at[n+1]
	}
	r := &Repair{From: d.at[n], To: end, Damage: Damage{Found: "a flipped bit", By: "a test", Peer: "db2:5000"}}
	for at := r.From; at < r.To; at++ {
		if damaged[at] != d.bytes[at] {
			r.Patches = append(r.Patches, Patch{at, d.bytes[at : at+1]})
		}
	}
	return r
}

func contentOf(t *testing.T, disk vfs.FS, path string) []byte {
	t.Helper()
	f, err := disk.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// reasons reads the reason files beside crashPath or Data.fs.
func reasons(t *testing.T, disk vfs.FS, folder string) (list []Quarantined) {
	t.Helper()
	entries, err := disk.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".json" {
			continue
		}
		var q Quarantined
		if err := json.Unmarshal(contentOf(t, disk, filepath.Join(folder, e.Name())), &q); err != nil {
			t.Fatal(err)
		}
		list = append(list, q)
	}
	return list
}

// Whatever byte of a transaction is damaged: the storage, which is open, gets it back to byte identity, and the byte
// that was there is kept aside, with the reason.
func TestARepairMakesAFileWhatItWas(t *testing.T) {
	d, _ := sampleFile()
	for pos := int64(magicLen); pos < int64(len(d.bytes)); pos += 7 {
		disk := simdisk.New()
		f := put(t, disk, "Data.fs", d.bytes)
		s := mustOpen(t, "Data.fs", Options{FS: disk})
		damaged := flipped(d.bytes, pos)
		overwriteDurably(t, f, damaged)
		n := 0
		for n+1 < len(d.at) && d.at[n+1] <= pos {
			n++
		}
		r := repairOf(d, n, damaged)
		if err := s.Repair(t.Context(), r); err != nil {
			t.Fatalf("byte %d: %v", pos, err)
		}
		if !bytes.Equal(contentOf(t, disk, "Data.fs"), d.bytes) {
			t.Fatalf("byte %d: the file is not what it was", pos)
		}
		q := reasons(t, disk, QuarantineFolder)
		if len(q) != 1 || q[0].Offset != pos || q[0].Length != 1 || q[0].Found != r.Found || q[0].Peer != r.Peer {
			t.Fatalf("byte %d: quarantine has %+v", pos, q)
		}
		kept := contentOf(t, disk, filepath.Join(QuarantineFolder, q[0].Bytes))
		if !bytes.Equal(kept, damaged[pos:pos+1]) {
			t.Fatalf("byte %d: kept %x, want %x", pos, kept, damaged[pos])
		}
		s.Close()
	}
}

func overwriteDurably(t *testing.T, f vfs.File, content []byte) {
	t.Helper()
	if _, err := f.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// Bytes that would make a file of another structure are refused, whoever has proved them, and nothing is written.
func TestARepairThatWouldBreakTheStructureIsRefused(t *testing.T) {
	d, records := sampleFile()
	last := int64(len(d.bytes))
	for name, r := range map[string]*Repair{
		"length":        {From: d.at[1], To: d.at[2], Patches: []Patch{{d.at[1] + 15, []byte{1}}}},
		"status":        {From: d.at[1], To: d.at[2], Patches: []Patch{{d.at[1] + statusAt, []byte{'c'}}}},
		"second length": {From: d.at[1], To: d.at[2], Patches: []Patch{{d.at[2] - 1, []byte{1}}}},
		"tloc":          {From: d.at[1], To: d.at[2], Patches: []Patch{{records[1][0] + 31, []byte{9}}}},
		"prev":          {From: d.at[1], To: d.at[2], Patches: []Patch{{records[1][0] + 23, []byte{9}}}},
		"prev of another": {From: d.at[1], To: d.at[2], Patches: []Patch{
			{records[1][0] + 23, []byte{byte(records[0][1])}}}},
		"back pointer":     {From: d.at[3], To: d.at[4], Patches: []Patch{{records[3][0] + 49, []byte{9}}}},
		"magic":            {From: 0, To: d.at[1], Patches: []Patch{{0, []byte("FSxx")}}},
		"not at its start": {From: d.at[1] + 1, To: d.at[2], Patches: []Patch{{d.at[2] - 1, []byte{1}}}},
		"not at its end":   {From: d.at[1], To: d.at[2] - 1, Patches: []Patch{{d.at[1] + 24, []byte{1}}}},
		"beyond the end":   {From: d.at[4], To: last + 1, Patches: []Patch{{last - 1, []byte{1}}}},
		"patch outside":    {From: d.at[1], To: d.at[2], Patches: []Patch{{d.at[2], []byte{1}}}},
		"no patch":         {From: d.at[1], To: d.at[2]},
		"patches in disorder": {From: d.at[1], To: d.at[2], Patches: []Patch{
			{d.at[1] + 24, []byte{1}}, {d.at[1] + 23, []byte{1}}}},
	} {
		t.Run(name, func(t *testing.T) {
			disk := simdisk.New()
			put(t, disk, "Data.fs", d.bytes)
			s := mustOpen(t, "Data.fs", Options{FS: disk})
			if err := s.Repair(t.Context(), r); err == nil {
				t.Error("it was repaired")
			}
			if !bytes.Equal(contentOf(t, disk, "Data.fs"), d.bytes) || reasons(t, disk, QuarantineFolder) != nil {
				t.Error("something was written")
			}
		})
	}
}

// A storage that was opened with a record of the wrong oid finds the right records after the repair, and so does the
// next one: also for the object whose oid the damaged record had.
func TestARepairCorrectsTheIndex(t *testing.T) {
	d, records := sampleFile()
	for name, c := range map[string]struct {
		txn, rec int
		is       byte // the damaged oid
	}{
		"an oid that no other has":  {2, 0, 77},
		"the oid of another object": {4, 0, 1},
		"of an older record":        {0, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			damaged := bytes.Clone(d.bytes)
			damaged[records[c.txn][c.rec]+7] = c.is
			disk := simdisk.New()
			put(t, disk, "Data.fs", damaged)
			s := mustOpen(t, "Data.fs", Options{FS: disk})
			if err := s.Repair(t.Context(), repairOf(d, c.txn, damaged)); err != nil {
				t.Fatal(err)
			}
			checkIndexOf(t, d, s)
			saved, end, err := SavedIndex(disk, "Data.fs")
			if err != nil || end != int64(len(d.bytes)) || saved.Len() != d.x.len() {
				t.Errorf("the saved index has %d entries up to %d, error %v", saved.Len(), end, err)
			}
			s.Close()
			checkIndexOf(t, d, mustOpen(t, "Data.fs", Options{FS: disk}))
		})
	}
}

// A transaction that was open as an undone one, with none of its records, counts again.
func TestARepairOfAStatusCorrectsTheIndex(t *testing.T) {
	d, _ := sampleFile()
	damaged := bytes.Clone(d.bytes)
	damaged[d.at[2]+statusAt] = 'u'
	disk := simdisk.New()
	put(t, disk, "Data.fs", damaged)
	s := mustOpen(t, "Data.fs", Options{FS: disk})
	if err := s.Repair(t.Context(), repairOf(d, 2, damaged)); err != nil {
		t.Fatal(err)
	}
	checkIndexOf(t, d, s)
}

func checkIndexOf(t *testing.T, d *builtFile, s *Storage) {
	t.Helper()
	got, want := map[zodb.Oid]int64{}, map[zodb.Oid]int64{}
	for oid, pos := range s.index.all() {
		got[oid] = pos
	}
	for oid, pos := range d.x.all() {
		want[oid] = pos
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || s.Len() != len(want) {
		t.Errorf("the index is %v, want %v", got, want)
	}
	for oid := range want {
		if _, _, err := s.Load(oid); err != nil {
			t.Errorf("load of oid %v: %v", oid, err)
		}
	}
}

// Whenever the power goes off during a repair, or the process is killed, the next open finds the file as it was or
// repaired, nothing in between, and what it has found stays.
func TestACrashDuringARepair(t *testing.T) {
	d, records := sampleFile()
	damaged := flipped(flipped(d.bytes, records[2][0]+7), records[2][0]+recHeaderLen+1000)
	begin := func() (*simdisk.Disk, *Storage) {
		disk := simdisk.New()
		put(t, disk, "Data.fs", damaged)
		s, err := Open(t.Context(), "Data.fs", Options{FS: disk})
		if err != nil {
			t.Fatal(err)
		}
		return disk, s
	}
	repaired := 0
	for n, done := 1, false; !done; n++ {
		for seed := range uint64(8) {
			disk, s := begin()
			disk.PowerOffAt(len(disk.Ops()) + n)
			done = s.Repair(t.Context(), repairOf(d, 2, damaged)) == nil
			after := disk.Crash(seed)
			_ = s.Close() // it has no disk any more
			if checkRepaired(t, fmt.Sprintf("power off at %d, seed %d", n, seed), after, d, damaged) {
				repaired++
			} else if done {
				t.Fatal("a repair that was done is not there after a crash")
			}
		}
		disk, s := begin()
		disk.KillAt(len(disk.Ops()) + n)
		_ = s.Repair(t.Context(), repairOf(d, 2, damaged))
		_ = s.Close() // it writes nothing any more
		disk.Revive()
		checkRepaired(t, fmt.Sprintf("killed at %d", n), disk, d, damaged)
	}
	if repaired < 16 {
		t.Errorf("only %d of the crashes left a repaired file", repaired)
	}
}

// checkRepaired opens what a crash has left, and reports whether that is the repaired file.
func checkRepaired(t *testing.T, when string, disk *simdisk.Disk, d *builtFile, damaged []byte) bool {
	t.Helper()
	s, err := Open(t.Context(), "Data.fs", Options{FS: disk})
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	now := contentOf(t, disk, "Data.fs")
	if _, err := disk.Stat("Data.fs" + repairSuffix); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s: the plan is still there: %v", when, err)
	}
	if !bytes.Equal(now, d.bytes) && !bytes.Equal(now, damaged) {
		t.Fatalf("%s: the file is neither as it was nor repaired", when)
	}
	if bytes.Equal(now, d.bytes) {
		s, err := Open(t.Context(), "Data.fs", Options{FS: disk})
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		checkIndexOf(t, d, s)
		s.Close()
		if q := reasons(t, disk, QuarantineFolder); len(q) != 1 || q[0].Length != 2 {
			t.Fatalf("%s: repaired, and the quarantine has %+v", when, q)
		}
	}
	if !bytes.Equal(contentOf(t, disk.Crash(1), "Data.fs"), now) {
		t.Fatalf("%s: what was found is not durable", when)
	}
	return bytes.Equal(now, d.bytes)
}

// A plan that was left beside another file, or that is damaged, is put aside, and the file is not touched.
func TestAPlanOfAnotherFileIsPutAside(t *testing.T) {
	d, records := sampleFile()
	damaged := flipped(d.bytes, records[2][0]+recHeaderLen)
	plan := newRepairPlan(bytes.NewReader(damaged), repairOf(d, 2, damaged).Patches)
	other := bytes.Clone(d.bytes)
	other[records[2][0]+recHeaderLen] = 'x'
	for name, c := range map[string]struct{ file, plan []byte }{
		"another content": {other, plan.encode()},
		"a shorter file":  {d.bytes[:d.at[2]], plan.encode()},
		"a damaged plan":  {damaged, flipped(plan.encode(), 20)},
		"an empty plan":   {damaged, nil},
	} {
		t.Run(name, func(t *testing.T) {
			disk := simdisk.New()
			put(t, disk, "Data.fs", c.file)
			put(t, disk, "Data.fs"+repairSuffix, c.plan)
			mustOpen(t, "Data.fs", Options{FS: disk})
			if !bytes.Equal(contentOf(t, disk, "Data.fs"), c.file) {
				t.Error("the file was changed")
			}
			entries, err := disk.ReadDir(QuarantineFolder)
			if err != nil || len(entries) != 1 || !strings.HasSuffix(entries[0].Name(), ".plan") {
				t.Errorf("quarantine has %v, error %v", entries, err)
			}
		})
	}
}

// A file that cannot be opened because of the damage is repaired without being opened.
func TestARepairOfAFileThatCannotBeOpened(t *testing.T) {
	d, _ := sampleFile()
	for name, pos := range map[string]int64{
		"magic": 1, "length": d.at[1] + 14, "status": d.at[1] + statusAt, "second length": d.at[2] - 1,
	} {
		t.Run(name, func(t *testing.T) {
			disk := simdisk.New()
			damaged := flipped(d.bytes, pos)
			put(t, disk, "Data.fs", damaged)
			if s, err := Open(t.Context(), "Data.fs", Options{FS: disk}); err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			r := repairOf(d, 1, damaged)
			if name == "magic" {
				r = &Repair{From: 0, To: d.at[1], Patches: []Patch{{0, []byte("FS30")}}}
			}
			if err := RepairFile(t.Context(), disk, "Data.fs", nil, r); err != nil {
				t.Fatal(err)
			}
			checkIndexOf(t, d, mustOpen(t, "Data.fs", Options{FS: disk}))
			var locked *LockError
			if err := RepairFile(t.Context(), disk, "Data.fs", nil, r); !errors.As(err, &locked) {
				t.Errorf("repair beside a server: %v", err)
			}
		})
	}
}

// Sectors that the disk does not give are replaced, and kept as far as they could be read.
func TestARepairOfSectorsThatCannotBeRead(t *testing.T) {
	d := newDataFile()
	d.fill(40, 5, 1000)
	bad := int64(2 * sectorLen)
	f := &badSectors{File: bytesFile{bytes.NewReader(d.bytes)}, from: bad, to: bad + sectorLen}
	patches := []Patch{{bad - 10, d.bytes[bad-10 : bad+sectorLen+10]}}
	got := make([]byte, len(d.bytes))
	if _, err := Patched(f, patches).ReadAt(got, 0); err != nil || !bytes.Equal(got, d.bytes) {
		t.Fatalf("the patched file reads otherwise: %v", err)
	}
	plan := newRepairPlan(f, patches)
	if p := plan.parts[0]; p.readable || !bytes.Equal(p.was[:10], d.bytes[bad-10:bad]) ||
		!bytes.Equal(p.was[10+sectorLen:], d.bytes[bad+sectorLen:][:10]) || !allZero(p.was[10:10+sectorLen]) {
		t.Error("what could be read was not kept, or what could not")
	}
	if again, err := decodeRepairPlan(plan.encode()); err != nil || !again.fits(f) {
		t.Errorf("the plan does not fit: %v", err)
	}
}

type bytesFile struct{ *bytes.Reader }

func (bytesFile) WriteAt([]byte, int64) (int, error) { return 0, fs.ErrInvalid }
func (bytesFile) Close() error                       { return nil }
func (bytesFile) Name() string                       { return "Data.fs" }
func (bytesFile) Truncate(int64) error               { return fs.ErrInvalid }
func (bytesFile) Sync() error                        { return fs.ErrInvalid }
func (f bytesFile) Stat() (fs.FileInfo, error)       { return sizeInfo(f.Size()), nil }

type sizeInfo int64

func (s sizeInfo) Size() int64          { return int64(s) }
func (sizeInfo) Name() string           { return "Data.fs" }
func (sizeInfo) Mode() fs.FileMode      { return 0o666 }
func (sizeInfo) ModTime() (t time.Time) { return t }
func (sizeInfo) IsDir() bool            { return false }
func (sizeInfo) Sys() any               { return nil }

// A badSectors is a file of which a part cannot be read.
type badSectors struct {
	vfs.File
	from, to int64
}

func (f *badSectors) ReadAt(b []byte, off int64) (int, error) {
	if off < f.to && off+int64(len(b)) > f.from {
		return 0, syscall.EIO
	}
	return f.File.ReadAt(b, off)
}

// A repair waits for no pack, and a pack for no repair: the one that comes second is told so.
func TestARepairAndAPackExcludeEachOther(t *testing.T) {
	d, records := sampleFile()
	damaged := flipped(d.bytes, records[2][0]+recHeaderLen)
	disk := simdisk.New()
	put(t, disk, "Data.fs", damaged)
	s := mustOpen(t, "Data.fs", Options{FS: disk})
	s.packing <- struct{}{}
	if err := s.Repair(t.Context(), repairOf(d, 2, damaged)); !errors.Is(err, ErrPacking) {
		t.Errorf("a repair during a pack: %v", err)
	}
	<-s.packing
}

// A plan that is cut off anywhere, or has any byte changed, is not taken.
func FuzzRepairPlan(f *testing.F) {
	d, records := sampleFile()
	damaged := flipped(d.bytes, records[2][0]+recHeaderLen)
	f.Add(newRepairPlan(bytes.NewReader(damaged), repairOf(d, 2, damaged).Patches).encode())
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodeRepairPlan(b)
		if err == nil && !slices.Equal(p.encode(), b) {
			t.Errorf("another plan was read than was written: %x", b)
		}
	})
}

// Whoever meets damage, it is told where, and only that object, or that reader, has an error. After the repair the same
// reader goes on.
func TestWhoMeetsDamageTellsWhere(t *testing.T) {
	d, records := sampleFile()
	at := records[2][0] + 24 // the record's transaction
	for name, meet := range map[string]func(*Storage) error{
		"load":    func(s *Storage) error { _, _, err := s.Load(3); return err },
		"before":  func(s *Storage) error { _, err := s.LoadBefore(3, 100); return err },
		"history": func(s *Storage) error { _, err := s.History(3, 5); return err },
		"iteration": func(s *Storage) error {
			for txn, err := range s.Transactions(t.Context(), 0) {
				for err == nil {
					_, err = txn.NextRecord()
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
		t.Run(name, func(t *testing.T) {
			disk := simdisk.New()
			f := put(t, disk, "Data.fs", d.bytes)
			var met []int64
			note := func(e error) {
				var corrupt *zodb.CorruptError
				if errors.As(e, &corrupt) {
					met = append(met, corrupt.Pos)
				}
			}
			s := mustOpen(t, "Data.fs", Options{FS: disk, Damaged: note})
			damaged := flipped(d.bytes, at+7)
			if name == "load" || name == "before" {
				damaged = flipped(d.bytes, records[2][0]+7) // they look at the oid
			}
			if name == "history" {
				damaged = flipped(d.bytes, records[2][0]+24) // far away
			}
			overwriteDurably(t, f, damaged)
			if err := meet(s); err == nil {
				t.Fatal("nothing was met")
			}
			if len(met) == 0 || met[0] < d.at[2] || met[0] >= d.at[3] {
				t.Errorf("met at %v, want within [%d, %d)", met, d.at[2], d.at[3])
			}
			if _, _, err := s.Load(2); err != nil {
				t.Errorf("another object: %v", err)
			}
			if err := s.Repair(t.Context(), repairOf(d, 2, damaged)); err != nil {
				t.Fatal(err)
			}
			if err := meet(s); err != nil {
				t.Errorf("after the repair: %v", err)
			}
		})
	}
}

// A plan of which nobody can have made so much is put aside as well: it keeps no storage from being opened.
func TestAPlanThatIsTooLongIsPutAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "Data.fs")
	if err := errors.Join(os.WriteFile(path, zodb.MagicFS30[:], 0o600), os.WriteFile(path+repairSuffix, nil, 0o600),
		os.Truncate(path+repairSuffix, maxPlan+1)); err != nil { // without taking room
		t.Fatal(err)
	}
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(filepath.Join(dir, QuarantineFolder))
	if err != nil || len(entries) != 1 || !strings.HasSuffix(entries[0].Name(), ".plan") {
		t.Errorf("in quarantine are %v, %v", entries, err)
	}
}
