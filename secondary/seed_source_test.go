package secondary

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A lender is a node that gives a site's files besides another one.
type lender struct {
	addr  string
	asked chan struct{} // closed with the first part
	once  sync.Once

	askedBlob chan struct{} // closed with the first blob
	onceBlob  sync.Once
}

// lendingSnapshot counts what is read, and changes it.
type lendingSnapshot struct {
	primary.Snapshot
	l      *lender
	change func(b []byte, pos int64)
}

func (s *lendingSnapshot) ReadAt(b []byte, pos int64) (int, error) {
	n, err := s.Snapshot.ReadAt(b, pos)
	if n > 1000 {
		s.l.once.Do(func() { close(s.l.asked) })
		if s.change != nil {
			s.change(b[:n], pos)
		}
	}
	return n, err
}

// asLender starts a node that gives the site's files, changed where change is not nil.
func (s *site) asLender(t *testing.T, change func([]byte, int64), more ...func(*primary.Options)) *lender {
	t.Helper()
	l := &lender{asked: make(chan struct{}), askedBlob: make(chan struct{})}
	chain := s.keepChain(t)
	_, l.addr = s.asSeeder(t, append([]func(*primary.Options){func(o *primary.Options) {
		o.History = chain
		o.Seed.Snapshot = func() (primary.Snapshot, error) {
			whole, err := s.st.Snapshot()
			return &lendingSnapshot{whole, l, change}, err
		}
		open := o.Seed.OpenBlob
		o.Seed.OpenBlob = func(oid zodb.Oid, tid zodb.Tid) (primary.BlobFile, error) {
			l.onceBlob.Do(func() { close(l.askedBlob) })
			return open(oid, tid)
		}
	}}, more...)...)
	return l
}

// A gatedSnapshot is read behind a place only when a channel is closed.
type gatedSnapshot struct {
	primary.Snapshot
	from int64
	open <-chan struct{}
}

func (s *gatedSnapshot) ReadAt(b []byte, pos int64) (int, error) {
	if pos >= s.from {
		<-s.open
	}
	return s.Snapshot.ReadAt(b, pos)
}

// leading starts the node whose data file is taken. It gives what is behind a place only when gate is closed.
func (s *site) leading(t *testing.T, from int64, gate <-chan struct{}) string {
	t.Helper()
	_, addr := s.asSeeder(t, func(o *primary.Options) {
		o.Seed.Snapshot = func() (primary.Snapshot, error) {
			whole, err := s.st.Snapshot()
			return &gatedSnapshot{whole, from, gate}, err
		}
	})
	return addr
}

// parts commits records of one part each.
func (s *site) parts(t *testing.T, n int) *site {
	t.Helper()
	for i := range n {
		s.commit(t, zodb.Oid(i), strings.Repeat(string(rune('a'+i%26)), seedPart), "")
	}
	return s
}

// seedingFrom has a secondary take the data file of the first of these nodes, and parts from the others.
func seedingFrom(addrs ...string) func(*Options) {
	return func(o *Options) { o.SeedThreshold, o.SeedFrom = 1, addrs }
}

// The first node gives no more than three parts until the second one has been asked for one.
func TestASeedTakesPartsFromSeveralNodesAtOnce(t *testing.T) {
	p, s := inMemory(t).named(t).parts(t, 14).large(t, 8), inMemory(t)
	other := p.asLender(t, nil)
	first := p.leading(t, 3*seedPart, other.asked)
	r := s.follow(t, first, seedingFrom(first, other.addr))
	r.has(t, p.st.LastTid())
	mustEqual(t, p, s)
	mustHaveTaken(t, r, 0)
}

// Whatever another node gives, or does not: the copy is that of the node whose data file is taken.
func TestWhateverAnotherNodeGivesTheCopyIsThatOfTheFirst(t *testing.T) {
	p := inMemory(t).named(t).parts(t, 14).large(t, 12)
	stranger := inMemory(t).named(t).parts(t, 16)
	closed := listen(t)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	silent := listen(t)
	t.Cleanup(func() { _ = silent.Close() })
	everywhere := func(b []byte, _ int64) { b[len(b)/2] ^= 1 }
	for name, addr := range map[string]string{
		"rot in all parts":    p.asLender(t, everywhere).addr,
		"rot in one part":     p.asLender(t, func(b []byte, pos int64) { b[0] ^= byte(1 - min(pos>>20, 1)) }).addr,
		"another storage":     stranger.asLender(t, nil).addr,
		"nobody is there":     closed.Addr().String(),
		"it never answers":    silent.Addr().String(),
		"it gives no ranges":  p.asLender(t, nil, func(o *primary.Options) { o.Seed.Snapshot = nil }).addr,
		"the blobs are other": p.asLender(t, nil, otherBlobs(p)).addr,
		"it has no blobs":     p.asLender(t, nil, noBlobs).addr,
	} {
		t.Run(name, func(t *testing.T) {
			s := inMemory(t)
			first := p.leading(t, 0, done())
			r := s.follow(t, first, seedingFrom(first, addr), func(o *Options) {
				if name == "it never answers" {
					o.HandshakeTimeout = 3 * time.Second
				}
			})
			r.has(t, p.st.LastTid())
			mustEqual(t, p, s)
			mustHaveTaken(t, r, 0)
		})
	}
}

func done() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func noBlobs(o *primary.Options) {
	o.Seed.OpenBlob = func(oid zodb.Oid, tid zodb.Tid) (primary.BlobFile, error) {
		return nil, &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
	}
}

// otherBlobs gives blobs of the right size with other content.
func otherBlobs(p *site) func(*primary.Options) {
	return func(o *primary.Options) {
		o.Seed.OpenBlob = func(oid zodb.Oid, tid zodb.Tid) (primary.BlobFile, error) {
			f, err := p.st.OpenBlob(oid, tid)
			if err != nil {
				return nil, err
			}
			info, err := f.Stat()
			return &zeroBlob{f, bytes.NewReader(make([]byte, info.Size()))}, err
		}
	}
}

type zeroBlob struct {
	primary.BlobFile
	zeros *bytes.Reader
}

func (b *zeroBlob) ReadAt(p []byte, off int64) (int, error) { return b.zeros.ReadAt(p, off) }

// Connections to both nodes are cut anywhere, or a byte is damaged there.
func TestWhatHappensToTheConnectionsOfSeveralNodesHarmsNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	p := inMemory(t).named(t).parts(t, 12).large(t, 4)
	other := p.asLender(t, nil)
	first := p.leading(t, 0, done())
	end := p.st.Size() + p.blobBytes(t)
	for range 2 {
		survives(t, p, first, wound{after: dice.Int64N(end), times: 5}, seedingFrom(first, other.addr))
		survives(t, p, first, wound{after: dice.Int64N(end), flip: 1 << dice.IntN(8), times: 5},
			seedingFrom(first, other.addr))
	}
}

// The first node gives more than a few blobs only when the other one has been asked for one.
func TestBlobsComeFromSeveralNodes(t *testing.T) {
	p, s := inMemory(t).named(t), inMemory(t)
	for i := range 400 {
		size := 1 + i*37%(smallBlob)
		if i%100 == 7 {
			size = 5*blobPart + i
		}
		p.commit(t, zodb.Oid(100+i), "with a blob", strings.Repeat(string(rune('a'+i%26)), size))
	}
	other := p.asLender(t, nil)
	var opened atomic.Int64
	_, first := p.asSeeder(t, func(o *primary.Options) {
		open := o.Seed.OpenBlob
		o.Seed.OpenBlob = func(oid zodb.Oid, tid zodb.Tid) (primary.BlobFile, error) {
			if opened.Add(1) > 5 {
				<-other.askedBlob
			}
			return open(oid, tid)
		}
	})
	r := s.follow(t, first, seedingFrom(first, other.addr))
	r.has(t, p.st.LastTid())
	mustEqual(t, p, s)
	mustHaveTaken(t, r, 0)
}

// Nobody waits for a node that has been asked for the next part and does not give it.
func TestAPartThatIsLentIsDealtAgainWhenTheStorageWaitsForIt(t *testing.T) {
	q, _ := queueOf(3, 0)
	lent := q.lend(false, q.end)
	if lent == nil || lent.From != magicLen {
		t.Fatalf("lent %+v", lent)
	}
	for _, r := range q.all() {
		q.put(r.From, make([]byte, r.Length))
	}
	taken := make(chan int)
	go func() {
		n := 0
		for q.take() != nil {
			n++
		}
		taken <- n
	}()
	again := q.deal(true) // it waits until the storage does
	if again == nil || *again != *lent {
		t.Fatalf("dealt %+v, want %+v", again, lent)
	}
	q.put(again.From, make([]byte, again.Length))
	if n := <-taken; n != 3 {
		t.Errorf("%d parts were taken", n)
	}
	q.put(lent.From, make([]byte, lent.Length)) // it comes after all, and is dropped
	q.refuse(lent)
	if r := q.deal(true); r != nil {
		t.Errorf("dealt %+v", r)
	}
}

// However parts are dealt, lent, refused and lost: the storage gets each once, in order.
func TestPartsOfSeveralNodesAreTakenInTheOrderOfTheFile(t *testing.T) {
	const parts = 200
	q, _ := queueOf(parts, 0)
	var nodes sync.WaitGroup
	for i := range 3 {
		dice := rand.New(rand.NewPCG(uint64(i), 1))
		nodes.Go(func() {
			for r := q.lend(true, q.end); r != nil; r = q.lend(true, q.end) {
				switch dice.IntN(4) {
				case 0:
					q.refuse(r)
				case 1: // it is out, and says nothing until it is given up
					defer q.refuse(r)
				default:
					q.put(r.From, part(r))
				}
			}
		})
		nodes.Go(func() {
			for r := q.deal(true); r != nil; r = q.deal(true) {
				q.put(r.From, part(r))
			}
		})
	}
	for want := range parts {
		data := q.take()
		if data == nil || data[0] != byte(want) {
			t.Fatalf("part %d is %v", want, data[:min(len(data), 1)])
		}
		q.giveBack(data)
	}
	nodes.Wait()
	if q.take() != nil || len(q.lent) > 0 || len(q.refused) > 0 {
		t.Errorf("left: %d lent, %d refused", len(q.lent), len(q.refused))
	}
}

func part(r *protocol.RangeRequest) []byte {
	return bytes.Repeat([]byte{byte(r.From / seedPart)}, int(r.Length))
}

// A node that is given by two names is asked once, and of many only as many as there may be.
func TestFewNodesAreAskedBesidesTheOneWhoseFileIsTaken(t *testing.T) {
	s := inMemory(t).secondary("primary:1", seedingFrom("a:1", "b:1", "a:1", "c:1", "b:1", "d:1", "e:1"))
	s.addr = "c:1"
	var got []string
	for _, o := range s.sources(protocol.StreamHeader{}, "id") {
		got = append(got, o.addr)
	}
	if strings.Join(got, " ") != "a:1 b:1 d:1" {
		t.Errorf("asked %v", got)
	}
}

// A blob that another node does not have as it has to be is asked for once there.
func TestABlobThatIsRefusedIsAskedForAtTheFirstNode(t *testing.T) {
	q := &smallBlobs{todo: []filestorage.BlobID{{Oid: 1}, {Oid: 2}}}
	one, err := q.lend(false)
	if err != nil {
		t.Fatal(err)
	}
	one.refuse()
	two, err := q.lend(false)
	if err != nil || two.(*smallLoan).Oid != 2 {
		t.Errorf("lent %+v, %v", two, err)
	}
	if none, err := q.lend(false); none != nil || err != nil {
		t.Errorf("lent %+v again, %v", none, err)
	}
	if r, is := q.deal(); !is || r.Oid != 1 {
		t.Errorf("dealt %+v", r)
	}
}
