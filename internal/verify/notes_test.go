package verify

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"

	"hash/crc32"

	"os"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// notedSite is a blobSite whose blobs are noted when they are committed.
func notedSite(t *testing.T, disk *simdisk.Disk, n int) *blobSite {
	t.Helper()
	s := &blobSite{site: &site{t: t, disk: disk, path: "Data.fs"}, dir: "blobs", noted: true}
	s.reopen()
	for oid := 1; oid <= n; oid++ {
		s.put(zodb.Oid(oid), bytes.Repeat([]byte{byte(oid)}, 1000+oid))
	}
	return s
}

// upload commits a blob as a client does.
func (s *blobSite) upload(oid zodb.Oid, content string) {
	s.t.Helper()
	d, err := s.blobs.Draft()
	if err != nil {
		s.t.Fatal(err)
	}
	txn, begun := s.st.Begin(s.t.Context(), &zodb.TxnMeta{})
	if begun != nil {
		s.t.Fatal(begun)
	}
	_, serial, _ := txn.Current(oid)
	for _, part := range strings.SplitAfter(content, " ") {
		_, e := d.Write([]byte(part))
		err = errors.Join(err, e)
	}
	err = errors.Join(err, txn.StoreDraft(oid, serial, blobRecord, d))
	if err == nil {
		_, err = txn.Finish(s.t.Context(), nil)
	}
	if err = errors.Join(err, d.Discard()); err != nil {
		s.t.Fatal(err)
	}
}

// restart opens the storage anew.
func (s *blobSite) restart() {
	s.t.Helper()
	s.close()
	s.notes.Write()
	s.reopen()
}

// A blob that was cut or changed before any verification has read it is found by the first one, and one that has
// another size when it is opened.
func TestADamagedBlobIsFoundByWhatWasNotedAtItsCommit(t *testing.T) {
	cut := func(size int64) func(s *blobSite, path string) error {
		return func(s *blobSite, path string) error {
			f, err := s.disk.OpenFile(path, os.O_RDWR, 0)
			return errors.Join(err, f.Truncate(size), f.Close())
		}
	}
	for name, c := range map[string]struct {
		do   func(s *blobSite, path string) error
		want check.Kind
	}{
		"cut": {cut(7), KindBlobSize}, "empty": {cut(0), KindBlobSize}, "longer": {cut(5000), KindBlobSize},
		"changed": {func(s *blobSite, path string) error { s.flip(path, 3, 1); return nil }, KindBlobDigest},
	} {
		for _, again := range []bool{false, true} {
			s := notedSite(t, simdisk.New(), 1)
			s.upload(2, "a blob that a client uploads")
			s.put(3, []byte("and one that is right"))
			if again {
				s.restart()
			}
			for _, oid := range []zodb.Oid{1, 2} {
				tid, _ := s.st.GetTid(oid)
				if err := c.do(s, s.file(oid)); err != nil {
					t.Fatal(err)
				}
				_, err := s.st.OpenBlob(oid, tid)
				damaged := (*zodb.DamagedBlobError)(nil)
				if errors.As(err, &damaged) != (c.want == KindBlobSize) {
					t.Errorf("%s, restarted %v: opening blob %v: %v", name, again, oid, err)
				}
			}
			r := runPass(t, s.options())
			if r.Kinds[c.want] != 2 || r.Damages != 2 || len(r.Suspects) != 2 {
				t.Errorf("%s, restarted %v: %s", name, again, r.Text())
			}
			s.close()
		}
	}
}

// What was noted never accuses a sound blob, whatever a power failure leaves of it: neither at a commit, nor where a
// transaction is lost and another one with the same tid and object comes in its place.
func TestNotesNeverAccuseASoundBlob(t *testing.T) {
	for n := 1; ; n++ {
		disk := simdisk.New()
		disk.PowerOffAt(n)
		done := noteEverything(disk)
		for seed := range uint64(6) {
			after := disk.Crash(seed)
			s := &blobSite{site: &site{t: t, disk: after, path: "Data.fs"}, dir: "blobs", noted: true}
			s.reopen()
			opt := s.options()
			opt.BlobAge = 0
			r := runPass(t, opt)
			if r.Damages > 0 {
				t.Fatalf("step %d, seed %d: %s", n, seed, r.Text())
			}
			s.close()
		}
		if done {
			return
		}
	}
}

// noteEverything reports whether it came to its end.
func noteEverything(disk *simdisk.Disk) bool {
	blobs, err := blobstore.Open("blobs", blobstore.Options{FS: disk})
	if err != nil {
		return false
	}
	var st *filestorage.Storage
	var notes *BlobNotes
	open := func() error {
		if blobs, err = blobstore.Open("blobs", blobstore.Options{FS: disk}); err != nil {
			return err
		}
		notes = OpenBlobNotes(BlobNotesOptions{FS: disk, Path: "Data.fs", Open: blobs.OpenAsIs})
		blobs.Notes = notes
		st, err = filestorage.Open(context.Background(), "Data.fs", filestorage.Options{FS: disk, Blobs: blobs})
		if err == nil {
			notes.Begin(st.LastTid())
		}
		return err
	}
	put := func(tid zodb.Tid, content string) error {
		txn, err := st.Replay(context.Background(), &zodb.TxnMeta{Tid: tid, Status: zodb.StatusCommitted})
		if err != nil {
			return err
		}
		err = txn.Restore(&zodb.Record{Oid: 1, Tid: tid, Size: int64(len(blobRecord)),
			Data: bytes.NewReader(blobRecord), Blob: strings.NewReader(content), BlobSize: int64(len(content))})
		if err == nil {
			_, err = txn.Finish(context.Background(), nil)
		}
		if err != nil {
			_ = txn.Abort() // the disk is off
		}
		return err
	}
	var before int64
	cut := func() error { // as zrsd rewind does, which knows nothing of notes
		if err := st.Close(); err != nil {
			return err
		}
		f, err := disk.OpenFile("Data.fs", os.O_RDWR, 0)
		if err != nil {
			return err
		}
		if err = errors.Join(f.Truncate(before), f.Sync(), f.Close()); err != nil {
			return err
		}
		plain, err := blobstore.Open("blobs", blobstore.Options{FS: disk})
		if err == nil {
			err = plain.SetAside(1, 3<<40, "lost")
		}
		return err
	}
	for _, step := range []func() error{
		open,
		func() error { return put(1<<40, "first") },
		func() error { notes.Write(); return nil },
		func() error { return put(2<<40, "second one") },
		func() error { before = st.Size(); notes.Write(); return nil },
		func() error { return put(3<<40, "of a lost transaction") },
		func() error { notes.Write(); return nil },
		cut, open,
		func() error { return put(3<<40, "another one") },
		func() error { return put(4<<40, "the last") }, // not written
	} {
		if step() != nil {
			if st != nil {
				_ = st.Close()
			}
			return false
		}
	}
	return st.Close() == nil
}

// The blob of a transaction that a running storage sets aside is forgotten durably.
func TestWhatIsSetAsideIsForgottenDurably(t *testing.T) {
	disk := simdisk.New()
	s := notedSite(t, disk, 2)
	tid, _ := s.st.GetTid(2)
	s.notes.Write()
	if err := s.blobs.SetAside(2, tid, "lost"); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(8) {
		if n := ReadNotedSizes(disk.Crash(seed), s.path); len(n.known) > 1 {
			t.Errorf("seed %d: %v", seed, n.known)
		}
	}
	if _, known := s.notes.Size(2, tid); known {
		t.Error("it is noted")
	}
	s.close()
}

// What an older version has noted counts, and is kept when something is added.
func TestNotesOfAnOlderVersionCount(t *testing.T) {
	disk := simdisk.New()
	s := notedSite(t, disk, 1)
	tid, _ := s.st.GetTid(1)
	old := append([]byte(nil), digestsMagicOld[:]...)
	old = binary.BigEndian.AppendUint64(old, 1)
	old = binary.BigEndian.AppendUint64(old, uint64(tid))
	old = binary.BigEndian.AppendUint64(old, 999)
	old = binary.BigEndian.AppendUint64(old, 7)
	old = append(old, bytes.Repeat([]byte{5}, 32)...)
	old = binary.BigEndian.AppendUint32(old, crc32.Checksum(old[16:], castagnoli))
	if err := writeFile(disk, s.path+digestsSuffix, old); err != nil {
		t.Fatal(err)
	}
	s.close()
	s.reopen()
	if size, _ := s.notes.Size(1, tid); size != 999 {
		t.Errorf("size %d", size)
	}
	s.put(2, []byte("new"))
	s.restart()
	if size, digest, ok := NotedBlobs(disk, s.path).Of(1, tid); size != 999 || digest[9] != 5 || !ok {
		t.Errorf("got %d, %x, %v", size, digest, ok)
	}
	newer, _ := s.st.GetTid(2)
	if _, _, ok := NotedBlobs(disk, s.path).Of(2, newer); !ok {
		t.Error("the new one is not noted")
	}
	s.close()
}

// A file of notes that cannot be written costs no commit, and what was damaged in it is noted anew.
func TestNotesThatCannotBeWrittenCostNothingElse(t *testing.T) {
	disk := simdisk.New()
	disk.FailWhen(func(op simdisk.Op) error {
		if strings.Contains(op.Path, digestsSuffix) {
			return errors.New("no")
		}
		return nil
	})
	s := notedSite(t, disk, 3)
	s.notes.Write()
	tid, _ := s.st.GetTid(2)
	if err := s.blobs.SetAside(2, tid, "lost"); err != nil {
		t.Error(err)
	}
	disk.Heal()
	s.put(4, []byte("content"))
	s.restart()
	if n := ReadNotedSizes(disk, s.path); len(n.known) != 1 {
		t.Errorf("noted: %v", n.known)
	}
	s.close()
}

// Of a blob that comes in ranges, in any order, the digest is noted when it is there.
func TestABlobThatCameInRangesIsReadForItsDigest(t *testing.T) {
	s := notedSite(t, simdisk.New(), 1)
	tid, _ := s.st.GetTid(1)
	s.blobs.KeepParts(true)
	part, err := s.blobs.Part(1, tid)
	content := strings.Repeat("in ranges ", 100_000)
	if err == nil {
		_, err = part.WriteAt([]byte(content[500_000:]), 500_000)
	}
	if err == nil {
		_, err = part.WriteAt([]byte(content[:500_000]), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	staged, err := part.Stage(int64(len(content)))
	if err == nil {
		err = errors.Join(staged.Sync(), staged.Publish(), staged.SyncDir())
	}
	if err != nil {
		t.Fatal(err)
	}
	staged.(interface{ Committed() }).Committed()
	if size, _ := s.notes.Size(1, tid); size != int64(len(content)) {
		t.Errorf("size %d", size)
	}
	s.notes.readAll(t.Context())
	s.flip(s.file(1), 900_000, 2)
	if r := runPass(t, s.options()); r.Kinds[KindBlobDigest] != 1 {
		t.Error(r.Text())
	}
	s.close()
}

// The file does not grow for ever where packs remove blobs, and no verification is made.
func TestPacksRemoveNotes(t *testing.T) {
	disk := simdisk.New()
	notes := OpenBlobNotes(BlobNotesOptions{FS: disk, Path: "Data.fs"})
	digest := new([32]byte)
	for round := range zodb.Tid(20) {
		for oid := range zodb.Oid(maxRecent) {
			notes.Content(oid, round, 5, digest, false)
			if round > 0 {
				notes.Gone(oid, round-1, false)
			}
		}
		notes.Write()
	}
	info, err := disk.Stat("Data.fs" + digestsSuffix)
	if err != nil || info.Size() > 7*maxRecent*digestLen {
		t.Errorf("it has %d bytes, %v", info.Size(), err)
	}
	if n := len(notes.sizes.known) + len(notes.recent); n > 3*maxRecent {
		t.Errorf("%d are in memory", n)
	}
	if n := ReadNotedSizes(disk, "Data.fs"); len(n.known) != maxRecent {
		t.Errorf("%d are noted", len(n.known))
	}
}

// What a pass reads does not take the place of what was noted since it began.
func TestAPassDoesNotReplaceNewerNotes(t *testing.T) {
	disk := simdisk.New()
	notes := OpenBlobNotes(BlobNotesOptions{FS: disk, Path: "Data.fs"})
	notes.Content(1, 1, 5, new([32]byte), true)
	log, err := notes.read()
	if err != nil {
		t.Fatal(err)
	}
	notes.Content(2, 2, 10, &[32]byte{1}, true)
	notes.Gone(1, 1, false)
	for _, d := range []blobDigest{{oid: 2, tid: 2, size: 3}, {oid: 1, tid: 1, size: 5}, {oid: 3, tid: 3, size: 7}} {
		if err := log.add(d); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.close(); err != nil {
		t.Fatal(err)
	}
	notes.Write()
	for oid, want := range []int64{0, 0, 10, 7} {
		if size, _, _ := NotedBlobs(disk, "Data.fs").Of(zodb.Oid(oid), zodb.Tid(oid)); size != want {
			t.Errorf("blob %d has size %d, want %d", oid, size, want)
		}
		if size, _ := notes.Size(zodb.Oid(oid), zodb.Tid(oid)); size != want {
			t.Errorf("blob %d has size %d in memory, want %d", oid, size, want)
		}
	}
}

// Of two nodes that have noted different contents the one is right to which a client gave the blob, whatever the
// majority has.
func TestWhatWasCommittedIsRight(t *testing.T) {
	s := newBlobSite(t, vfs.OS{}, t.TempDir(), 0)
	s.close()
	s.noted = true
	s.reopen()
	t.Cleanup(func() { _ = s.st.Close() })
	s.upload(1, "the blob")
	s.notes.Write()
	s.flip(s.file(1), 2, 1)
	second, third := s.copyBlobs(), s.copyBlobs()
	for _, site := range []*blobSite{second, third} {
		sound(t, runPass(t, site.options()))
	}
	first, two, three := s.follow(), second.follow(), third.follow()
	for name, c := range map[string]struct {
		site *blobSite
		peer []Peer
		want Where
	}{
		"where it was committed": {s, []Peer{two.peer("2"), three.peer("3")}, There},
		"another one":            {second, []Peer{first.peer("1"), three.peer("3")}, Here},
	} {
		opt := c.site.options()
		opt.Kept, opt.Peers = c.site.kept(), c.peer
		found := 0
		r := runPass(t, opt)
		for _, f := range r.Findings {
			if f.Kind == KindBlobPeer {
				found++
				if f.Where != c.want {
					t.Errorf("%s: %v", name, &f)
				}
			}
		}
		if found == 0 {
			t.Errorf("%s: %s", name, r.Text())
		}
	}
	if r := runPass(t, s.options()); r.Kinds[KindBlobDigest] != 1 {
		t.Error(r.Text())
	}
}

// Notes are written by themselves.
func TestNotesAreWrittenByThemselves(t *testing.T) {
	s := notedSite(t, simdisk.New(), 0)
	ctx, end := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { s.notes.Run(ctx); close(ran) }()
	s.upload(1, "content")
	tid, _ := s.st.GetTid(1)
	for {
		if _, _, ok := NotedBlobs(s.disk, s.path).Of(1, tid); ok {
			break
		}
		pause.For(t.Context(), 10*time.Millisecond)
	}
	s.upload(2, "content")
	end()
	<-ran
	if n := ReadNotedSizes(s.disk, s.path); len(n.known) != 2 {
		t.Errorf("noted: %v", n.known)
	}
	s.close()
}

// An operator has removed the file beside a running node: the next verification notes all blobs anew.
func TestNotesThatWereRemovedAreMadeAnew(t *testing.T) {
	for _, verified := range []bool{false, true} {
		disk := simdisk.New()
		s := notedSite(t, disk, 3)
		s.notes.Write()
		if verified {
			sound(t, runPass(t, s.options()))
		}
		if err := disk.Remove(s.path + digestsSuffix); err != nil {
			t.Fatal(err)
		}
		sound(t, runPass(t, s.options()))
		if n := ReadNotedSizes(disk, s.path); len(n.known) != 3 {
			t.Errorf("verified before %v: %d are noted", verified, len(n.known))
		}
		s.close()
	}
}

// However many blobs a pack removes at once, what is noted of that has a bound in memory, and is in the file.
func TestNotesOfBlobsThatAreGoneHaveABound(t *testing.T) {
	disk := simdisk.New()
	n := OpenBlobNotes(BlobNotesOptions{FS: disk, Path: "Data.fs"})
	const blobs = maxNoteBuffer/digestLen + 1000
	for oid := range zodb.Oid(blobs) {
		if n.Content(oid, 1, 10, &[32]byte{1}, true); oid%1000 == 0 {
			n.Write()
		}
	}
	n.Write()
	for oid := range zodb.Oid(blobs) {
		if n.Gone(oid, 1, false); len(n.buf) > maxNoteBuffer {
			t.Fatalf("after %d blobs there are %d bytes in memory", oid, len(n.buf))
		}
	}
	n.Write()
	if known := ReadNotedSizes(disk, "Data.fs").known; len(known) > 0 {
		t.Errorf("of %d blobs that are gone something is noted", len(known))
	}
}
