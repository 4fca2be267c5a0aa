package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
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

// However many segments are read at a time, each is told of in order, after all of its bytes have come, in order, and
// no more objects are read than was asked for.
func TestAReaderStreamsSegmentsAndTellsOfThemInOrder(t *testing.T) {
	a, _ := unequal(t)
	m, err := a.Moment(t.Context(), Latest, false)
	if err != nil {
		t.Fatal(err)
	}
	for atOnce := 1; atOnce <= 4; atOnce++ {
		synctest.Test(t, func(t *testing.T) {
			counted := &countedReads{Store: a.store}
			own := &codecs{enc: a.packer.enc, dec: a.packer.dec} // what is used again stays in the bubble
			m.archive = &Archive{store: counted, packer: &packer{codecs: own}}
			var mu sync.Mutex
			contents, last := map[SegmentID]*bytes.Buffer{}, uint64(0)
			r := &reader{path: m.Path, atOnce: atOnce, into: func(h *Header) (io.Writer, error) {
				mu.Lock()
				defer mu.Unlock()
				contents[h.ID] = new(bytes.Buffer)
				return contents[h.ID], nil
			}}
			err := r.each(t.Context(), 0, m.Segments, Place{}, func(i uint64, s *Segment) error {
				synctest.Wait() // until all that may go on without this has gone on
				last = i
				if begun := counted.begun.Load(); begun > int64(i)+int64(atOnce) {
					return fmt.Errorf("segment %d: %d have been read", i, begun)
				}
				mu.Lock()
				defer mu.Unlock()
				if s.ID != m.ID(i) || sumOf(contents[s.ID].Bytes()) != s.Range {
					return fmt.Errorf("segment %d: %v has other bytes", i, s.ID)
				}
				return nil
			})
			if err != nil || last != m.Segments-1 {
				t.Errorf("%d at once: ended after segment %d of %d: %v", atOnce, last, m.Segments, err)
			}
		})
	}
}

// Of a segment that does not follow the one before nothing goes on, and what is damaged is not told of.
func TestAReaderStopsBeforeWhatDoesNotFollow(t *testing.T) {
	a, disk := unequal(t)
	m, err := a.Moment(t.Context(), Latest, false)
	if err != nil {
		t.Fatal(err)
	}
	path := func(i uint64) string { return "/archive/" + m.ID(i).name() }
	other := func(tb testing.TB) []byte { // with a header that is right by itself, and that claims the whole file
		tb.Helper()
		h, err := m.Header(tb.Context(), 3)
		if err != nil {
			tb.Fatal(err)
		}
		forged := *h
		forged.From, forged.To = 0, h.To-h.From
		b, err := a.packer.encodeSegment(&forged, make([]byte, forged.To), nil, nil)
		if err != nil {
			tb.Fatal(err)
		}
		return b
	}
	whole := readFile(t, disk, path(3))
	damaged := bytes.Clone(whole)
	damaged[len(damaged)-9] ^= 1
	for what, content := range map[string][]byte{"another segment": other(t), "damaged": damaged} {
		overwrite(t, disk, path(3), content)
		began := atomic.Bool{}
		r := &reader{path: m.Path, atOnce: 4, into: func(h *Header) (io.Writer, error) {
			if h.From == 0 && h.ID == m.ID(3) {
				began.Store(true)
			}
			return io.Discard, nil
		}}
		told := uint64(0)
		err := r.each(t.Context(), 0, m.Segments, Place{}, func(i uint64, _ *Segment) error { told = i; return nil })
		var format *FormatError
		if !errors.As(err, &format) || told != 2 || began.Load() {
			t.Errorf("%s: told of %d, its bytes came: %v, %v", what, told, began.Load(), err)
		}
	}
}

func overwrite(tb testing.TB, disk vfs.FS, path string, content []byte) {
	tb.Helper()
	if err := vfs.WriteFileAtomic(disk, path, ".new", func(f vfs.File) error {
		_, err := f.WriteAt(content, 0)
		return err
	}); err != nil {
		tb.Fatal(err)
	}
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
		overwrite(t, disk, path, content)
		r, err := a.Verify(t.Context(), 1, nil)
		if err != nil || len(r.Problems) == 0 {
			t.Errorf("%s: verify finds nothing wrong: %v", what, err)
		}
		if _, _, err := restored(t, a, Latest, false); err == nil {
			t.Errorf("%s: it was restored", what)
		}
	}
}

// What is verified is what can be read: the content, or what is stored where that is closed.
func TestTheDigestOfWhatIsStoredIsVerifiedWhereContentIsClosed(t *testing.T) {
	p, err := newPacker(Keys{})
	if err != nil {
		t.Fatal(err)
	}
	id, b := someSegment(t, p)
	h, err := decodeHeader(id, b)
	if err != nil {
		t.Fatal(err)
	}
	body := b[int64(len(b))-h.BodyLen:]
	unpack := func(h Header, body []byte) error {
		return p.unpack(&h, &io.LimitedReader{R: bytes.NewReader(body), N: h.BodyLen}, io.Discard)
	}
	closed, wrong := *h, *h
	closed.Age = true
	wrong.BodySum[0] ^= 1
	wrongContent := *h
	wrongContent.Range[0] ^= 1
	longer := *h
	longer.To--
	for what, err := range map[string]error{"open": unpack(*h, body), "closed": unpack(closed, body),
		"content proves more": unpack(wrong, body)} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	wrong.Age = true
	for what, err := range map[string]error{"closed": unpack(wrong, body), "open": unpack(wrongContent, body),
		"too long": unpack(longer, body), "cut off": unpack(*h, body[:len(body)-1]),
		"closed, cut off": unpack(closed, body[:len(body)-1])} {
		if format := (*FormatError)(nil); !errors.As(err, &format) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
