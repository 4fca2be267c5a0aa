package integration

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestAFeedToJetStreamThatIsKilledMissesAndRepeatsNothing kills feeds into a stream of a real NATS server, each a
// little later in its life, while transactions are committed; at times there are two beside each other. The stream has
// each transaction once, in order.
func TestAFeedToJetStreamThatIsKilledMissesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	st := s.open(t)
	defer st.Close()
	w := &pageWriter{st: st}
	address, stream := startJetStream(t)
	args := []string{"feed", "--data", s.data, "--to", address + "/ZODB/zodb.main"}
	kills := 25
	if os.Getenv("ZRSD_LONG") == "1" {
		kills = 100
	}
	w.commit(t, 500)
	for kill := range kills {
		life, cancel := context.WithTimeout(t.Context(), time.Duration(20+8*kill)*time.Millisecond)
		var feeds []*exec.Cmd
		for range 1 + kill%2 {
			cmd := exec.CommandContext(life, zrsd, append(args, "--follow")...) // its context kills it
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			feeds = append(feeds, cmd)
		}
		w.commit(t, 20)
		for _, cmd := range feeds {
			_ = cmd.Wait() // it was killed
		}
		cancel()
	}
	durable(t, st)
	if text, err := exec.CommandContext(within(t), zrsd, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	info, err := stream.Info(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if info.State.LastSeq != uint64(len(w.tids)) || info.State.Msgs != uint64(len(w.tids)) {
		t.Fatalf("the stream has %d messages, the last one %d, of %d transactions", info.State.Msgs,
			info.State.LastSeq, len(w.tids))
	}
	for i, tid := range w.tids {
		msg, err := stream.GetMsg(within(t), uint64(i+1))
		if err != nil || msg.Header.Get("Zrsd-Tid") != tid.String() {
			t.Fatalf("message %d is %v, want %v: %v", i+1, msg, tid, err)
		}
	}
}

// startJetStream runs a NATS server, and makes the stream ZODB.
func startJetStream(t *testing.T) (address string, stream jetstream.Stream) {
	t.Helper()
	srv, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true,
		NoLog: true,
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
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err = js.CreateStream(within(t), jetstream.StreamConfig{Name: "ZODB", Subjects: []string{"zodb.main"}})
	if err != nil {
		t.Fatal(err)
	}
	return srv.ClientURL(), stream
}
