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
		dir: filepath.Join(dir, "blobs"), ahead: s.ahead}
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

// Of three nodes that have noted different contents of a blob the one has the wrong one that is alone with it: the
// others name it, and it names itself. Where all three differ nobody knows.
func TestAMajorityTellsWhichBlobIsWrong(t *testing.T) {
	s := newBlobSite(t, vfs.OS{}, t.TempDir(), 3)
	t.Cleanup(func() { _ = s.st.Close() })
	second, third := s.copyBlobs(), s.copyBlobs()
	s.flip(s.file(1), 500, 0)           // wrong on the first
	second.flip(second.file(2), 500, 0) // wrong on the second
	second.flip(second.file(3), 400, 0) // wrong on the second, and otherwise
	third.flip(third.file(3), 500, 0)   // on the third
	sites := map[string]*blobSite{"1": s, "2": second, "3": third}
	nodes := map[string]*node{"1": s.follow(), "2": second.follow(), "3": third.follow()}
	for name, site := range sites {
		if r := runPass(t, site.options()); r.BlobsRead != 3 {
			t.Fatalf("%s: %s", name, r.Text())
		}
	}
	where := func(name string, oid zodb.Oid, peer string) Where {
		opt := sites[name].options()
		opt.Kept = sites[name].kept()
		for _, other := range []string{"1", "2", "3"} {
			if other != name {
				opt.Peers = append(opt.Peers, nodes[other].peer(other))
			}
		}
		for _, f := range runPass(t, opt).Findings {
			if f.Kind == KindBlobPeer && *f.Oid == oid && *f.Peer == peer {
				return f.Where
			}
		}
		return ""
	}
	for _, c := range []struct {
		node string
		oid  zodb.Oid
		peer string
		want Where
	}{
		{"1", 1, "2", Here}, {"1", 1, "3", Here}, {"2", 1, "1", There}, {"3", 1, "1", There}, {"2", 1, "3", ""},
		{"1", 2, "2", There}, {"2", 2, "1", Here}, {"2", 2, "3", Here}, {"3", 2, "2", There},
		{"1", 3, "2", Unknown}, {"1", 3, "3", Unknown}, {"2", 3, "3", Unknown}, {"3", 3, "1", Unknown},
	} {
		if got := where(c.node, c.oid, c.peer); got != c.want {
			t.Errorf("node %s, blob %d, compared with %s: %q, want %q", c.node, c.oid, c.peer, got, c.want)
		}
	}
}
