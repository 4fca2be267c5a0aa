package blobstore

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// recordedNotes are what a Store tells.
type recordedNotes struct {
	content map[zodb.Tid][sha256.Size]byte
	sizes   map[zodb.Tid]int64
	fresh   map[zodb.Tid]bool
	gone    []zodb.Tid
}

func (n *recordedNotes) Content(_ zodb.Oid, tid zodb.Tid, size int64, digest *[sha256.Size]byte, fresh bool) {
	if digest != nil {
		n.content[tid] = *digest
	}
	n.sizes[tid], n.fresh[tid] = size, fresh
}

func (n *recordedNotes) Gone(_ zodb.Oid, tid zodb.Tid, another bool) {
	if another {
		n.gone = append(n.gone, tid)
	}
}

func (n *recordedNotes) Size(_ zodb.Oid, tid zodb.Tid) (int64, bool) {
	size, ok := n.sizes[tid]
	return size, ok
}

func notedStore(t *testing.T, disk *simdisk.Disk) (*Store, *recordedNotes) {
	t.Helper()
	s := open(t, "blobs", Options{FS: disk})
	n := &recordedNotes{content: map[zodb.Tid][sha256.Size]byte{}, sizes: map[zodb.Tid]int64{},
		fresh: map[zodb.Tid]bool{}}
	s.Notes = n
	return s, n
}

// Size and digest of a blob are told when its transaction is durable, in whichever way the content came, and not
// before: one that is discarded after it had its name is told to be gone.
func TestTheContentOfABlobIsToldWhenItIsCommitted(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 100)
	for name, c := range map[string]struct {
		w      way
		fresh  bool
		digest bool
	}{
		"staged": {staging, false, true}, "drafted": {drafting, true, true},
		"in ranges":                          {inRanges(0, 600, 1000), false, true},
		"in ranges in another order":         {inRanges(0, 1000, 600), false, false},
		"in ranges, the first at last":       {inRanges(600, 1000, 0), false, false},
		"in ranges of which one comes twice": {inRanges(0, 600, 0, 1000), false, false},
	} {
		s, n := notedStore(t, simdisk.New())
		for tid := zodb.Tid(1); tid <= 2; tid++ {
			b, err := c.w(s, tid, content)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(b.Sync(), b.Publish(), b.SyncDir()); err != nil || len(n.sizes) > 0 {
				t.Errorf("%s: before the commit: %v, %v", name, n.sizes, err)
			}
			if tid == 1 {
				must(t, b.Discard())
				continue
			}
			b.(interface{ Committed() }).Committed()
		}
		if len(n.gone) != 1 || n.gone[0] != 1 {
			t.Errorf("%s: gone: %v", name, n.gone)
		}
		digest, known := n.content[2]
		if n.sizes[2] != int64(len(content)) || n.fresh[2] != c.fresh || known != c.digest || len(n.sizes) != 1 {
			t.Errorf("%s: told %v, %v, %v", name, n.sizes, n.fresh, known)
		}
		if known && digest != sha256.Sum256(content) {
			t.Errorf("%s: digest %x", name, digest)
		}
	}
}

// inRanges writes ranges that begin at these places, in this order. Each ends where the next place is.
func inRanges(places ...int) way {
	return func(s *Store, tid zodb.Tid, content []byte) (zodb.StagedBlob, error) {
		p, err := s.Part(1, tid)
		if err != nil {
			return nil, err
		}
		for _, at := range places {
			end := len(content)
			for _, other := range places {
				if other > at {
					end = min(end, other)
				}
			}
			if _, err := p.WriteAt(content[at:end], int64(at)); err != nil {
				return nil, err
			}
		}
		return p.Stage(int64(len(content)))
	}
}

// A blob whose file has another size than was noted is not opened, but by who looks at damaged ones.
func TestABlobOfAnotherSizeIsNotOpened(t *testing.T) {
	disk := simdisk.New()
	s, n := notedStore(t, disk)
	var told *zodb.DamagedBlobError
	s.Damaged = func(d *zodb.DamagedBlobError) { told = d }
	b := stage(t, s, 1, 2, []byte("content"))
	must(t, errors.Join(b.Sync(), b.Publish(), b.SyncDir()))
	b.(interface{ Committed() }).Committed()
	f, err := s.OpenBlob(1, 2)
	must(t, err)
	must(t, f.Close())
	n.sizes[2] = 8
	_, err = s.OpenBlob(1, 2)
	var damage *zodb.DamagedBlobError
	if !errors.As(err, &damage) || damage.Size != 7 || damage.Noted != 8 || told != damage {
		t.Errorf("got %v, told %v", err, told)
	}
	f, err = s.AsIs().OpenBlob(1, 2)
	must(t, err)
	if got, err := io.ReadAll(io.NewSectionReader(f, 0, 100)); string(got) != "content" || err != nil {
		t.Errorf("as it is: %q, %v", got, err)
	}
	must(t, f.Close())
	if _, err := s.OpenBlob(1, 3); errors.Is(err, os.ErrInvalid) || errors.As(err, &damage) {
		t.Errorf("one that is not there: %v", err)
	}
}
