package node

import (
	"context"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// blobPrimary runs a primary with blobs of which the sizes and digests are noted.
func blobPrimary(t *testing.T, n int, mode string) (s *site, a *running, all []blobRevision) {
	t.Helper()
	disk, all := diskWithBlobs(t, n)
	s = newSite(t, disk)
	at := &shop{}
	a = s.run(t, func(ctx context.Context) error {
		cfg := PrimaryConfig{Config: s.config()}
		cfg.Blobs, cfg.Heal, cfg.offer, cfg.setAccess = "blobs", mode, at.offer, func(zeo.Access) {}
		return runPrimary(ctx, cfg)
	})
	a.Await(t, "it is ready", nodetest.Ready)
	a.verify(t, admin.VerifyRequest{AllBlobs: true})
	return s, a, all
}

// blobCopy runs a secondary of it, which gets transactions one by one, or the file as it is.
func blobCopy(t *testing.T, of *site, threshold int64) (*running, *shop) {
	t.Helper()
	s := newSite(t, simdisk.New())
	at := &shop{}
	return s.run(t, func(ctx context.Context) error {
		cfg := s.secondaryConfig(of)
		cfg.Blobs, cfg.Heal, cfg.offer, cfg.setAccess = "blobs", HealAuto, at.offer, func(zeo.Access) {}
		cfg.SeedThreshold = threshold
		return runSecondary(ctx, cfg)
	}), at
}

// A blob that is cut off at the primary is not copied: a secondary that comes later has it as another node has it, or
// not at all, never in part, and gets all that comes after it.
func TestADamagedBlobIsNotPassedOn(t *testing.T) {
	for name, threshold := range map[string]int64{"one by one": 0, "seeded": 1} {
		t.Run(name, func(t *testing.T) {
			from, a, all := blobPrimary(t, 3, HealAsk)
			mustTruncate(t, a.disk, all[1].path, 5)
			b, atB := blobCopy(t, from, threshold)
			sameHistory(t, a, b)
			b.Await(t, "it knows that it has a blob less", func(st *admin.Status) bool {
				return st.Heal.Pending == 1 && len(st.Troubles) > 0
			})
			for i, blob := range all {
				got, err := fileAt(b.disk, blob.path)
				if i == 1 {
					if err == nil {
						t.Errorf("the damaged blob has %d bytes", len(got))
					}
				} else if string(got) != blob.content {
					t.Errorf("blob %d has %d bytes, %v", i, len(got), err)
				}
			}
			if _, err := atB.blob(t.Context(), all[1]); err == nil {
				t.Error("a client gets the damaged blob")
			}
			a.Await(t, "it says so", func(st *admin.Status) bool {
				return st.Heal.Pending == 1 && len(st.Troubles) > 0
			})
		})
	}
}

// fileAt reads a file.
func fileAt(disk vfs.FS, path string) ([]byte, error) { return vfs.ReadFile(disk, path, 1<<20) }

// Where another node has the blob, a later secondary gets it from the stream, and the file of the primary stays as it
// is until an operator agrees.
func TestADamagedBlobIsStreamedAsAnotherNodeHasIt(t *testing.T) {
	from, a, all := blobPrimary(t, 2, HealAsk)
	disk := simdisk.New()
	first := newSite(t, disk)
	b := first.run(t, func(ctx context.Context) error {
		cfg := first.secondaryConfig(from)
		cfg.Blobs = "blobs"
		return runSecondary(ctx, cfg)
	})
	sameHistory(t, a, b)
	mustTruncate(t, a.disk, all[1].path, 5)
	c, _ := blobCopy(t, from, 0)
	last := a.Await(t, "it is ready", nodetest.Ready).Storage.LastTid
	c.Await(t, "it has everything", func(st *admin.Status) bool {
		return st.Storage.LastTid != nil && *st.Storage.LastTid == *last
	})
	if got, err := fileAt(c.disk, all[1].path); string(got) != all[1].content {
		t.Errorf("it has %d bytes, %v", len(got), err)
	}
	if got, _ := fileAt(a.disk, all[1].path); len(got) != 5 {
		t.Errorf("the file of the primary has %d bytes", len(got))
	}
}

// The fault that this is about: a blob that was committed and received, and damaged before any verification. Both nodes
// have noted what it has to be, so the one whose file is another one says so, and heals it.
func TestABlobThatWasNeverVerifiedIsJudged(t *testing.T) {
	a, b, atA, _, _ := blobShops(t, 1, HealAsk)
	blob := atA.commitBlob(t, "what a client has committed")
	sameHistory(t, a, b)
	mustTruncate(t, a.disk, blob.path, 4)
	flip(t, b.disk, blob.path, 3)
	for name, n := range map[string]*running{"primary": a, "secondary": b} {
		want := verify.KindBlobSize
		if name == "secondary" {
			want = verify.KindBlobDigest
		}
		if pass := n.verify(t, admin.VerifyRequest{}); pass.Kinds[want] != 1 || pass.Damages != 1 {
			t.Errorf("%s: %+v", name, pass.Findings)
		}
	}
}

// commitBlob commits a blob at a running primary.
func (s *shop) commitBlob(t *testing.T, content string) blobRevision {
	t.Helper()
	b := blobRevision{oid: 77, content: content}
	d, err := s.st.NewDraft()
	must(t, err)
	_, err = d.Write([]byte(content))
	must(t, err)
	txn, err := s.st.Begin(t.Context(), &zodb.TxnMeta{})
	must(t, err, txn.StoreDraft(b.oid, 0, []byte(blobRecord), d))
	b.tid, err = txn.Finish(t.Context(), nil)
	must(t, err)
	f, err := s.st.OpenBlob(b.oid, b.tid)
	must(t, err)
	b.path = f.Name()
	must(t, f.Close(), d.Discard())
	return b
}
