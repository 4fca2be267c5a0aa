package secondary

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"net"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// largeText is so many ranges of a blob, of which none is like another.
func largeText(ranges int) string {
	var b strings.Builder
	dice := rand.NewChaCha8([32]byte{1})
	part := make([]byte, blobPart)
	for range ranges {
		_, _ = dice.Read(part) // never fails
		b.Write(part)
	}
	return b.String()[:b.Len()-1000]
}

// mustHaveNoParts checks that nothing is left in the folder of incoming blobs.
func (s *site) mustHaveNoParts(t *testing.T) {
	t.Helper()
	left, err := s.fs.ReadDir(path.Join(s.dir, "blobs", "tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left of incoming blobs: %v, %v", left, err)
	}
}

// cutAfter counts what is read on all connections, and cuts the first one after so many bytes.
func cutAfter(bytes int64, n *atomic.Int64) func(*Options) {
	return func(o *Options) {
		first := true
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := dial(ctx, addr)
			if err == nil && first && bytes > 0 {
				first, conn = false, &woundedConn{Conn: conn, w: wound{after: bytes}}
			}
			return &countingConn{conn, n}, err
		}
	}
}

func TestABlobOfASeedThatWasCutIsGoneOnWith(t *testing.T) {
	p, s := inMemory(t).named(t), inMemory(t)
	blob := largeText(30)
	p.commit(t, 1, "one", blob)
	_, addr := p.asSeeder(t)
	var n atomic.Int64
	r := s.follow(t, addr, seeded(1), cutAfter(int64(len(blob))*9/10, &n))
	r.has(t, p.st.LastTid())
	mustEqual(t, p, s)
	if most := int64(len(blob)) * 4 / 3; n.Load() > most {
		t.Errorf("%d bytes came for a blob of %d, want at most %d", n.Load(), len(blob), most)
	}
	r.has(t, p.commit(t, 1, "live", "a blob in another way"))
	s.mustHaveNoParts(t)
}

// So it is by another process, after a kill.
func TestABlobOfASeedThatWasKilledIsGoneOnWith(t *testing.T) {
	p, disk := inMemory(t).named(t), simdisk.New()
	blob := largeText(30)
	p.commit(t, 1, "one", blob)
	_, addr := p.asSeeder(t)
	s := onDisk(t, disk, "db")
	var n atomic.Int64
	r := s.follow(t, addr, seeded(1), cutAfter(0, &n))
	written := make(chan struct{})
	ranges := 0
	disk.FailWhen(func(op simdisk.Op) error {
		if op.Kind == simdisk.Write && op.Len == blobPart {
			if ranges++; ranges == 25 {
				close(written)
			}
			if ranges >= 25 {
				return simdisk.ErrKilled
			}
		}
		return nil
	})
	<-written
	_ = r.stop() // it has failed
	_ = s.st.Close()
	disk.Heal()
	n.Store(0)
	s = onDisk(t, disk, "db")
	s.follow(t, addr, seeded(1), cutAfter(0, &n)).has(t, p.st.LastTid())
	mustEqual(t, p, s)
	if most := int64(len(blob)) / 2; n.Load() > most {
		t.Errorf("%d bytes came after the kill for a blob of %d, want at most %d", n.Load(), len(blob), most)
	}
	s.mustHaveNoParts(t)
}

// What a power failure leaves of a part can be anything; none of it gets into the blob.
func TestAPowerFailureAtAnyOperationOfALargeBlobIsResumedFrom(t *testing.T) {
	p := inMemory(t).named(t)
	p.commit(t, 1, "one", largeText(4))
	p.commit(t, 2, "two", largeText(3))
	_, addr := p.asSeeder(t)
	for n := 1; ; n++ {
		lost, after := applied(t, p, addr, n, seeded(1))
		s := onDisk(t, after, "db")
		r := s.follow(t, addr, seeded(1))
		r.has(t, p.st.LastTid())
		mustEqual(t, p, s)
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		one, err := s.own.Stage(1, 1, strings.NewReader("a blob that comes in another way"))
		if err != nil || one.Discard() != nil {
			t.Error(err)
		}
		s.mustHaveNoParts(t)
		if t.Failed() {
			t.Fatalf("operation %d", n)
		}
		if !lost {
			return
		}
	}
}

// blobOid is the object of the blob that site.commit stores beside another object.
func blobOid(oid zodb.Oid) zodb.Oid { return oid + 1000 }

// leave makes a file in the folder of incoming blobs.
func (s *site) leave(t *testing.T, name, content string) {
	t.Helper()
	f, err := s.fs.OpenFile(path.Join(s.dir, "blobs", "tmp", name), os.O_RDWR|os.O_CREATE, 0o444)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(content), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPartsAreProvedAndThoseThatNobodyNeedsAreRemoved(t *testing.T) {
	p := inMemory(t).named(t)
	blob := largeText(5)
	tid := p.commit(t, 1, "one", blob)
	_, addr := p.asSeeder(t)
	name := "zrsd-part-" + blobOid(1).String() + "-" + tid.String() + ".blob"
	for what, content := range map[string]string{
		"whole": blob, "the beginning": blob[:3*blobPart], "too long": blob + blob[:blobPart],
		"others": strings.Repeat("x", len(blob)), "one damaged": blob[:2*blobPart] + "?" + blob[2*blobPart+1:],
	} {
		s := inMemory(t)
		s.leave(t, name, content)
		s.leave(t, "zrsd-part-"+zodb.Oid(7).String()+"-"+tid.String()+".blob", "of a blob that is packed away")
		s.leave(t, "zrsd-"+blobOid(1).String()+"-"+tid.String()+"-1.blob", "of another way")
		var n atomic.Int64
		r := s.follow(t, addr, seeded(1), cutAfter(0, &n))
		r.eventually(t, "live", func(st Status) bool { return st.State == StateLive }) // it keeps no parts any more
		mustEqual(t, p, s)
		if what != "others" && n.Load() > 7*blobPart/2 {
			t.Errorf("%s: %d bytes came", what, n.Load())
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		s.mustHaveNoParts(t)
	}
}

// Blobs that are there already, as after somebody has copied them, are kept where the primary has the same.
func TestBlobsThatAreThereAreKeptWhereTheyAreRight(t *testing.T) {
	p, s := inMemory(t).named(t), inMemory(t)
	blobs := map[zodb.Oid]string{1: "small", 2: largeText(4), 3: "damaged here", 4: largeText(3)}
	var want []filestorage.BlobID
	for oid := range zodb.Oid(4) {
		tid := p.commit(t, oid+1, "state", blobs[oid+1])
		want = append(want, filestorage.BlobID{Oid: blobOid(oid + 1), Tid: tid})
	}
	for _, b := range want {
		content := blobs[b.Oid-blobOid(0)]
		if b.Oid > blobOid(2) {
			content = "?" + content[1:]
		}
		one, err := s.own.Stage(b.Oid, b.Tid, strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if err := one.Publish(); err != nil {
			t.Fatal(err)
		}
	}
	_, addr := p.asSeeder(t)
	var n atomic.Int64
	s.follow(t, addr, seeded(1), cutAfter(0, &n)).has(t, p.st.LastTid())
	mustEqual(t, p, s)
	if most := int64(len(blobs[4])) + blobPart; n.Load() > most {
		t.Errorf("%d bytes came, want at most %d", n.Load(), most)
	}
}

// A digestNotes keeps the digests of which blobs are known when they are committed.
type digestNotes struct {
	mu      sync.Mutex
	digests map[zodb.Tid][sha256.Size]byte
	without int
}

func (n *digestNotes) Content(_ zodb.Oid, tid zodb.Tid, _ int64, digest *[sha256.Size]byte, _ bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if digest == nil {
		n.without++
		return
	}
	n.digests[tid] = *digest
}

func (n *digestNotes) Gone(zodb.Oid, zodb.Tid, bool) {}

func (n *digestNotes) Size(zodb.Oid, zodb.Tid) (int64, bool) { return 0, false }

// Each stream brings blobs of its own, from front to back, so that nobody has to read them again for their digest. Only
// those at the end come on several streams.
func TestTheDigestOfALargeBlobIsKnownWhenItIsThere(t *testing.T) {
	p, s := inMemory(t).named(t), inMemory(t)
	notes := &digestNotes{digests: make(map[zodb.Tid][sha256.Size]byte)}
	s.own.Notes = notes
	const blobs = 9
	want := make(map[zodb.Tid][sha256.Size]byte)
	for i := range zodb.Oid(blobs) {
		text := largeText(6)[i:]
		want[p.commit(t, i, "with a blob", text)] = sha256.Sum256([]byte(text))
	}
	_, addr := p.asSeeder(t)
	s.follow(t, addr, seeded(1)).has(t, p.st.LastTid())
	mustEqual(t, p, s)
	notes.mu.Lock()
	defer notes.mu.Unlock()
	if notes.without >= blobStreams || len(notes.digests)+notes.without != blobs {
		t.Errorf("%d blobs came with their digest, %d without", len(notes.digests), notes.without)
	}
	for tid, digest := range notes.digests {
		if digest != want[tid] {
			t.Errorf("the digest of the blob of %v is not that of what is there", tid)
		}
	}
}
