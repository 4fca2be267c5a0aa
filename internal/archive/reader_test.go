package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// unequal returns an archive with segments of many lengths, in memory.
func unequal(t *testing.T) (*Archive, *simdisk.Disk) {
	t.Helper()
	disk := simdisk.New()
	store := newStore(t, disk)
	s := newSite(t, 1)
	t.Cleanup(s.close)
	for i := range 12 {
		s.commit(3, 1000+i%5*2000, true)
		s.archive(s.writer(store, smallSegments))
	}
	return open(t, store, Keys{}), disk
}

// countedReads is a store that counts reads.
type countedReads struct {
	Store
	begun atomic.Int64
}

func (c *countedReads) Read(ctx context.Context, key string, from, length int64) (io.ReadCloser, error) {
	c.begun.Add(1)
	return c.Store.Read(ctx, key, from, length)
}

// A buffer is used again only when nobody reads it any more: what do gets stays what the header says until it returns,
// whatever comes meanwhile. No more segments than was asked for are in memory.
func TestAReaderUsesBuffersAgainAndNoneThatIsInUse(t *testing.T) {
	a, _ := unequal(t)
	m, err := a.Moment(t.Context(), Latest, false)
	if err != nil {
		t.Fatal(err)
	}
	for atOnce := 1; atOnce <= 4; atOnce++ {
		synctest.Test(t, func(t *testing.T) {
			counted := &countedReads{Store: a.store}
			m.archive = &Archive{store: counted, packer: a.packer}
			r, last := newReader(m.Path, atOnce, atOnce%2 == 0), uint64(0)
			err := r.each(t.Context(), 0, m.Segments, Place{}, func(i uint64, s *Segment) error {
				synctest.Wait() // until all that may go on without this has gone on
				last = i
				if begun := counted.begun.Load(); begun > int64(i)+int64(atOnce) {
					return fmt.Errorf("segment %d: %d have been read", i, begun)
				}
				if sum := sumOf(s.Bytes); sum != s.Range {
					return fmt.Errorf("segment %d: its bytes have changed", i)
				}
				return unused(r.contents, s.Bytes)
			})
			if err != nil || last != m.Segments-1 {
				t.Errorf("%d at once: ended after segment %d of %d: %v", atOnce, last, m.Segments, err)
			}
			if len(r.contents) == 0 || len(r.stored) == 0 {
				t.Errorf("%d at once: no buffer is left to be used again", atOnce)
			}
		})
	}
}

// unused returns an error where b is one of the spares.
func unused(s spares, b []byte) error {
	for range len(s) {
		spare := <-s
		if &spare[:1][0] == &b[0] {
			return errors.New("the bytes of a segment are free for the next one")
		}
		s.put(spare)
	}
	return nil
}

func TestSparesAreOfTheLengthThatIsAskedFor(t *testing.T) {
	s := make(spares, 1)
	s.put(make([]byte, 10))
	s.put(make([]byte, 20)) // there is no room for it
	if b := s.get(4); len(b) != 4 || cap(b) != 10 {
		t.Errorf("got %d of %d bytes", len(b), cap(b))
	}
	s.put(make([]byte, 10))
	if b := s.get(11); len(b) != 11 {
		t.Errorf("got %d bytes", len(b))
	}
	if len(s) != 0 {
		t.Error("a buffer that is too small is kept")
	}
	var none spares
	if b := none.get(3); len(b) != 3 {
		t.Errorf("got %d bytes", len(b))
	}
	none.put(make([]byte, 3))
}

// A segment whose object ends before or after what its header says is damaged.
func TestASegmentHasTheLengthThatItsHeaderSays(t *testing.T) {
	a, disk := unequal(t)
	path := "/archive/" + SegmentID{1, 2}.name()
	whole := readFile(t, disk, path)
	for what, content := range map[string][]byte{
		"nothing":           nil,
		"part of a header":  whole[:HeaderLen-1],
		"a header only":     whole[:HeaderLen],
		"one byte less":     whole[:len(whole)-1],
		"one byte more":     append(whole[:len(whole):len(whole)], 0),
		"one segment twice": append(whole[:len(whole):len(whole)], whole...),
	} {
		if err := vfs.WriteFileAtomic(disk, path, ".new", func(f vfs.File) error {
			_, err := f.WriteAt(content, 0)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		r, err := a.Verify(t.Context(), 1, nil)
		if err != nil || len(r.Problems) == 0 {
			t.Errorf("%s: verify finds nothing wrong: %v", what, err)
		}
		if _, _, err := restored(t, a, Latest, false); err == nil {
			t.Errorf("%s: it was restored", what)
		}
	}
}

// The digest of what is stored is verified where that is all that proves something, and by a verification.
func TestTheDigestOfWhatIsStoredIsVerified(t *testing.T) {
	p, err := newPacker(Keys{})
	if err != nil {
		t.Fatal(err)
	}
	id, b := someSegment(t, p)
	h, err := decodeHeader(id, b)
	if err != nil {
		t.Fatal(err)
	}
	h.BodySum[0] ^= 1
	a := &Archive{packer: p}
	if s, err := a.decode(h, b[HeaderLen:], nil, false); err != nil || sumOf(s.Bytes) != h.Range {
		t.Errorf("content that is right is not believed: %v", err)
	}
	if _, err := a.decode(h, b[HeaderLen:], nil, true); err == nil {
		t.Error("a verification does not find it")
	}
	h.Age = true
	if _, err := a.decode(h, b[HeaderLen:], nil, false); err == nil {
		t.Error("it is not found where the content cannot be read")
	}
}
