package verify

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// copyBlobs makes another copy of a storage with its blobs.
func (s *blobSite) copyBlobs() *blobSite {
	s.t.Helper()
	dir := s.t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "blobs"), os.DirFS(s.dir)); err != nil {
		s.t.Fatal(err)
	}
	data, err := os.ReadFile(s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	c := &blobSite{site: &site{t: s.t, disk: s.disk, path: filepath.Join(dir, "Data.fs")},
		dir: filepath.Join(dir, "blobs"), now: s.now}
	if err := os.WriteFile(c.path, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
	c.reopen()
	s.t.Cleanup(func() { _ = c.st.Close() })
	return c
}

// A blob that was damaged before it was ever verified is found by what another node has noted.
func TestABlobThatDiffersFromThatOfAnotherNodeIsNamed(t *testing.T) {
	const blobs = 1100 // more than two questions
	s := newBlobSite(t, vfs.OS{}, t.TempDir(), 3)
	for oid := zodb.Oid(4); oid <= blobs; oid++ {
		s.put(oid, []byte("content"))
	}
	t.Cleanup(func() { _ = s.st.Close() })
	other := s.copyBlobs()
	s.flip(s.file(2), 500, 0)
	s.flip(s.file(blobs), 3, 0)
	s.put(blobs+1, []byte("the other node does not have this one"))

	there := other.follow()
	verified := runPass(t, other.options())
	if verified.BlobsRead != blobs || verified.Damages > 0 {
		t.Fatalf("the other node: %s", verified.Text())
	}
	opt := s.options()
	opt.Kept, opt.Peers = s.kept(), []Peer{there.peer("other")}
	for _, pass := range []string{"the first pass", "the next one, which reads no blob again"} {
		r := runPass(t, opt)
		if r.Kinds[KindBlobPeer] != 2 || r.Damages != 2 || r.BlobsPeers != blobs || r.Diff != 1 || r.Failure != 1 {
			t.Errorf("%s: %s, %+v", pass, r.Text(), r.Findings)
		}
		for i, oid := range []zodb.Oid{2, blobs} {
			f := r.Findings[i]
			if *f.Oid != oid || f.Where != Unknown || *f.Peer != "other" || f.Severity != check.Damage {
				t.Errorf("%s: %v", pass, &f)
			}
		}
	}
}
