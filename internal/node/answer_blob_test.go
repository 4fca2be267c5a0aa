package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// A blobRevision is a blob of a test.
type blobRevision struct {
	oid     zodb.Oid
	tid     zodb.Tid
	path    string
	content string
}

// diskWithBlobs has a storage with n blobs.
func diskWithBlobs(t *testing.T, n int) (disk *simdisk.Disk, all []blobRevision) {
	t.Helper()
	disk = nodetest.DiskWith(t, 3)
	blobs, err := blobstore.Open("blobs", blobstore.Options{FS: disk})
	must(t, err)
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: disk, Blobs: blobs})
	must(t, err)
	for i := range n {
		b := blobRevision{oid: zodb.Oid(10 + i), content: strings.Repeat(fmt.Sprintf("blob %d. ", i), 50_000)}
		txn, err := st.Begin(t.Context(), &zodb.TxnMeta{})
		must(t, err, txn.StoreBlob(b.oid, 0, []byte(blobRecord), strings.NewReader(b.content)))
		b.tid, err = txn.Finish(t.Context(), nil)
		must(t, err)
		f, err := blobs.OpenBlob(b.oid, b.tid)
		must(t, err)
		b.path = f.Name()
		must(t, f.Close())
		all = append(all, b)
	}
	must(t, st.Close())
	return disk, all
}

// blobShops is shops with blobs.
func blobShops(t *testing.T, n int, mode string) (a, b *running, atA, atB *shop, all []blobRevision) {
	t.Helper()
	disk, all := diskWithBlobs(t, n)
	sa, sb := newSite(t, disk), newSite(t, simdisk.New())
	atA, atB = &shop{}, &shop{}
	a = sa.run(t, func(ctx context.Context) error {
		cfg := PrimaryConfig{Config: sa.config()}
		cfg.Blobs, cfg.Heal, cfg.offer, cfg.setAccess = "blobs", mode, atA.offer, func(zeo.Access) {}
		return runPrimary(ctx, cfg)
	})
	b = sb.run(t, func(ctx context.Context) error {
		cfg := sb.secondaryConfig(sa)
		cfg.Blobs, cfg.Heal, cfg.offer, cfg.setAccess = "blobs", mode, atB.offer, func(zeo.Access) {}
		return runSecondary(ctx, cfg)
	})
	sameHistory(t, a, b)
	return a, b, atA, atB, all
}

// blob reads a blob as a client does.
func (s *shop) blob(ctx context.Context, b blobRevision) (string, error) {
	s.mu.Lock()
	st, damaged := s.st, s.opt.DamagedBlobs
	s.mu.Unlock()
	var f zeo.BlobFile
	f, err := st.BlobHere(b.oid, b.tid)
	if err == nil {
		if err = damaged.Known(b.oid, b.tid); err != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		if f, err = damaged.Open(ctx, b.oid, b.tid, err); err != nil {
			return "", err
		}
	}
	defer f.Close()
	content, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
	return string(content), err
}

// answeredBlob is blob until the other node has answered: one that has no processor for some seconds is passed over.
func (s *shop) answeredBlob(ctx context.Context, b blobRevision) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, nodetest.Patience)
	defer cancel()
	for {
		content, err := s.blob(ctx, b)
		if err == nil || !pause.For(ctx, answerAgain/10) {
			return content, err
		}
	}
}

func mustTruncate(t *testing.T, disk vfs.FS, path string, size int64) {
	t.Helper()
	f, err := disk.OpenFile(path, os.O_RDWR, 0)
	must(t, err, f.Truncate(size), f.Close())
}

// A blob that is missing, cut off, or known to have other content, is answered by what another node has, on a primary
// and on a secondary, before an operator agrees to a repair: nothing of it is written.
func TestADamagedBlobIsAnsweredFromAnotherNode(t *testing.T) {
	a, b, atA, atB, all := blobShops(t, 4, HealAsk)
	for name, n := range map[string]struct {
		node *running
		at   *shop
	}{"primary": {a, atA}, "secondary": {b, atB}} {
		n.node.verify(t, admin.VerifyRequest{AllBlobs: true}) // it notes sizes and digests
		disk := n.node.disk
		must(t, disk.Remove(all[0].path))
		mustTruncate(t, disk, all[1].path, 5)
		flip(t, disk, all[2].path, 1000)
		if got, err := n.at.answeredBlob(t.Context(), all[1]); err != nil || got != all[1].content {
			t.Errorf("%s: cut off: got %d bytes, %v", name, len(got), err)
		}
		if pass := n.node.verify(t, admin.VerifyRequest{AllBlobs: true}); pass.Damages != 3 {
			t.Errorf("%s: %d damages were found", name, pass.Damages)
		}
		for i, blob := range all {
			if got, err := n.at.answeredBlob(t.Context(), blob); err != nil || got != blob.content {
				t.Errorf("%s: blob %d: got %d bytes, %v", name, i, len(got), err)
			}
		}
		st := n.node.Await(t, "it says so", func(st *admin.Status) bool { return st.Heal.Pending == 3 })
		if st.Heal.Answered < 4 || st.Heal.Healed != 0 || st.Heal.Quarantined != 0 || len(st.Troubles) == 0 {
			t.Errorf("%s: got %+v", name, st.Heal)
		}
		if _, err := disk.Stat(all[0].path); err == nil {
			t.Errorf("%s: the missing blob is there", name)
		}
		if got := nodetest.Content(t, disk, all[1].path); len(got) != 5 {
			t.Errorf("%s: the blob that was cut off has %d bytes", name, len(got))
		}
		if left := temporaries(t, disk); left != "" {
			t.Errorf("%s: %s is left", name, left)
		}
		if dry := n.node.heal(t, admin.HealRequest{DryRun: true}); dry.Healed != 3 || dry.Failed != 0 {
			t.Errorf("%s: a dry run: %+v", name, dry)
		}
		if done := n.node.heal(t, admin.HealRequest{}); done.Healed != 3 || done.Damages != 0 {
			t.Errorf("%s: %+v", name, done)
		}
		for i, blob := range all {
			if string(nodetest.Content(t, disk, blob.path)) != blob.content {
				t.Errorf("%s: blob %d is not what it was", name, i)
			}
		}
		n.node.Await(t, "no damage is left", func(st *admin.Status) bool { return st.Heal.Pending == 0 })
	}
}

// Where a node heals by itself, a damaged blob is healed before its client is answered.
func TestADamagedBlobIsHealedBeforeItIsAnswered(t *testing.T) {
	_, b, _, atB, all := blobShops(t, 2, HealAuto)
	b.verify(t, admin.VerifyRequest{AllBlobs: true})
	must(t, b.disk.Remove(all[0].path))
	mustTruncate(t, b.disk, all[1].path, 5)
	for i, blob := range all {
		if got, err := atB.answeredBlob(t.Context(), blob); err != nil || got != blob.content {
			t.Errorf("blob %d: got %d bytes, %v", i, len(got), err)
		}
		if now := nodetest.Content(t, b.disk, blob.path); string(now) != blob.content {
			t.Errorf("blob %d has %d bytes", i, len(now))
		}
	}
	b.Await(t, "no damage is left", func(st *admin.Status) bool {
		return st.Heal.Pending == 0 && st.Heal.Healed == 2 && st.Heal.Answered >= 2
	})
}

// temporaries returns the names of what is in tmp/ of the blob directory.
func temporaries(t *testing.T, disk vfs.FS) string {
	t.Helper()
	entries, err := disk.ReadDir("blobs/tmp")
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// A blob that is known to be wrong is not given out where no other node has the right one.
func TestABlobThatIsKnownToBeWrongIsNotGivenOut(t *testing.T) {
	a, b, atA, _, all := blobShops(t, 2, HealAsk)
	a.verify(t, admin.VerifyRequest{AllBlobs: true})
	flip(t, a.disk, all[0].path, 1000)
	flip(t, b.disk, all[0].path, 2000) // what the other node has is no better
	a.verify(t, admin.VerifyRequest{AllBlobs: true})
	got, err := atA.blob(t.Context(), all[0])
	if wrong := (*damagedBlobError)(nil); !errors.As(err, &wrong) || wrong.Oid != all[0].oid {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if got, err := atA.blob(t.Context(), all[1]); err != nil || got != all[1].content {
		t.Errorf("the other blob: got %d bytes, %v", len(got), err)
	}
	if left := temporaries(t, a.disk); left != "" {
		t.Errorf("%s is left", left)
	}
	flip(t, a.disk, all[0].path, 1000) // an operator has put it back
	if got, err := atA.answeredBlob(t.Context(), all[0]); err != nil || got != all[0].content {
		t.Errorf("put back: got %d bytes, %v", len(got), err)
	}
	a.Await(t, "it is no damage any more", func(st *admin.Status) bool { return st.Heal.Pending == 0 })
}

// Clients that read one blob at a time have one copy of it, until the last of them has read it.
func TestClientsShareTheCopyOfABlob(t *testing.T) {
	disk := simdisk.New()
	blobs := newBlobAnswers()
	key := partKey{blob: true, oid: 1}
	fetched := 0
	fetch := func(context.Context) (vfs.File, error) {
		fetched++
		f, err := disk.OpenFile(fmt.Sprint(fetched), os.O_RDWR|os.O_CREATE, 0o666)
		must(t, err)
		_, err = f.WriteAt([]byte("content"), 0)
		return f, err
	}
	read := func(f vfs.File) error { _, err := f.ReadAt(make([]byte, 7), 0); return err }
	first, err := blobs.open(t.Context(), key, fetch)
	must(t, err)
	second, err := blobs.open(t.Context(), key, fetch)
	must(t, err, first.Close(), first.Close(), read(second))
	if fetched != 1 {
		t.Errorf("it was fetched %d times", fetched)
	}
	must(t, second.Close())
	if read(second) == nil || len(blobs.shared) > 0 {
		t.Error("the copy is still open")
	}
	third, err := blobs.open(t.Context(), key, fetch)
	must(t, err, read(third), third.Close())
}
