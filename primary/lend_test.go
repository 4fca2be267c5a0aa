package primary

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// startLender is a seeder that answers questions about its history.
func startLender(t *testing.T) *seeder {
	t.Helper()
	return startSeeder(t, func(opt *Options) { opt.History = remembered(t, newSource(plain(10)...)) })
}

// asked returns a Remote that has asked a question.
func (s *seeder) asked(t *testing.T) *hashchain.Remote {
	t.Helper()
	r := asks(t, s.running, nil)
	if _, err := r.Span(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// Who asks about the history gets parts of the file and of blobs, from one place after the other, without becoming a
// secondary.
func TestWhoAsksAboutTheHistoryGetsRanges(t *testing.T) {
	s := startLender(t)
	r := s.asked(t)
	for _, place := range []struct {
		tid zodb.Tid
		pos int64
	}{{0, 4}, {tidAt(4), 500}, {s.last, int64(len(s.data))}} {
		stream, head, err := r.Ranges(t.Context(), place.tid, place.pos)
		if err != nil || head.Code != 0 || head.End != int64(len(s.data)) || head.Last != s.last {
			t.Fatalf("at %d: %+v, %v", place.pos, head, err)
		}
		part := &protocol.RangeRequest{From: 490, Length: 20}
		blob := &protocol.BlobRequest{Oid: 1, Tid: 1, Length: 100}
		send(t, stream, part)
		send(t, stream, blob)
		if b, err := stream.ReceiveRange(part, nil); err != nil || string(b) != s.data[490:510] {
			t.Errorf("got %q, %v", b, err)
		}
		if size, b, err := stream.ReceiveBlob(blob, nil); err != nil || size != 7 || string(b) != "content" {
			t.Errorf("got %d, %q, %v", size, b, err)
		}
		if err := stream.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := r.Span(t.Context()); err != nil {
		t.Errorf("a question after that: %v", err)
	}
	if st := s.Status(); len(st.Secondaries) != 0 {
		t.Errorf("it counts as a secondary: %+v", st.Secondaries)
	}
	s.closesAll(t)
}

// Ranges of blobs have the digest of seeds, whatever history there is, and are checked by it.
func TestRangesOfBlobsHaveTheDigestOfSeeds(t *testing.T) {
	s := startLender(t)
	stream, head, err := s.asked(t).BlobRanges(t.Context())
	if err != nil || head.Code != 0 || head.Digest != protocol.DigestXX {
		t.Fatalf("%+v, %v", head, err)
	}
	blob := &protocol.BlobRequest{Oid: 1, Tid: 1, Length: 100}
	send(t, stream, blob)
	if size, b, err := stream.ReceiveBlob(blob, nil); err != nil || size != 7 || string(b) != "content" {
		t.Errorf("got %d, %q, %v", size, b, err)
	}
	if err := stream.Close(); err != nil {
		t.Error(err)
	}
	s.closesAll(t)
}

// storedRecords has the data of one record.
type storedRecords struct{}

func (storedRecords) ReadRevision(b []byte, oid zodb.Oid, tid zodb.Tid, off int64) (n int, size int64, err error) {
	switch oid {
	case 1:
		n, err = strings.NewReader("content").ReadAt(b, off)
		return n, 7, err
	case 2:
		return 0, 0, errAway
	}
	return 0, 0, &zodb.POSKeyError{Oid: oid, Tid: tid}
}

func (storedRecords) TransactionText(oid zodb.Oid, tid zodb.Tid) ([]byte, error) {
	if oid != 1 {
		return nil, &zodb.POSKeyError{Oid: oid, Tid: tid}
	}
	return []byte("userdescription"), nil
}

// Who asks about the history gets the data of single records, and texts of transactions, where the answer says so.
func TestWhoAsksAboutTheHistoryGetsSingleRecords(t *testing.T) {
	s := startSeeder(t, func(opt *Options) {
		opt.History, opt.Revisions = remembered(t, newSource(plain(10)...)), storedRecords{}
	})
	r := s.asked(t)
	stream, head, err := r.Ranges(t.Context(), 0, 4)
	if err != nil || head.Code != 0 || !r.Data() {
		t.Fatalf("%+v, %v", head, err)
	}
	for _, c := range []struct {
		ask  protocol.RecordRequest
		size int64
		data string
	}{
		{protocol.RecordRequest{Oid: 1, Tid: 1, Length: 100}, 7, "content"},
		{protocol.RecordRequest{Oid: 1, Tid: 1, Offset: 3, Length: 2}, 7, "te"},
		{protocol.RecordRequest{Oid: 1, Tid: 1, Offset: 30, Length: 2}, 7, ""},
		{protocol.RecordRequest{Oid: 2, Tid: 1, Length: 100}, protocol.NoRecord, ""}, // cannot be read there
		{protocol.RecordRequest{Oid: 3, Tid: 1, Length: 100}, protocol.NoRecord, ""},
		{protocol.RecordRequest{Oid: 1, Tid: 1, Length: 100, Text: true}, 15, "userdescription"},
		{protocol.RecordRequest{Oid: 1, Tid: 1, Offset: 20, Length: 100, Text: true}, 15, ""},
		{protocol.RecordRequest{Oid: 3, Tid: 1, Length: 100, Text: true}, protocol.NoRecord, ""},
	} {
		send(t, stream, &c.ask)
		if size, b, err := stream.ReceiveRecord(&c.ask, nil); err != nil || size != c.size || string(b) != c.data {
			t.Errorf("%+v: got %d, %q, %v", c.ask, size, b, err)
		}
	}
	if err := stream.Close(); err != nil {
		t.Error(err)
	}
	s.closesAll(t)
	if startLender(t).asked(t).Data() {
		t.Error("a node without such records says that it gives them")
	}
}

// Where the transaction ends elsewhere nothing is to be had, and another place may be tried.
func TestRangesOfAnotherFileAreRefused(t *testing.T) {
	s := startLender(t)
	r := s.asked(t)
	stream, head, err := r.Ranges(t.Context(), tidAt(4), 501)
	if err != nil || head.Code != protocol.CodeDiverged || head.Text == "" {
		t.Fatalf("%+v, %v", head, err)
	}
	if err := stream.Close(); err != nil {
		t.Error(err)
	}
	if _, head, err := r.Ranges(t.Context(), tidAt(4), 500); err != nil || head.Code != 0 {
		t.Errorf("the next one: %+v, %v", head, err)
	}
}

// A node that has no data file to give says so in its answers.
func TestWithoutADataFileThereAreNoRanges(t *testing.T) {
	src := newSource(plain(3)...)
	r := asks(t, start(t, src, Options{History: remembered(t, src)}), nil)
	if _, err := r.Span(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Ranges(t.Context(), 0, 4); err != hashchain.ErrNoRanges { //nolint:errorlint // itself
		t.Errorf("got %v", err)
	}
}

// What is out of place ends the connection, and nothing stays open.
func TestWhatIsOutOfPlaceBesideQuestionsEndsTheConnection(t *testing.T) {
	for what, do := range map[string]func(*client){
		"another kind of stream": func(c *client) {
			_, _ = protocol.OpenStream(c.ctx, c.session, protocol.StreamHeader{Kind: protocol.StreamReplication})
		},
		"a record, of which none are given": func(c *client) {
			stream, _ := c.ranges(4)
			_ = stream.Request(&protocol.RecordRequest{Oid: 1, Length: 5})
			_ = stream.Flush()
			_, _, _ = stream.ReceiveRecord(&protocol.RecordRequest{Oid: 1, Length: 5}, nil)
		},
		"beyond the end": func(c *client) {
			stream, _ := c.ranges(4)
			_ = stream.Request(&protocol.RangeRequest{From: 1000, Length: 5})
			_ = stream.Flush() // the connection may end before
		},
		"a blob that cannot be read": func(c *client) {
			stream, _ := c.ranges(4)
			_ = stream.Request(&protocol.BlobRequest{Oid: 2, Tid: 1, Length: 5})
			_ = stream.Flush() // the same
		},
		"garbage": func(c *client) {
			conn, _ := protocol.OpenStream(c.ctx, c.session,
				protocol.StreamHeader{Kind: protocol.StreamRanges, Position: 4})
			_, _ = conn.Write([]byte("GET / HTTP/1.1\r\n")) // the connection may end before
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := startLender(t)
			c := connect(t, s.addr)
			if _, ok := c.ask(&protocol.HistoryQuery{Version: 1}).(*protocol.HistoryAnswer); !ok {
				t.Fatal("no answer")
			}
			do(c)
			select {
			case <-c.session.CloseChan():
			case <-c.ctx.Done():
				t.Error("the connection goes on")
			}
			s.closesAll(t)
		})
	}
}

// A connection ends when nothing was wanted for a while, and not while something is done for it.
func TestAnIdleLimitCountsFromTheLastUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Primary{draining: context.Background()}
		ctx, idle, end := p.idleFor(t.Context(), time.Minute)
		defer end()
		idle.begin()
		idle.begin()
		idle.end()
		<-time.After(time.Hour)
		synctest.Wait()
		if ctx.Err() != nil {
			t.Fatal("it ended while it was used")
		}
		idle.end()
		<-time.After(59 * time.Second)
		synctest.Wait()
		if ctx.Err() != nil {
			t.Fatal("it ended too early")
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if ctx.Err() == nil {
			t.Error("it goes on for ever")
		}
	})
}
