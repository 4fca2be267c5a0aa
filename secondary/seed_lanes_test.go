package secondary

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
)

// onLanes makes a secondary take the data file on so many streams.
func onLanes(n int) func(*Options) {
	return func(o *Options) { o.SeedThreshold, o.seedLanes = 1, n }
}

func TestAFileThatComesOnManyStreamsIsTheSame(t *testing.T) {
	p := inMemory(t).named(t).large(t, 30)
	_, addr := p.asSeeder(t)
	for _, c := range []*SeedCopy{nil, seedCopyOf(p, p.committed(t)[:p.st.Size()/2])} {
		s := inMemory(t)
		r := s.follow(t, addr, onLanes(maxLanes), func(o *Options) { o.SeedCopy = c })
		r.has(t, p.st.LastTid())
		mustEqual(t, p, s)
		mustHaveTaken(t, r, 0)
	}
}

// Connections with many streams are cut anywhere, or a byte is damaged there: what is visible is the primary's, always.
func TestWhatHappensToManyStreamsHarmsNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	p := inMemory(t).named(t).large(t, 20)
	_, addr := p.asSeeder(t, func(o *primary.Options) { o.HandshakeTimeout = time.Second })
	end := counted(t, p, addr, onLanes(5))
	for range 6 {
		survives(t, p, addr, wound{after: dice.Int64N(end), times: 3}, onLanes(5))
		survives(t, p, addr, wound{after: dice.Int64N(end), flip: 1 << dice.IntN(8), times: 1}, onLanes(5))
	}
}

// A secondary of which the data file was refused gets its transactions on the connection on which it had opened all of
// its streams.
func TestStreamsThatAreRefusedTogetherEndNoConnection(t *testing.T) {
	p, first, second := inMemory(t).named(t).large(t, 40), inMemory(t), inMemory(t)
	_, addr := p.asSeeder(t, func(o *primary.Options) { o.Seed.Max, o.Seed.Rate = 1, 1<<18 })
	begun := second.follow(t, addr) // with something of its own it need not wait
	begun.has(t, p.st.LastTid())
	if err := begun.stop(); err != nil {
		t.Fatal(err)
	}
	slow := first.follow(t, addr, onLanes(2))
	slow.eventually(t, "seeding", func(st Status) bool { return st.Seed != nil })
	p.large(t, 3)
	dials := 0
	again := second.follow(t, addr, onLanes(7), func(o *Options) {
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			dials++
			return dial(ctx, addr)
		}
	})
	again.has(t, p.st.LastTid())
	mustHaveTaken(t, again, 3)
	if dials != 1 {
		t.Errorf("it took %d connections", dials)
	}
}

// A primary of before takes one stream until its head is out, and three more then.
func TestAPrimaryThatTakesStreamsOneByOneGetsNoMore(t *testing.T) {
	p, s := inMemory(t).named(t).large(t, 40), inMemory(t)
	file := p.committed(t)
	opened := make(chan int, 1)
	addr := script(t, protocol.Welcome{
		LastTid: p.st.LastTid(), Size: p.st.Size(), Blobs: true, Capabilities: []string{protocol.Ranges},
	}, func(c *scripted) error {
		if early := c.session.NumStreams(); early != 2 { // control, and this one
			t.Errorf("before the head there are %d streams", early)
		}
		n := 0
		for conn := c.repl; ; n++ {
			go giveParts(protocol.NewRangeStream(conn), file, p)
			var err error
			if conn, _, err = protocol.AcceptStream(c.ctx, c.session); err != nil {
				select {
				case opened <- n + 1:
				default: // of a connection after the first one
				}
				return err
			}
		}
	})
	r := s.follow(t, addr, onLanes(7))
	r.has(t, p.st.LastTid())
	mustEqual(t, p, s)
	if n := <-opened; n > protocol.RangeStreamsOneByOne {
		t.Errorf("%d streams were opened", n)
	}
}

// giveParts answers the requests of one stream, as a primary does.
func giveParts(stream *protocol.RangeStream, file []byte, p *site) {
	_ = stream.SendHead(&protocol.RangesHead{End: int64(len(file)), Last: p.st.LastTid(), Digest: protocol.DigestXX})
	for {
		request, err := stream.ReceiveRequest()
		if err != nil {
			return
		}
		switch r := request.(type) {
		case *protocol.RangeRequest:
			data := slices.Clone(file[r.From : r.From+r.Length])
			rest, _ := stream.AnswerRange(r, data)
			_, _ = stream.Write(rest)
		case *protocol.BlobRequest:
			size, part := int64(protocol.NoBlob), []byte(nil)
			if f, err := p.st.OpenBlob(r.Oid, r.Tid); err == nil {
				info, _ := f.Stat()
				size = info.Size()
				part = make([]byte, min(r.Length, max(size-r.Offset, 0)))
				_, _ = f.ReadAt(part, r.Offset)
				_ = f.Close()
			}
			rest, _ := stream.AnswerBlob(r, size, part)
			_, _ = stream.Write(rest)
		}
		if stream.Flush() != nil {
			return
		}
	}
}

// What comes on all streams at a time is what the storage takes next: little has to wait for its turn in memory.
func TestPartsAreAskedForOnAllStreamsInTurn(t *testing.T) {
	const lanes = 5
	q, _ := queueOf(1000, time.Second)
	all := make([]*lane, lanes)
	here, there := make([]net.Conn, lanes), make([]*protocol.RangeStream, lanes)
	for i := range all {
		var conn net.Conn
		here[i], conn = net.Pipe()
		t.Cleanup(func() { _ = conn.Close() })
		all[i], there[i] = &lane{stream: protocol.NewRangeStream(here[i]), parts: q}, protocol.NewRangeStream(conn)
	}
	asked := make(chan error, 1)
	go func() { asked <- askAll(all) }()
	for i, stream := range there {
		for turn := range laneAhead {
			r, err := stream.ReceiveRequest()
			if err != nil {
				t.Fatal(err)
			}
			want := magicLen + int64(turn*lanes+i)*seedPart
			if m, is := r.(*protocol.RangeRequest); !is || m.From != want {
				t.Fatalf("request %d on stream %d is %+v, want one for %d", turn, i, r, want)
			}
		}
	}
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
	all[0].asked = all[0].asked[1:]
	go func() { asked <- all[0].ask(false) }()
	if r, err := there[0].ReceiveRequest(); err != nil || len(all[0].asked) != laneAhead {
		t.Errorf("after an answer comes %+v, %v, and %d are on their way", r, err, len(all[0].asked))
	}
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
}

// A farConn is of a long line, as far as its preface tells.
type farConn struct {
	net.Conn
	once sync.Once
}

func (c *farConn) Read(b []byte) (int, error) {
	c.once.Do(func() { <-time.NewTimer(200 * time.Millisecond).C })
	return c.Conn.Read(b)
}

// Where the storage waits for a blob, that comes behind parts of the data file for which there is no room: these are
// read nevertheless, at once.
func TestBlobsOfASeedDoNotWaitForPartsThatAreNotRead(t *testing.T) {
	p, s := inMemory(t).named(t), inMemory(t)
	p.commit(t, 1, "one", largeText(20))
	p.parts(t, 60)
	_, addr := p.asSeeder(t)
	r := s.follow(t, addr, onLanes(6), func(o *Options) {
		o.seedPatience = time.Hour
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := dial(ctx, addr)
			return &farConn{Conn: conn}, err
		}
	})
	r.has(t, p.st.LastTid())
	mustEqual(t, p, s)
	mustHaveTaken(t, r, 0)
}
