package secondary

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// seedCopyOf returns a copy of a site's files, with another data file.
func seedCopyOf(p *site, data []byte) *SeedCopy {
	return &SeedCopy{Data: bytes.NewReader(data), Size: int64(len(data)),
		OpenBlob: func(oid zodb.Oid, tid zodb.Tid) (CopiedBlob, error) { return p.st.OpenBlob(oid, tid) }}
}

// begunWith has a secondary begin with a copy.
func begunWith(c *SeedCopy) func(*Options) {
	return func(o *Options) { o.SeedThreshold, o.SeedCopy = 1, c }
}

// blobBytes is how many bytes the blobs of a site have.
func (s *site) blobBytes(t *testing.T) (n int64) {
	t.Helper()
	for name := range s.blobs(t) {
		info, err := s.fs.Stat(s.dir + "/blobs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

// Of a copy that is right nothing is sent but digests.
func TestACopyThatIsRightIsTaken(t *testing.T) {
	p, s := inMemory(t).named(t).large(t, 40), inMemory(t)
	_, addr := p.asSeeder(t)
	c := seedCopyOf(p, p.committed(t))
	r := s.follow(t, addr, begunWith(c))
	r.has(t, p.st.LastTid())
	mustEqual(t, p, s)
	mustHaveTaken(t, r, 0)
	if want := p.st.Size() - magicLen + p.blobBytes(t); c.Taken() != want {
		t.Errorf("%d bytes came from the copy, want %d", c.Taken(), want)
	}
	if got := r.Status().Bytes; got > 20_000 {
		t.Errorf("%d bytes were received", got)
	}
}

// Whatever the data file of a copy is like after its first transaction: the end is the primary's file, and what is in
// parts that are right comes from the copy.
func TestWhatIsWrongInACopyComesFromThePrimary(t *testing.T) {
	p := inMemory(t).named(t).large(t, 60)
	_, addr := p.asSeeder(t)
	right := p.committed(t)
	size := int64(len(right))
	flipped := func(at ...int64) []byte {
		b := bytes.Clone(right)
		for _, pos := range at {
			b[pos] ^= 4
		}
		return b
	}
	if size < 4*seedPart {
		t.Fatalf("the file has only %d bytes", size)
	}
	for name, c := range map[string]struct {
		data []byte
		lost int64 // at most so many bytes do not come from the copy
	}{
		"a flipped bit at the beginning":  {flipped(magicLen + 20), seedPart},
		"a flipped bit":                   {flipped(size / 2), seedPart},
		"two in one part":                 {flipped(magicLen+seedPart+7, magicLen+seedPart+9), seedPart},
		"two in parts next to each other": {flipped(magicLen+seedPart+7, magicLen+2*seedPart+9), 2 * seedPart},
		"a flipped bit in the last byte":  {flipped(size - 1), seedPart},
		"the beginning":                   {right[:size/3], size - size/3},
		"a torn end":                      {append(right[:size/2:size/2], make([]byte, 1000)...), size/2 + seedPart},
		"more than the primary has":       {append(bytes.Clone(right), "more"...), 0},
		"the magic only":                  {right[:magicLen], size},
		"nothing":                         {nil, size},
	} {
		t.Run(name, func(t *testing.T) {
			s, from := inMemory(t), seedCopyOf(p, c.data)
			s.follow(t, addr, begunWith(from)).has(t, p.st.LastTid())
			mustEqual(t, p, s)
			if want := size - magicLen + p.blobBytes(t) - c.lost; from.Taken() < want {
				t.Errorf("%d bytes came from the copy, want at least %d", from.Taken(), want)
			}
		})
	}
}

// A copy that differs nearly everywhere is looked at for a while only.
func TestACopyThatDiffersEverywhereIsGivenUp(t *testing.T) {
	p, s := inMemory(t).named(t).large(t, 60), inMemory(t)
	_, addr := p.asSeeder(t)
	data := p.committed(t)
	for i := magicLen + 8; i < len(data); i += 1000 {
		data[i] ^= 1
	}
	c := seedCopyOf(p, data)
	c.differs.Store(maxDiffering - 3)
	s.follow(t, addr, begunWith(c)).has(t, p.st.LastTid())
	mustEqual(t, p, s)
	if c.differs.Load() != maxDiffering {
		t.Errorf("%d parts were looked at", c.differs.Load())
	}
}

func TestACopyOfAnotherStorageIsRefusedWithWords(t *testing.T) {
	p, other, s := inMemory(t).named(t).large(t, 10), inMemory(t).named(t).large(t, 10), inMemory(t)
	_, addr := p.asSeeder(t)
	r := s.follow(t, addr, begunWith(seedCopyOf(other, other.committed(t))))
	st := r.eventually(t, "refused", func(st Status) bool { return st.State == StateRefused })
	if !strings.Contains(st.LastError, "no copy of those of the primary") || s.st.LastTid() != 0 {
		t.Errorf("%q, and it has %v", st.LastError, s.st.LastTid())
	}
}

// A strangeBlob is a blob whose content is another one.
type strangeBlob struct {
	CopiedBlob
	content io.ReaderAt
	size    int64
}

func (b strangeBlob) ReadAt(p []byte, off int64) (int, error) { return b.content.ReadAt(p, off) }
func (b strangeBlob) Stat() (fs.FileInfo, error)              { return sizedInfo{size: b.size}, nil }

type sizedInfo struct {
	fs.FileInfo
	size int64
}

func (i sizedInfo) Size() int64 { return i.size }

type unreadable struct{}

func (unreadable) ReadAt([]byte, int64) (int, error) { return 0, errors.New("input/output error") }

// Blobs of a copy that are not those of the primary, small or large, are not taken.
func TestABlobThatIsWrongInACopyComesFromThePrimary(t *testing.T) {
	p := inMemory(t).named(t).large(t, 60)
	_, addr := p.asSeeder(t)
	for name, change := range map[string]func(CopiedBlob, []byte) (CopiedBlob, error){
		"a flipped bit": func(f CopiedBlob, b []byte) (CopiedBlob, error) {
			b[len(b)/2] ^= 1
			return strangeBlob{f, bytes.NewReader(b), int64(len(b))}, nil
		},
		"a flipped bit at the end": func(f CopiedBlob, b []byte) (CopiedBlob, error) {
			b[len(b)-1] ^= 1
			return strangeBlob{f, bytes.NewReader(b), int64(len(b))}, nil
		},
		"too short": func(f CopiedBlob, b []byte) (CopiedBlob, error) {
			return strangeBlob{f, bytes.NewReader(b), int64(len(b) - 1)}, nil
		},
		"too long": func(f CopiedBlob, b []byte) (CopiedBlob, error) {
			return strangeBlob{f, bytes.NewReader(append(b, 1)), int64(len(b) + 1)}, nil
		},
		"empty": func(f CopiedBlob, _ []byte) (CopiedBlob, error) {
			return strangeBlob{f, bytes.NewReader(nil), 0}, nil
		},
		"cut while it is read": func(f CopiedBlob, b []byte) (CopiedBlob, error) {
			return strangeBlob{f, bytes.NewReader(b[:len(b)/2]), int64(len(b))}, nil
		},
		"not to be read": func(f CopiedBlob, b []byte) (CopiedBlob, error) {
			return strangeBlob{f, unreadable{}, int64(len(b))}, nil
		},
		"missing": func(f CopiedBlob, _ []byte) (CopiedBlob, error) {
			return nil, errors.Join(f.Close(), fs.ErrNotExist)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, n := inMemory(t), 0
			c := seedCopyOf(p, p.committed(t))
			c.OpenBlob = func(oid zodb.Oid, tid zodb.Tid) (CopiedBlob, error) {
				f, err := p.st.OpenBlob(oid, tid)
				if err != nil {
					return nil, err
				}
				if n++; n%3 == 0 {
					return f, nil
				}
				info, err := f.Stat()
				if err != nil {
					return nil, err
				}
				return change(f, readPart(f, 0, info.Size(), nil))
			}
			s.follow(t, addr, begunWith(c)).has(t, p.st.LastTid())
			mustEqual(t, p, s)
			if most := p.st.Size() + p.blobBytes(t); c.Taken() >= most || c.Taken() < p.st.Size() {
				t.Errorf("%d bytes came from the copy, of %d", c.Taken(), most)
			}
		})
	}
}

func TestACutAtAnyByteOfASeedWithACopyIsResumedFrom(t *testing.T) {
	p := inMemory(t).named(t).history(t, 9)
	_, addr := p.asSeeder(t)
	data := p.committed(t)
	half := append(data[:len(data)/2:len(data)/2], "torn"...)
	for _, data := range [][]byte{data, half} {
		change := begunWith(seedCopyOf(p, data))
		step := int64(31)
		if testing.Short() {
			step = 151
		}
		for after, end := int64(0), counted(t, p, addr, change); after <= end; after += step {
			survives(t, p, addr, wound{after: after, times: 2}, change)
		}
	}
}

func TestADamagedByteOfASeedWithACopyIsNeverVisible(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	p := inMemory(t).named(t).history(t, 12)
	_, addr := p.asSeeder(t)
	change := begunWith(seedCopyOf(p, p.committed(t)))
	end := counted(t, p, addr, change)
	for range 20 {
		survives(t, p, addr, wound{after: dice.Int64N(end), flip: 1 << dice.IntN(8), times: 1 + dice.IntN(3)}, change)
	}
}

// A primary of before sends the bytes although only the digest was asked for.
func TestAPrimaryThatKnowsNoBareRequestsServesASeedWithACopy(t *testing.T) {
	r := &protocol.RangeRequest{From: magicLen, Length: 5, Bare: true}
	b := &protocol.BlobRequest{Oid: 1, Tid: 2, Length: smallBlob, Bare: true}
	old, there := pipeStreams(t)
	go func() {
		_, _ = old.AnswerRange(&protocol.RangeRequest{From: magicLen, Length: 5}, []byte("hello"))
		_, _ = old.Write([]byte("hello"))
		_, _ = old.AnswerBlob(&protocol.BlobRequest{Oid: 1, Tid: 2, Length: smallBlob}, 4, []byte("blob"))
		_, _ = old.Write([]byte("blob"))
		_ = old.Flush()
	}()
	if same, err := there.CompareRange(r, []byte("hello")); !same || err != nil {
		t.Errorf("the range: %v, %v", same, err)
	}
	if same, err := there.CompareBlob(b, 4, []byte("blub")); same || err != nil {
		t.Errorf("the blob: %v, %v", same, err)
	}
}

// What the primary is asked for by digests only it does not send, and counts as nothing that is sent.
func TestBareRequestsCostThePrimaryNoBytes(t *testing.T) {
	p, s := inMemory(t).named(t).large(t, 20), inMemory(t)
	_, addr := p.asSeeder(t, func(o *primary.Options) { o.Seed.Rate = 1 }) // a byte per second
	s.follow(t, addr, begunWith(seedCopyOf(p, p.committed(t)))).has(t, p.st.LastTid())
	mustEqual(t, p, s)
}

// pipeStreams returns both ends of a stream of ranges.
func pipeStreams(t *testing.T) (a, b *protocol.RangeStream) {
	t.Helper()
	x, y := net.Pipe()
	a, b = protocol.NewRangeStream(x), protocol.NewRangeStream(y)
	t.Cleanup(func() {
		closeQuietly(a)
		closeQuietly(b)
	})
	return a, b
}
