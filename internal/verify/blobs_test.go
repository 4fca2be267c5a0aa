package verify

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// blobRecord is the record of a blob.
var blobRecord = []byte("\x80\x02cZODB.blob\nBlob\nq\x01.\x80\x02N.")

// A blobSite is a storage with blobs: oids 1 to n, of 1000 bytes and more.
type blobSite struct {
	*site
	dir   string
	blobs *blobstore.Store
	notes *BlobNotes    // nil: nothing is noted at commits
	noted bool          // they are opened with the storage
	ahead time.Duration // its clock is
}

// blobSize is that of all files, as a walk finds it.
func (s *blobSite) blobSize() (sum int64) {
	err := s.blobs.Walk(func(_ zodb.Oid, _ zodb.Tid, size int64, _ string) error { sum += size; return nil })
	if err != nil {
		s.t.Fatal(err)
	}
	return sum
}

func newBlobSite(t *testing.T, disk vfs.FS, dir string, n int) *blobSite {
	t.Helper()
	s := &blobSite{site: &site{t: t, disk: disk, path: filepath.Join(dir, "Data.fs")}, dir: filepath.Join(dir, "blobs")}
	s.reopen()
	for oid := 1; oid <= n; oid++ {
		s.put(zodb.Oid(oid), bytes.Repeat([]byte{byte(oid)}, 1000+oid))
	}
	return s
}

func (s *blobSite) now() time.Time { return time.Now().Add(s.ahead) }

func (s *blobSite) reopen() {
	s.t.Helper()
	var err error
	if s.blobs, err = blobstore.Open(s.dir, blobstore.Options{FS: s.disk}); err != nil {
		s.t.Fatal(err)
	}
	if s.noted {
		s.notes = OpenBlobNotes(BlobNotesOptions{FS: s.disk, Path: s.path, Open: s.blobs.OpenAsIs})
		s.blobs.Notes = s.notes
	}
	opt := filestorage.Options{FS: s.disk, Blobs: s.blobs}
	if s.st, err = filestorage.Open(s.t.Context(), s.path, opt); err != nil {
		s.t.Fatal(err)
	}
	if s.noted {
		s.notes.Begin(s.st.LastTid())
	}
}

func (s *blobSite) put(oid zodb.Oid, content []byte) {
	s.t.Helper()
	txn, err := s.st.Begin(s.t.Context(), &zodb.TxnMeta{})
	if err != nil {
		s.t.Fatal(err)
	}
	_, serial, _ := txn.Current(oid)
	if err := txn.StoreBlob(oid, serial, blobRecord, bytes.NewReader(content)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := txn.Finish(s.t.Context(), nil); err != nil {
		s.t.Fatal(err)
	}
}

// file returns the path of the blob of an object that has one.
func (s *blobSite) file(oid zodb.Oid) string {
	s.t.Helper()
	tid, err := s.st.GetTid(oid)
	if err != nil {
		s.t.Fatal(err)
	}
	f, err := s.blobs.OpenBlob(oid, tid)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	return f.Name()
}

func (s *blobSite) options() Options {
	return Options{FS: s.disk, Path: s.path, Committed: s.st.Size, Blobs: s.blobs.AsIs(), BlobPath: s.dir,
		Notes: s.notes, BlobAge: 24 * time.Hour, ReclaimAge: 24 * time.Hour, Now: s.now}
}

func TestASecondPassReadsTheBlobsThatAreDue(t *testing.T) {
	s := newBlobSite(t, simdisk.New(), "", 5)
	for _, want := range []struct {
		wait  time.Duration
		blobs int64
		read  int64
	}{
		{0, 5, 5},
		{time.Hour, 5, 0},
		{time.Hour, 6, 1}, // a new one
		{23 * time.Hour, 6, 5},
		{25 * time.Hour, 6, 6},
	} {
		s.ahead += want.wait
		if want.blobs == 6 {
			if _, err := s.st.GetTid(6); err != nil {
				s.put(6, []byte("new"))
			}
		}
		r := runPass(t, s.options())
		sound(t, r)
		if r.Blobs != want.blobs || r.BlobsRead != want.read || r.Warnings > 0 {
			t.Errorf("%d blobs, %d read, want %d, %d", r.Blobs, r.BlobsRead, want.blobs, want.read)
		}
		if r.BlobSize != s.blobSize() {
			t.Errorf("blobs of %d bytes, want %d", r.BlobSize, s.blobSize())
		}
	}
	s.close()
}

func TestABlobThatIsNotWhatItWasIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(s *blobSite, path string) error
		want []check.Kind
	}{
		"a flipped bit": {func(s *blobSite, path string) error { s.flip(path, 500, 3); return nil },
			[]check.Kind{KindBlobDigest}},
		"cut": {func(s *blobSite, path string) error {
			f, err := s.disk.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			return errors.Join(f.Truncate(10), f.Close())
		}, []check.Kind{KindBlobSize}},
		"missing": {func(s *blobSite, path string) error { return s.disk.Remove(path) },
			[]check.Kind{check.KindBlobMissing}},
		"orphaned": {func(s *blobSite, path string) error {
			return s.disk.Rename(path, filepath.Join(filepath.Dir(path), "0x01.blob"))
		}, []check.Kind{check.KindBlobMissing, check.KindBlobOrphaned}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newBlobSite(t, simdisk.New(), "", 5)
			sound(t, runPass(t, s.options()))
			if err := s.disk.Chmod(s.file(3), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := c.do(s, s.file(3)); err != nil {
				t.Fatal(err)
			}
			s.ahead += 48 * time.Hour
			for range 2 { // also the pass after it
				r := runPass(t, s.options())
				if diff := cmp.Diff(c.want, kindsOf(r)); diff != "" || r.Failure != 1 || *r.Findings[0].Oid != 3 {
					t.Error(diff)
				}
			}
			s.close()
		})
	}
}

// lossyDisk is a disk on which one place of one file cannot be read.
type lossyDisk struct {
	vfs.FS
	path string
	at   int64
}

func (d lossyDisk) OpenFile(path string, flag int, perm os.FileMode) (vfs.File, error) {
	f, err := d.FS.OpenFile(path, flag, perm)
	if err != nil || path != d.path {
		return f, err
	}
	return lossyFile{f, d.at}, nil
}

type lossyFile struct {
	vfs.File
	at int64
}

func (f lossyFile) ReadAt(b []byte, pos int64) (int, error) {
	if pos <= f.at && f.at < pos+int64(len(b)) {
		return 0, syscall.EIO
	}
	return f.File.ReadAt(b, pos)
}

func TestWhatTheDiskDoesNotGiveIsLocated(t *testing.T) {
	s := newBlobSite(t, simdisk.New(), "", 100)
	s.rand = newRand()
	s.grow(100)
	opt := s.options()
	opt.FS = lossyDisk{s.disk, s.path, 70_000}
	r, err := Run(t.Context(), opt)
	if !errors.Is(err, syscall.EIO) || r.Kinds[KindUnreadable] != 1 || *r.Findings[0].Pos != 70_000/sector*sector {
		t.Errorf("got %v, %v", err, r.Findings)
	}
	s.close()
}

// Whenever the power fails, the digests of the blobs are true, or there are none, and the blobs are read again.
func TestACrashLeavesDigestsThatAreTrue(t *testing.T) {
	for n := 1; n <= 16; n++ {
		for seed := range uint64(5) {
			s := newBlobSite(t, simdisk.New(), "", 3)
			sound(t, runPass(t, s.options()))
			for oid := range 5 {
				s.put(zodb.Oid(10+oid), fmt.Appendf(nil, "blob %d", oid))
			}
			disk := s.disk.(*simdisk.Disk)
			disk.PowerOffAt(len(disk.Ops()) + n)
			_, _ = Run(t.Context(), s.options())
			_ = s.st.Close()
			s.disk = disk.Crash(seed)
			s.reopen()
			sound(t, runPass(t, s.options()))
			s.ahead += 48 * time.Hour
			r := runPass(t, s.options())
			if sound(t, r); r.BlobsRead != 8 || r.Warnings > 0 {
				t.Errorf("operation %d, seed %d: %s", n, seed, r.Text())
			}
			s.close()
		}
	}
}

func TestDamagedDigestsAreNoDamageToBlobs(t *testing.T) {
	s := newBlobSite(t, simdisk.New(), "", 5)
	sound(t, runPass(t, s.options()))
	for _, at := range []int64{3, 16 + 1, 16 + 20, 16 + 40, 16 + 67} {
		s.flip(s.path+digestsSuffix, at, 5)
		r := runPass(t, s.options())
		if sound(t, r); r.Warnings != 1 || r.BlobsRead == 0 {
			t.Errorf("byte %d: %s", at, r.Text())
		}
		r = runPass(t, s.options())
		if sound(t, r); r.Warnings > 0 || r.BlobsRead > 0 {
			t.Errorf("byte %d: it was not made anew: %s", at, r.Text())
		}
	}
	s.close()
}

func TestTheLogOfDigestsDoesNotGrowForEver(t *testing.T) {
	disk := simdisk.New()
	for pass := range 10 {
		l, err := openDigests(disk, "Data.fs")
		if err != nil {
			t.Fatal(err)
		}
		for oid := range 400 {
			if was := l.find(zodb.Oid(oid), 1); pass > 0 && (was == nil || was.read != int64(pass-1)) {
				t.Fatalf("pass %d: oid %d has %v", pass, oid, was)
			}
			if err := l.add(blobDigest{oid: zodb.Oid(oid), tid: 1, read: int64(pass)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := disk.Stat("Data.fs" + digestsSuffix)
	if err != nil || info.Size() > 16+digestLen*3*(400+digestBatch) {
		t.Errorf("it has %d bytes, %v", info.Size(), err)
	}
}

// Only what zrsd has made and has left for long is removed.
func TestOldTemporaryFilesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	s := newBlobSite(t, vfs.OS{}, dir, 2)
	old := s.now().Add(-25 * time.Hour)
	runPass(t, s.options()) // it begins the list of digests, under a temporary name
	for name, removed := range map[string]bool{
		"blobs/tmp/zrsd-draft-1.blob": true, "blobs/tmp/zrsd-0000000000000001-2-3.blob": true,
		"blobs/tmp/share-0123456789abcdef0123456789abcdef": true, "Data.fs.zrsd.tmp": true,
		"Data.fs.blobs.zrsd.tmp": true, "Data.fs.index.index_tmp": true,
		"blobs/tmp/BUCxyz.tmp": false, "blobs/tmp/share-my-notes": false, "Data.fs.tmp": false, "Data.fs.tr0": false,
		"Data.fs.old": false, "blobs/zrsd-draft-1.blob": false,
	} {
		for _, age := range []time.Time{old, s.now().Add(-time.Hour)} {
			path := filepath.Join(dir, name)
			if err := errors.Join(os.WriteFile(path, []byte("x"), 0o600), os.Chtimes(path, age, age)); err != nil {
				t.Fatal(err)
			}
			r := runPass(t, s.options())
			_, err := os.Stat(path)
			if want := removed && age.Equal(old); errors.Is(err, os.ErrNotExist) != want || (r.Removed == 1) != want {
				t.Errorf("%s of %v: %v, %d removed", name, age, err, r.Removed)
			}
			_ = os.Remove(path)
		}
	}
	s.close()
}

func FuzzDecodeDigests(f *testing.F) {
	whole := append([]byte(nil), digestsMagic[:]...)
	for i := range 3 {
		d := blobDigest{oid: zodb.Oid(i), tid: 1}
		whole = d.append(whole)
	}
	f.Add(whole)
	old := append([]byte(nil), digestsMagicOld[:]...)
	f.Add(append(old, make([]byte, 2*digestLenOld)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, _, err := decodeDigests(b)
		if err == nil && len(all) > len(b)/digestLenOld {
			t.Error("there are more than there is room for")
		}
	})
}

// A pass that does not come to the blobs, because of damage before them, keeps what was noted of them, however much
// the file has grown.
func TestAPassThatDoesNotComeToTheBlobsKeepsTheirDigests(t *testing.T) {
	disk := simdisk.New()
	path := "Data.fs"
	note := func(walked bool, n int) *digestLog {
		log, err := openDigests(disk, path)
		if err != nil {
			t.Fatal(err)
		}
		log.walked = walked
		for i := range n {
			if log.find(1, zodb.Tid(i)); err == nil {
				err = log.add(blobDigest{oid: 1, tid: zodb.Tid(i), size: 5})
			}
		}
		if err = errors.Join(err, log.close()); err != nil {
			t.Fatal(err)
		}
		return log
	}
	const blobs = 3
	for range digestBatch {
		note(true, blobs)
	}
	for range digestBatch {
		note(false, 1)
	}
	note(false, 0)
	if log := note(false, 0); len(log.known) != blobs {
		t.Errorf("%d blobs are noted, want %d", len(log.known), blobs)
	}
}

// A folder of blobs that cannot be read is damage. It keeps nothing else from being verified, its blobs are not called
// missing, and what is noted of them stays.
func TestAFolderOfBlobsThatCannotBeReadIsOneFinding(t *testing.T) {
	disk := &simdisk.Unreadable{FS: simdisk.New()}
	s := newBlobSite(t, disk, "", 5)
	sound(t, runPass(t, s.options()))
	disk.Dir = filepath.Dir(s.file(3))
	if err := disk.Chmod(s.file(4), 0o600); err != nil {
		t.Fatal(err)
	}
	s.flip(s.file(4), 500, 3)
	s.ahead += 48 * time.Hour
	for range 2 {
		r := runPass(t, s.options())
		want := []check.Kind{KindBlobDigest, check.KindBlobFolder}
		if diff := cmp.Diff(want, kindsOf(r)); diff != "" || r.Blobs != 4 {
			t.Errorf("%s%d blobs", diff, r.Blobs)
		}
		if len(r.Suspects) != 1 || *r.Suspects[0].Oid != 4 {
			t.Errorf("to be healed: %+v", r.Suspects)
		}
	}
	s.flip(s.file(4), 500, 3)
	disk.Dir = ""
	if err := disk.Chmod(s.file(3), 0o600); err != nil {
		t.Fatal(err)
	}
	s.flip(s.file(3), 500, 3)
	r := runPass(t, s.options())
	if diff := cmp.Diff([]check.Kind{KindBlobDigest}, kindsOf(r)); diff != "" || *r.Findings[0].Oid != 3 {
		t.Errorf("after it can be read again: %s", diff)
	}
	s.close()
}
