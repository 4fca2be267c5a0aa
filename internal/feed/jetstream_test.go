package feed

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zrsd/zrsd/zodb"
)

// A natsStream is a stream of a real server, as others see it.
type natsStream struct {
	address string
	js      jetstream.JetStream
	stream  jetstream.Stream
}

func newNatsStream(t *testing.T) *natsStream {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		MaxPayload: 4096,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(time.Minute) {
		t.Fatal("the NATS server does not take connections")
	}
	conn, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	s := &natsStream{address: srv.ClientURL() + "/ZODB/zodb.main"}
	if s.js, err = jetstream.New(conn); err == nil {
		s.stream, err = s.js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: "ZODB", Subjects: []string{"zodb.main", "other"},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *natsStream) sink(t *testing.T) *JetStream {
	t.Helper()
	sink, err := OpenJetStream(t.Context(), s.address, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	})
	return sink
}

// tids are those of all messages.
func (s *natsStream) tids(t *testing.T) (tids []string) {
	t.Helper()
	info, err := s.stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for seq := range info.State.LastSeq {
		msg, err := s.stream.GetMsg(t.Context(), seq+1)
		if err != nil {
			t.Fatal(err)
		}
		tids = append(tids, strings.TrimLeft(msg.Header.Get(tidHeader), "0")+" "+string(msg.Data))
	}
	return tids
}

// natsLines are lines of transactions from 1 on.
func natsLines(from, to int) (lines []Line) {
	for i := from; i <= to; i++ {
		lines = append(lines, Line{zodb.Tid(i), fmt.Appendf(nil, "line %d", i)})
	}
	return lines
}

// The last message is the cursor, for this process and for the next one.
func TestTheLastMessageOfAStreamIsTheCursor(t *testing.T) {
	s := newNatsStream(t)
	first := s.sink(t)
	if tid, ok, err := first.Cursor(t.Context()); ok || err != nil {
		t.Errorf("of an empty stream: %v, %v, %v", tid, ok, err)
	}
	if err := first.Put(t.Context(), natsLines(1, 9)); err != nil {
		t.Fatal(err)
	}
	for _, sink := range []*JetStream{first, s.sink(t)} {
		if tid, ok, err := sink.Cursor(t.Context()); tid != 9 || !ok || err != nil {
			t.Errorf("%v, %v, %v", tid, ok, err)
		}
	}
}

// What is in the stream already, from a process that was killed or from another one, is not published again.
func TestWhatAStreamHasAlreadyIsNotPublishedAgain(t *testing.T) {
	s := newNatsStream(t)
	killed, next := s.sink(t), s.sink(t)
	if err := killed.Put(t.Context(), natsLines(1, 3)); err != nil {
		t.Fatal(err)
	}
	if err := next.Put(t.Context(), natsLines(1, 5)); err != nil {
		t.Fatal(err)
	}
	if err := killed.Put(t.Context(), natsLines(4, 6)); err != nil {
		t.Fatal(err)
	}
	want := []string{"1 line 1", "2 line 2", "3 line 3", "4 line 4", "5 line 5", "6 line 6"}
	if got := s.tids(t); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// A stream that somebody else writes, or whose cursor is gone, is refused, and so is a document that the server cannot
// take.
func TestAStreamThatIsNoFeedsIsRefused(t *testing.T) {
	s := newNatsStream(t)
	sink := s.sink(t)
	if err := sink.Put(t.Context(), natsLines(1, 1)); err != nil {
		t.Fatal(err)
	}
	large := []Line{{2, make([]byte, 5000)}}
	if err := sink.Put(t.Context(), large); err == nil || !strings.Contains(err.Error(), "max_payload") {
		t.Errorf("a large document: %v", err)
	}
	if _, err := s.js.Publish(t.Context(), "other", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{sink.Put(t.Context(), natsLines(2, 2)), openError(t, s.address)} {
		if err == nil || !strings.Contains(err.Error(), "needs a stream of its own") {
			t.Errorf("a message of somebody else: %v", err)
		}
	}
	if err := s.stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := openError(t, s.address); err == nil || !strings.Contains(err.Error(), "use a new stream") {
		t.Errorf("a purged stream: %v", err)
	}
	missing := strings.Replace(s.address, "ZODB", "NONE", 1)
	if err := openError(t, missing); err == nil || !strings.Contains(err.Error(), "look up stream NONE") {
		t.Errorf("a stream that is not there: %v", err)
	}
	if err := openError(t, "nats://host:4222/ZODB"); err == nil || !strings.Contains(err.Error(), "/STREAM/SUBJECT") {
		t.Errorf("an address without a subject: %v", err)
	}
}

func openError(t *testing.T, address string) error {
	t.Helper()
	sink, err := OpenJetStream(t.Context(), address, func(error) {})
	if err == nil {
		err = sink.Close()
	}
	return err
}

// A stream that answers and takes nothing, as a full one, is waited for, and continued where it stands.
func TestAStreamThatIsFullIsWaitedFor(t *testing.T) {
	s := newNatsStream(t)
	cfg := jetstream.StreamConfig{
		Name: "ZODB", Subjects: []string{"zodb.main", "other"}, MaxMsgs: 2, Discard: jetstream.DiscardNew,
	}
	resize := func() error { _, err := s.js.UpdateStream(t.Context(), cfg); return err }
	if err := resize(); err != nil {
		t.Fatal(err)
	}
	refusals := 0
	sink, err := OpenJetStream(t.Context(), s.address, func(error) {
		if refusals++; refusals == 2 { // the first time two were taken, the second time none
			cfg.MaxMsgs = -1
			if err := resize(); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(sink.Put(t.Context(), natsLines(1, 4)), sink.Close())
	want := []string{"1 line 1", "2 line 2", "3 line 3", "4 line 4"}
	if got := s.tids(t); err != nil || refusals != 2 || !slices.Equal(got, want) {
		t.Errorf("%q after %d refusals: %v", got, refusals, err)
	}
}
