package secondary

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// seeded makes a secondary take every difference of at least so many bytes as it is.
func seeded(bytes int64) func(*Options) {
	return func(o *Options) { o.SeedThreshold = bytes }
}

// large adds n transactions with records of some size, and with blobs of one byte to several parts.
func (s *site) large(t *testing.T, n int) *site {
	t.Helper()
	for i := range n {
		blob := ""
		if i%4 == 1 {
			blob = strings.Repeat(fmt.Sprintf("blob %d.", i), 1+i*i*2000%(3*blobPart/8))
		}
		s.commit(t, zodb.Oid(i%5), strings.Repeat(fmt.Sprintf("state %d.", i), 1+i*3000%20000), blob)
	}
	return s
}

// asSeeder starts a primary with the identity that the site has, and returns it with its address.
func (s *site) asSeeder(t *testing.T, change ...func(*primary.Options)) (*primary.Primary, string) {
	t.Helper()
	l := listen(t)
	p := s.serveOn(t, l, func() (string, []protocol.Epoch) { return s.id.StorageID, s.id.Epochs }, change...)
	return p, l.Addr().String()
}

func TestAnEmptySecondaryTakesTheFileAsItIsAndGoesOnLive(t *testing.T) {
	p, s := inMemory(t).named(t).large(t, 30), inMemory(t)
	_, addr := p.asSeeder(t)
	r := s.follow(t, addr, seeded(1))
	r.eventually(t, "live", func(st Status) bool { return st.State == StateLive })
	mustEqual(t, p, s)
	st := r.Status()
	if st.Transactions != 0 || st.Bytes < p.st.Size() || st.Reconnects != 0 || st.LastError != "" || st.Seed != nil {
		t.Errorf("%+v", st)
	}
	for i := range 5 {
		r.has(t, p.commit(t, 1, fmt.Sprintf("live %d", i), "live blob"))
	}
	mustEqual(t, p, s)
}

// A seed that is compressed ends with the same bytes, of which fewer were sent.
func TestACompressedSeedEndsWithTheSameBytes(t *testing.T) {
	p, s := inMemory(t).named(t).large(t, 30), inMemory(t)
	_, addr := p.asSeeder(t)
	r := s.follow(t, addr, seeded(1), func(o *Options) { o.Compress = true })
	r.has(t, p.st.LastTid())
	mustEqual(t, p, s)
	mustHaveTaken(t, r, 0)
	if got := r.Status().Bytes; got > p.st.Size()/2 {
		t.Errorf("%d bytes were received of a file of %d", got, p.st.Size())
	}
}

// mustHaveTaken ends a secondary, and checks how many transactions came one by one.
func mustHaveTaken(t *testing.T, r *running, want int64) {
	t.Helper()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if st := r.Status(); st.Transactions != want {
		t.Errorf("%d transactions came one by one, want %d", st.Transactions, want)
	}
}

func TestASecondaryThatIsBehindTakesTheRestOfTheFileAsItIs(t *testing.T) {
	p, s := inMemory(t).named(t).large(t, 10), inMemory(t)
	_, addr := p.asSeeder(t)
	r := s.follow(t, addr)
	r.has(t, p.st.LastTid())
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	p.large(t, 20)
	again := s.follow(t, addr, seeded(1000))
	again.has(t, p.st.LastTid())
	mustEqual(t, p, s)
	mustHaveTaken(t, again, 0)
}

// Each time that its file is opened, the primary commits once more.
func TestWhatIsCommittedDuringASeedComesAsTransactionsHoweverSmallTheThresholdIs(t *testing.T) {
	p, s := inMemory(t).named(t).large(t, 10), inMemory(t)
	_, addr := p.asSeeder(t, func(o *primary.Options) {
		open := o.Seed.Snapshot
		o.Seed.Snapshot = func() (primary.Snapshot, error) {
			snapshot, err := open()
			p.commit(t, 1, "committed meanwhile", "")
			return snapshot, err
		}
	})
	r := s.follow(t, addr, seeded(1))
	r.eventually(t, "live", func(st Status) bool { return st.State == StateLive })
	mustEqual(t, p, s)
	mustHaveTaken(t, r, 1)
}

// A threshold is about a file that is there already, and does not count blobs: a small file may have many of them.
func TestWhatADifferenceIsTakenAs(t *testing.T) {
	const threshold = 8 << 20
	for name, c := range map[string]struct {
		before, after int // transactions of 20 KB that both have, and that only the primary has
		blobs         bool
		asItIs        bool
	}{
		"a new copy of next to nothing":    {0, 1, true, true},
		"a new copy without blobs":         {0, 10, false, true},
		"a new copy with blobs":            {0, 10, true, true},
		"a small difference":               {1, 30, true, false},
		"a larger one without blobs":       {1, 300, false, false},
		"a larger one with blobs":          {1, 300, true, true},
		"a difference above the threshold": {1, 500, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := inMemory(t).named(t), inMemory(t)
			_, addr := p.asSeeder(t)
			follow := func(threshold int64) *running {
				return s.follow(t, addr, seeded(threshold), func(o *Options) { o.BlobsOnDemand = !c.blobs })
			}
			state := strings.Repeat("s", 20_000)
			for range c.before {
				p.commit(t, 1, state, "")
			}
			if c.before > 0 {
				r := follow(0)
				r.has(t, p.st.LastTid())
				mustHaveTaken(t, r, int64(c.before))
			}
			for range c.after {
				p.commit(t, 1, state, "")
			}
			r := follow(threshold)
			r.has(t, p.st.LastTid())
			if c.asItIs {
				c.after = 0
			}
			mustHaveTaken(t, r, int64(c.after))
		})
	}
}

// Each side without the other's knowledge of ranges.
func TestNodesThatKnowNoRangesGoOnAsBefore(t *testing.T) {
	for name, c := range map[string]struct {
		primary func(*primary.Options)
		change  func(*Options)
	}{
		"primary":   {func(o *primary.Options) { o.Seed.Snapshot = nil }, seeded(1)},
		"secondary": {func(*primary.Options) {}, seeded(0)},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := inMemory(t).named(t).large(t, 10), inMemory(t)
			_, addr := p.asSeeder(t, c.primary)
			r := s.follow(t, addr, c.change)
			r.has(t, p.st.LastTid())
			mustEqual(t, p, s)
			mustHaveTaken(t, r, 10)
		})
	}
}

func TestAFileThatIsNoBeginningOfThePrimarysGetsTransactions(t *testing.T) {
	p, s := inMemory(t).named(t).large(t, 10), inMemory(t)
	_, addr := p.asSeeder(t)
	r := s.follow(t, addr)
	r.has(t, p.st.LastTid())
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	s.pack(t)
	p.large(t, 5)
	again := s.follow(t, addr, seeded(1))
	again.has(t, p.st.LastTid())
	mustAgree(t, p, s)
	mustHaveTaken(t, again, 5)
}

func TestACutAtAnyByteOfASeedIsResumedFrom(t *testing.T) {
	p := inMemory(t).named(t).history(t, 6)
	_, addr := p.asSeeder(t)
	step := int64(19)
	if testing.Short() {
		step = 97
	}
	for after, end := int64(0), counted(t, p, addr, seeded(1)); after <= end; after += step {
		survives(t, p, addr, wound{after: after, times: 2}, seeded(1))
	}
}

func TestADamagedByteOfASeedIsNeverVisible(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	p := inMemory(t).named(t).history(t, 12)
	_, addr := p.asSeeder(t, func(o *primary.Options) { // it waits for what a damaged length announces
		o.HandshakeTimeout = time.Second
	})
	end := counted(t, p, addr, seeded(1))
	for range 30 {
		survives(t, p, addr, wound{
			after: dice.Int64N(end), flip: 1 << dice.IntN(8), times: 1 + dice.IntN(3), written: dice.IntN(5) == 0,
		}, seeded(1))
	}
}

func TestACrashAtAnyOperationOfASeedIsResumedFrom(t *testing.T) {
	p := inMemory(t).named(t).history(t, 7)
	_, addr := p.asSeeder(t)
	for n := 1; ; n++ {
		lost, after := applied(t, p, addr, n, seeded(1))
		s := onDisk(t, after, "db")
		s.follow(t, addr, seeded(1)).has(t, p.st.LastTid())
		mustEqual(t, p, s)
		if t.Failed() {
			t.Fatalf("operation %d", n)
		}
		if !lost {
			t.Logf("%d operations", n)
			return
		}
	}
}

// Every connection ends somewhere in the midst of what it brings, 200 of them in a row.
func TestASeedThatIsCutTwoHundredTimesEndsWithTheSameBytes(t *testing.T) {
	p, s := inMemory(t).named(t).large(t, 40), inMemory(t)
	_, addr := p.asSeeder(t)
	dice := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	cuts := 200
	r := s.follow(t, addr, seeded(1), func(o *Options) {
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := dial(ctx, addr)
			if err != nil || cuts == 0 {
				return conn, err
			}
			cuts--
			return &woundedConn{Conn: conn, w: wound{after: dice.Int64N(p.st.Size() / 10)}}, nil
		}
	})
	r.has(t, p.st.LastTid())
	mustEqual(t, p, s)
	mustHaveTaken(t, r, 0)
	if cuts > 0 {
		t.Errorf("it was complete before %d of the cuts", cuts)
	}
}

func TestAPackInTheMidstOfASeedLosesNothing(t *testing.T) {
	p, s := inMemory(t).named(t).large(t, 14), inMemory(t)
	_, addr := p.asSeeder(t, func(o *primary.Options) { o.Seed.Rate = 1 << 19 })
	r := s.follow(t, addr, seeded(1))
	r.eventually(t, "seeding", func(st Status) bool { return st.Seed != nil && st.Bytes > 100<<10 })
	p.large(t, 5)
	p.pack(t)
	p.commit(t, 1, "after the pack", "with a blob")
	r.has(t, p.st.LastTid())
	mustAgree(t, p, s)
}

func TestAnotherNodeGoesOnWithASeed(t *testing.T) {
	p, s := inMemory(t).named(t).large(t, 25), inMemory(t)
	other := inMemory(t)
	copied := other.follow(t, p.asPrimary(t))
	copied.has(t, p.st.LastTid())
	if err := copied.stop(); err != nil {
		t.Fatal(err)
	}
	other.id = p.id
	_, first := p.asSeeder(t)
	_, second := other.asSeeder(t)
	dials := 0
	r := s.follow(t, first, seeded(1), func(o *Options) {
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			if dials++; dials > 1 {
				return dial(ctx, second)
			}
			conn, err := dial(ctx, addr)
			return &woundedConn{Conn: conn, w: wound{after: p.st.Size() / 2}}, err
		}
	})
	r.has(t, p.st.LastTid())
	mustEqual(t, p, s)
	mustHaveTaken(t, r, 0)
}

func TestASeedComesFromAnotherSecondarySoThatThePrimaryIsSpared(t *testing.T) {
	a, b, c := inMemory(t).named(t).large(t, 40), inMemory(t), inMemory(t)
	sparing, at := a.asSeeder(t)
	second := b.follow(t, at)
	second.has(t, a.st.LastTid())
	spare := b.serve(t, second.Identity)
	r := c.follow(t, at, seeded(1), func(o *Options) { o.SeedFrom = []string{spare} })
	before := sparing.Status().Totals.Bytes
	r.has(t, a.st.LastTid())
	r.has(t, a.commit(t, 1, "live", "from the primary"))
	mustEqual(t, a, c)
	if sent := sparing.Status().Totals.Bytes - before; sent > a.st.Size()/2 {
		t.Errorf("the primary sent %d bytes", sent)
	}
	if st := r.Status(); st.Address != at {
		t.Errorf("it follows %s, want the primary at %s", st.Address, at)
	}
}

func TestANodeThatIsToGiveItsFileAndIsNotThereIsPassedOver(t *testing.T) {
	p, s := inMemory(t).named(t).large(t, 10), inMemory(t)
	_, addr := p.asSeeder(t)
	dead := listen(t)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	r := s.follow(t, addr, seeded(1), func(o *Options) { o.SeedFrom = []string{dead.Addr().String()} })
	r.has(t, p.st.LastTid())
	mustEqual(t, p, s)
}

// A changed snapshot is one in which some bytes are others than in the file, with digests that fit them.
type changedSnapshot struct {
	primary.Snapshot
	at   int64
	flip byte
}

func (c *changedSnapshot) ReadAt(b []byte, pos int64) (int, error) {
	n, err := c.Snapshot.ReadAt(b, pos)
	if i := c.at - pos; i >= 0 && i < int64(n) {
		b[i] ^= c.flip
	}
	return n, err
}

// What a primary sends is not believed: a file that cannot be the continuation of this one never becomes visible, and
// the transactions come one by one.
func TestAFileThatCannotBeRightIsNotTaken(t *testing.T) {
	p := inMemory(t).named(t).history(t, 6)
	for name, c := range map[string]changedSnapshot{
		"a transaction's length":       {at: 4 + 15, flip: 0x55},
		"a transaction's status":       {at: 4 + 16, flip: 1},
		"where its transaction begins": {at: 4 + 23 + 15 + 31, flip: 0x55},
	} {
		t.Run(name, func(t *testing.T) {
			s := inMemory(t)
			_, addr := p.asSeeder(t, func(o *primary.Options) {
				o.Seed.Snapshot = func() (primary.Snapshot, error) {
					whole, err := p.st.Snapshot()
					return &changedSnapshot{whole, c.at, c.flip}, err
				}
			})
			r := s.follow(t, addr, seeded(1))
			r.has(t, p.st.LastTid())
			mustEqual(t, p, s)
			mustHaveTaken(t, r, 6)
		})
	}
}

func TestBlobsOfASharedDirectoryAreNotSent(t *testing.T) {
	p := inMemory(t).named(t).large(t, 30)
	s := beside(t, mounted(t, p.fs), sharedDir, simdisk.New())
	_, addr := p.asSeeder(t)
	r := s.follow(t, addr, seeded(1))
	r.has(t, p.st.LastTid())
	mustHaveTaken(t, r, 0)
	if a, b := p.committed(t), s.committed(t); !bytes.Equal(a, b) {
		t.Errorf("%d bytes, want %d", len(b), len(a))
	}
	if st := r.Status(); st.Bytes > p.st.Size()+20<<10 {
		t.Errorf("%d bytes came for a file of %d", st.Bytes, p.st.Size())
	}
}

// keepChain has the chain of digests of a site kept until the test ends.
func (s *site) keepChain(t *testing.T) *hashchain.Local {
	t.Helper()
	chain := hashchain.Keep(s.st, hashchain.Options{})
	t.Cleanup(chain.Close)
	return chain
}

// A byte of a record that is another one in the primary's file, as of rot on its disk, fits its structure and the
// digest in the answer. The hash chain of the next hello finds it: such a copy is never live.
func TestTheHashChainProvesWhatWasSeeded(t *testing.T) {
	for name, flip := range map[string]byte{"the same": 0, "another byte": 1} {
		t.Run(name, func(t *testing.T) {
			p, s := inMemory(t).named(t).history(t, 6), inMemory(t)
			theirs, own := p.keepChain(t), s.keepChain(t)
			data := int64(bytes.Index(p.committed(t), []byte("state 0\x00\x00")))
			at := data + int64(len("state 0")) + 8 + 8 + 8 + 8 + 2 + 8 // behind the description and the record's header
			_, addr := p.asSeeder(t, func(o *primary.Options) {
				o.History = theirs
				o.Seed.Snapshot = func() (primary.Snapshot, error) {
					whole, err := p.st.Snapshot()
					return &changedSnapshot{whole, at, flip}, err
				}
			})
			r := s.follow(t, addr, seeded(1), func(o *Options) {
				o.Chain = func(ctx context.Context, tid zodb.Tid) (zodb.Tid, zodb.Digest, bool) {
					base, at, ok := own.Near(ctx, tid)
					return base, at.Value, ok
				}
			})
			want := StateLive
			if flip != 0 {
				want = StateRefused
			}
			st := r.eventually(t, "decided", func(st Status) bool {
				return st.State == StateRefused || st.State == StateLive
			})
			if st.State != want || flip != 0 && st.Refusals[protocol.CodeDiverged] == 0 {
				t.Errorf("%s: %s", st.State, st.LastError)
			}
		})
	}
}
