package primary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A memSnapshot is a data file of which every transaction ends at a position.
type memSnapshot struct {
	io.ReaderAt
	data string
	ends map[zodb.Tid]int64
	last zodb.Tid
	open *atomic.Int64
}

func (s *memSnapshot) End() int64     { return int64(len(s.data)) }
func (s *memSnapshot) Last() zodb.Tid { return s.last }
func (s *memSnapshot) EndsAt(_ context.Context, tid zodb.Tid, pos int64) (bool, error) {
	end, has := s.ends[tid]
	return has && end == pos, nil
}

func (s *memSnapshot) Close() error {
	s.open.Add(-1)
	return nil
}

type memBlob struct{ *strings.Reader }

func (memBlob) Close() error                 { return nil }
func (b memBlob) Stat() (fs.FileInfo, error) { return blobInfo{size: b.Size()}, nil }

type blobInfo struct {
	fs.FileInfo
	size int64
}

func (i blobInfo) Size() int64 { return i.size }

// errAway is what a blob directory says that is not mounted.
var errAway = errors.New("the blob directory is away")

// A seeder gives a file of 4 + 1000 bytes, the blob "content" of oid 1, and fails at that of oid 2.
type seeder struct {
	*running
	open atomic.Int64 // snapshots
	data string
	last zodb.Tid
}

func startSeeder(t *testing.T, change ...func(*Options)) *seeder {
	t.Helper()
	txns := plain(10)
	s := &seeder{data: "FS30" + strings.Repeat("0123456789", 100), last: txns[9].tid}
	opt := Options{Seed: SeedOptions{
		Snapshot: func() (Snapshot, error) {
			s.open.Add(1)
			ends := map[zodb.Tid]int64{0: 4, txns[4].tid: 500, s.last: int64(len(s.data))}
			return &memSnapshot{strings.NewReader(s.data), s.data, ends, s.last, &s.open}, nil
		},
		OpenBlob: func(oid zodb.Oid, tid zodb.Tid) (BlobFile, error) {
			switch oid {
			case 1:
				return memBlob{strings.NewReader("content")}, nil
			case 2:
				return nil, errAway
			}
			return nil, &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
		},
	}}
	for _, f := range change {
		f(&opt)
	}
	src := newSource(txns...)
	src.blobs = true
	s.running = start(t, src, opt)
	return s
}

// asking connects as an empty secondary that can take ranges.
func (s *seeder) asking(t *testing.T) *client {
	t.Helper()
	c := connect(t, s.addr)
	h := hello(protocol.Position{})
	h.Magic, h.Capabilities = zodb.Magic{}, []string{protocol.Ranges}
	w, ok := c.ask(h).(*protocol.Welcome)
	if !ok || !slices.Contains(w.Capabilities, protocol.Ranges) {
		t.Fatalf("answer to hello: %#v", w)
	}
	return c
}

// ranges opens a stream of ranges from a position.
func (c *client) ranges(pos int64) (*protocol.RangeStream, *protocol.RangesHead) {
	c.t.Helper()
	conn, err := protocol.OpenStream(c.ctx, c.session,
		protocol.StreamHeader{Kind: protocol.StreamRanges, Position: pos})
	if err != nil {
		c.t.Fatal(err)
	}
	s := protocol.NewRangeStream(conn)
	head, err := s.ReceiveHead()
	if err != nil {
		c.t.Fatal(err)
	}
	return s, head
}

// send sends a request.
func send(t *testing.T, s *protocol.RangeStream, r any) {
	t.Helper()
	if err := errors.Join(s.Request(r), s.Flush()); err != nil {
		t.Fatal(err)
	}
}

func (s *seeder) closesAll(t *testing.T) {
	t.Helper()
	s.eventually(t, "all data files are let go", func(Status) bool { return s.open.Load() == 0 })
}

func TestASecondaryGetsPartsOfTheFileAndOfBlobs(t *testing.T) {
	s := startSeeder(t)
	c := s.asking(t)
	file, head := c.ranges(4)
	if head.Code != 0 || head.End != int64(len(s.data)) || head.Last != s.last {
		t.Fatalf("%+v", head)
	}
	blobs, _ := c.ranges(4)
	for _, r := range []*protocol.RangeRequest{
		{From: 4, Length: 100}, {From: 900, Length: 104}, {From: 0, Length: 1004},
	} {
		send(t, file, r)
		got, err := file.ReceiveRange(r, nil)
		if want := s.data[r.From : r.From+r.Length]; err != nil || string(got) != want {
			t.Errorf("%+v: %q, %v", r, got, err)
		}
	}
	for want, r := range map[string]*protocol.BlobRequest{
		"content": {Oid: 1, Tid: 5, Length: 100}, "ont": {Oid: 1, Tid: 5, Offset: 1, Length: 3},
		"": {Oid: 1, Offset: 99},
	} {
		send(t, blobs, r)
		if size, got, err := blobs.ReceiveBlob(r, nil); err != nil || string(got) != want || size != 7 {
			t.Errorf("%+v: %q of %d, %v", r, got, size, err)
		}
	}
	none := &protocol.BlobRequest{Oid: 3, Tid: 5, Length: 100}
	send(t, blobs, none)
	if size, _, err := blobs.ReceiveBlob(none, nil); err != nil || size != protocol.NoBlob {
		t.Errorf("a blob that is gone has %d bytes, %v", size, err)
	}
	c.hangUp()
	s.closesAll(t)
}

func TestRangesAreOfferedOnlyToThoseThatNameThem(t *testing.T) {
	s := startSeeder(t)
	c := connect(t, s.addr)
	h := hello(protocol.Position{})
	h.Magic = zodb.Magic{}
	if w := c.ask(h).(*protocol.Welcome); slices.Contains(w.Capabilities, protocol.Ranges) {
		t.Errorf("offered: %v", w.Capabilities)
	}
}

func TestAFileThatIsNoBeginningGetsTransactionsOnTheSameConnection(t *testing.T) {
	s := startSeeder(t)
	c := s.asking(t)
	if _, head := c.ranges(17); head.Code != protocol.CodeDiverged || head.Text == "" {
		t.Fatalf("%+v", head)
	}
	s.closesAll(t)
	conn, err := protocol.OpenStream(c.ctx, c.session, protocol.StreamHeader{Kind: protocol.StreamReplication})
	if err != nil {
		t.Fatal(err)
	}
	c.decoder = protocol.NewDecoder(conn, 0, protocol.Limits{})
	if tid := c.next(); tid != tidAt(0) {
		t.Errorf("the first transaction is %v", tid)
	}
}

func TestNoMoreSecondariesAreSeededThanMayBe(t *testing.T) {
	s := startSeeder(t, func(o *Options) { o.Seed.Max = 1 })
	first := s.asking(t)
	first.ranges(4)
	if _, head := s.asking(t).ranges(4); head.Code != protocol.CodeTooMany {
		t.Errorf("the second one: %+v", head)
	}
	first.hangUp()
	s.closesAll(t)
	if _, head := s.asking(t).ranges(4); head.Code != 0 {
		t.Errorf("when there is room again: %+v", head)
	}
}

// A secondary that is seeded while another one waits has one turn, and then goes behind it.
func TestASecondaryThatHasHadItsTurnLetsAnotherOneIn(t *testing.T) {
	s := startSeeder(t, func(o *Options) {
		o.Seed.Max, o.Seed.MaxDiffs, o.Heartbeat = 1, 100, 10*time.Millisecond
	})
	asks := func(name string) (*client, *protocol.RangeStream, *protocol.RangesHead) {
		c := connect(t, s.addr)
		h := hello(protocol.Position{})
		h.Magic, h.Capabilities, h.Name = zodb.Magic{}, []string{protocol.Ranges}, name
		if w, ok := c.ask(h).(*protocol.Welcome); !ok {
			t.Fatalf("answer to hello: %#v", w)
		}
		file, head := c.ranges(4)
		return c, file, head
	}
	first, file, _ := asks("first")
	r := &protocol.RangeRequest{From: 4, Length: 500}
	send(t, file, r)
	if _, err := file.ReceiveRange(r, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, head := asks("second"); head.Code != protocol.CodeTooMany {
		t.Errorf("the second one: %+v", head)
	}
	if bye := until[*protocol.Goodbye](first); !strings.Contains(bye.Reason, "has had its turn") {
		t.Errorf("the first one ends with %q", bye.Reason)
	}
	first.hangUp()
	s.closesAll(t)
	if _, _, head := asks("first"); head.Code != protocol.CodeTooMany {
		t.Errorf("the first one comes again before the second one: %+v", head)
	}
	if _, _, head := asks("second"); head.Code != 0 {
		t.Errorf("the second one has no turn: %+v", head)
	}
	s.eventually(t, "both are counted", func(st Status) bool {
		got := st.Totals.CatchUps
		return got.DiffCapped == 1 && got.Seed == 2
	})
}

func TestWhoseTurnItIs(t *testing.T) {
	l := &seedLimits{max: 1, most: 100}
	at := func(s int) time.Time { return time.Unix(int64(1000+s), 0) }
	if !l.take("a", at(0)) || l.over("a", 1000, at(0), at(1)) {
		t.Error("nobody waits, and its turn is over")
	}
	if l.take("b", at(2)) || l.over("a", 99, at(0), at(3)) {
		t.Error("its turn is over before its time")
	}
	if l.take("b", at(299)) || !l.over("a", 0, at(0), at(0).Add(seedTurn)) {
		t.Error("one that takes nothing keeps its turn for good")
	}
	l.release()
	if l.take("a", at(301)) || !l.take("c", at(301)) {
		t.Error("who has had its turn goes before one that waits, or keeps a third one out")
	}
	l.release()
	if !l.take("a", at(301).Add(seedWaits)) {
		t.Error("it waits for one that has not come again")
	}
	for i := range 2 * maxWaiting {
		l.take(fmt.Sprint(i), at(600))
	}
	if len(l.waiting) > maxWaiting {
		t.Errorf("%d are remembered", len(l.waiting))
	}
	busy := &seedLimits{max: 1, most: 100}
	if !busy.take("a", at(0)) || busy.take("b", at(1)) || !busy.over("a", 100, at(0), at(2)) {
		t.Error("the turn of one is not over while another one waits")
	}
	if busy.goesOn("b"); busy.over("a", 100, at(0), at(3)) {
		t.Error("its turn is over for one that gets its transactions one by one")
	}
	if free := (&seedLimits{max: 1}); !free.take("a", at(0)) || free.take("b", at(1)) ||
		free.over("a", 1<<40, at(0), at(1).Add(time.Hour)) {
		t.Error("without a limit a turn ends")
	}
}

// Whatever a peer asks for that it cannot have ends its connection with a reason, and nothing is read for it.
func TestAPeerThatAsksForWhatIsNotThereIsEnded(t *testing.T) {
	for what, r := range map[string]any{
		"beyond the end": &protocol.RangeRequest{From: 1000, Length: 5},
		"far beyond":     &protocol.RangeRequest{From: 1<<63 - 1, Length: protocol.MaxRange},
		"away":           &protocol.BlobRequest{Oid: 2, Tid: 1, Length: 5},
	} {
		t.Run(what, func(t *testing.T) {
			s := startSeeder(t)
			c := s.asking(t)
			stream, _ := c.ranges(4)
			send(t, stream, r)
			if bye := until[*protocol.Goodbye](c); bye.Reason == "" {
				t.Error("it is told nothing")
			}
			c.hangUp()
			s.closesAll(t)
		})
	}
}

func TestGarbageOnAStreamOfRangesEndsTheConnection(t *testing.T) {
	for _, garbage := range []string{"\xff\xff\xff\xff", "\x00\x00\x00\x04junk", "\x00\x00\x00\x03\x92\xa1x",
		"GET / HTTP/1.1\r\n"} {
		s := startSeeder(t)
		c := s.asking(t)
		conn, err := protocol.OpenStream(c.ctx, c.session,
			protocol.StreamHeader{Kind: protocol.StreamRanges, Position: 4})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(conn, bytes.NewReader([]byte(garbage))) // the connection may end before all of it has left
		_ = conn.Close()
		s.eventually(t, "it is gone", func(st Status) bool { return only(st).State == StateDisconnected })
		s.closesAll(t)
	}
}

// All streams may be opened, and asked on, before the first head; where that is a refusal the others just end.
func TestStreamsThatAreOpenedAtOnceAreAnsweredOrRefusedTogether(t *testing.T) {
	s := startSeeder(t, func(o *Options) { o.Seed.Max = 1 })
	r := &protocol.RangeRequest{From: 4, Length: 100}
	open := func(c *client) (list []*protocol.RangeStream) {
		for range 8 {
			conn, err := protocol.OpenStream(c.ctx, c.session,
				protocol.StreamHeader{Kind: protocol.StreamRanges, Position: 4})
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, protocol.NewRangeStream(conn))
			send(t, list[len(list)-1], r)
		}
		return list
	}
	first, second := s.asking(t), s.asking(t)
	for _, stream := range open(first) {
		if head, err := stream.ReceiveHead(); err != nil || head.Code != 0 {
			t.Fatalf("%+v, %v", head, err)
		}
		if got, err := stream.ReceiveRange(r, nil); err != nil || string(got) != s.data[4:104] {
			t.Errorf("%q, %v", got, err)
		}
	}
	for i, stream := range open(second) {
		head, err := stream.ReceiveHead()
		if i == 0 && (err != nil || head.Code != protocol.CodeTooMany) || i > 0 && err == nil {
			t.Errorf("stream %d: %+v, %v", i, head, err)
		}
	}
	conn, err := protocol.OpenStream(second.ctx, second.session,
		protocol.StreamHeader{Kind: protocol.StreamReplication})
	if err != nil {
		t.Fatal(err)
	}
	second.decoder = protocol.NewDecoder(conn, 0, protocol.Limits{})
	if tid := second.next(); tid != tidAt(0) {
		t.Errorf("the first transaction is %v", tid)
	}
}

// One stream is asked for something again and again, until another one would have been idle for too long several times.
func TestAnIdleStreamOfASeedThatGoesOnStaysOpen(t *testing.T) {
	const patience = time.Second
	s := startSeeder(t, func(o *Options) { o.seedPatience = patience })
	c := s.asking(t)
	busy, _ := c.ranges(4)
	idle, _ := c.ranges(4)
	r := &protocol.RangeRequest{From: 4, Length: 10}
	for began := time.Now(); time.Since(began) < 5*patience/2; {
		send(t, busy, r)
		if _, err := busy.ReceiveRange(r, nil); err != nil {
			t.Fatal(err)
		}
	}
	send(t, idle, r)
	if _, err := idle.ReceiveRange(r, nil); err != nil {
		t.Errorf("the stream that nothing was asked on: %v", err)
	}
	s.closesAll(t) // when nothing is asked for on either
}

func TestASecondSeedStreamOfAnotherPlaceEndsTheConnection(t *testing.T) {
	s := startSeeder(t)
	c := s.asking(t)
	c.ranges(4)
	if _, err := protocol.OpenStream(c.ctx, c.session,
		protocol.StreamHeader{Kind: protocol.StreamRanges, Position: 5}); err != nil {
		t.Fatal(err)
	}
	until[*protocol.Goodbye](c)
	c.hangUp()
	s.closesAll(t)
}

func TestTheStatusSaysHowFarASeedIs(t *testing.T) {
	s := startSeeder(t)
	c := s.asking(t)
	c.ranges(4)
	if err := c.control.Send(&protocol.Ack{Applied: tidAt(4), Durable: tidAt(4), Bytes: 496}); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "it has half", func(st Status) bool {
		one := only(st)
		return one.State == StateSeeding && one.Seed != nil && one.Seed.Done == 496 && one.Seed.Total == 1000 &&
			one.DurableTid == tidAt(4) && !one.Lag.Exact
	})
	// What it claims beyond what there is counts for nothing.
	if err := c.control.Send(&protocol.Ack{Applied: 1 << 62, Durable: 1 << 62, Bytes: 1 << 62}); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "it has all", func(st Status) bool {
		one := only(st)
		return one.Seed != nil && one.Seed.Done == 1000 && one.DurableTid == tidAt(4)
	})
}

// Commits wait for what a secondary has durable. In the midst of an old file there may be tids of clocks that were
// ahead, so what a seeded one acknowledges does not count before it has connected again.
func TestWhatASeededSecondaryAcknowledgesLetsNoCommitPass(t *testing.T) {
	s := startSeeder(t, func(o *Options) { o.Sync = protocol.SyncRule{Required: 1} })
	c := s.asking(t)
	c.ranges(4)
	if err := c.control.Send(&protocol.Ack{Applied: 1 << 62, Durable: 1 << 62, Bytes: 10}); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "the acknowledgement is there", func(st Status) bool {
		one := only(st)
		return one.Seed != nil && one.Seed.Done == 10
	})
	if got := s.Synced(); got != 0 {
		t.Errorf("synced up to %v", got)
	}
}

func TestASeedEndsWhenTheNodeChangesOrStops(t *testing.T) {
	for what, end := range map[string]func(*seeder) error{
		"renewed": func(s *seeder) error { s.Renew(); return nil },
		"stopped": func(s *seeder) error { return s.Shutdown(context.Background()) },
	} {
		t.Run(what, func(t *testing.T) {
			s := startSeeder(t)
			c := s.asking(t)
			c.ranges(4)
			ended := make(chan error, 1)
			go func() { ended <- end(s) }()
			until[*protocol.Goodbye](c)
			c.hangUp()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			s.closesAll(t)
		})
	}
}

func TestTheRateOfAllSeedsTogetherIsBounded(t *testing.T) {
	l := &seedLimits{max: 2, rate: 1000}
	now := time.Unix(1000, 0)
	for i, want := range []time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond} {
		if at := l.turn(100, now).Sub(now); at != want {
			t.Errorf("part %d leaves after %v, want %v", i, at, want)
		}
	}
	later := now.Add(time.Hour) // what was not used is lost
	if at := l.turn(100, later).Sub(later); at != 0 {
		t.Errorf("after a pause it waits for %v", at)
	}
	if at := l.turn(100, later).Sub(later); at != 100*time.Millisecond {
		t.Errorf("after a pause the next waits for %v", at)
	}
}

func TestASeedWithABoundedRateArrivesAsItIs(t *testing.T) {
	s := startSeeder(t, func(o *Options) { o.Seed.Rate = 1 << 30 })
	c := s.asking(t)
	file, _ := c.ranges(4)
	r := &protocol.RangeRequest{From: 0, Length: 1004}
	send(t, file, r)
	if got, err := file.ReceiveRange(r, nil); err != nil || string(got) != s.data {
		t.Errorf("%q, %v", got, err)
	}
}
