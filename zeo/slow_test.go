package zeo

import (
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// large is a record of which a few hundred are more than sockets take.
var large = strings.Repeat("x", 60_000)

// deaf is a client that asks for much and reads nothing of it.
func (s *site) deaf(t *testing.T, oid zodb.Oid) *peer {
	t.Helper()
	p, _ := s.register(t)
	p.ask(600, oid)
	return p
}

// ask sends loads of oid without waiting for their answers, which have ids from 1 on.
func (p *peer) ask(n int, oid zodb.Oid) {
	p.t.Helper()
	var all []byte
	for i := range n {
		var err error
		all, err = p.codec.Append(all, &wire.Message{
			ID: int64(i + 1), Method: "loadBefore", Args: pickle.Tuple{oidValue(oid), tidValue(maxTid)},
		})
		if err != nil {
			p.t.Fatal(err)
		}
	}
	if _, err := p.conn.Write(all); err != nil {
		p.t.Fatal(err)
	}
}

func TestAClientThatDoesNotReadIsDisconnectedAndNobodyElseWaits(t *testing.T) {
	const backlog = 64 << 10
	s := start(t, Options{Backlog: backlog, WriteTimeout: time.Hour}, StorageOptions{})
	writer, _ := s.register(t)
	writer.commit(1, 0, large)
	s.deaf(t, 1)
	for begun := time.Now(); len(s.Clients()) > 1; {
		if time.Since(begun) > patience {
			t.Fatal("the client that does not read is still there")
		}
		writer.tell("tpc_begin", handle, pickle.Bytes(""), pickle.Bytes(""), &pickle.Dict{}, nil, " ")
		for range 100 {
			oid := s.st.NewOid()
			writer.tell("storea", oidValue(oid), tidValue(0), pickle.Bytes("x"), handle)
		}
		writer.call("vote", handle)
		writer.call("tpc_finish", handle)
		for _, c := range s.Clients() {
			if most := int64(backlog + len(large) + 1000); c.Outbox > most {
				t.Fatalf("%d bytes wait for a client, and at most %d may", c.Outbox, most)
			}
		}
	}
}

func TestAClientThatAsksForMuchAtOnceGetsItAll(t *testing.T) {
	s := start(t, Options{Backlog: 256 << 10}, StorageOptions{})
	writer, _ := s.register(t)
	writer.commit(1, 0, large)
	greedy, _ := s.register(t)
	greedy.ask(400, 1)
	for range 5 { // invalidations for it wake the goroutine that writes, too
		writer.commit(s.st.NewOid(), 0, "meanwhile")
	}
	for id := range int64(400) {
		m := greedy.answer(id + 1)
		if rev, ok := m.Args.(pickle.Tuple); !ok || string(rev[0].(pickle.Bytes)) != large {
			t.Fatalf("answer %d: %.100v", id, m.Args)
		}
	}
}

func TestNobodyWaitsForAClientThatDoesNotReadAtTheEnd(t *testing.T) {
	s := start(t, Options{WriteTimeout: 24 * time.Hour}, StorageOptions{})
	writer, _ := s.register(t)
	writer.commit(1, 0, large)
	s.deaf(t, 1)
	s.until(t, "something waits for the client that does not read", func() bool {
		for _, c := range s.Clients() {
			if c.Outbox > 0 {
				return true
			}
		}
		return false
	})
	ended := make(chan struct{})
	go func() { s.stop(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the server waits for a client that does not read")
	}
}

// until waits for a condition that stays once it is there.
func (s *site) until(t *testing.T, what string, there func() bool) {
	t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !there() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not yet: %s", what)
		}
	}
}

func TestAConnectionThatIsOnlyHalfThereIsDroppedWithItsCommitLock(t *testing.T) {
	s := start(t, Options{IdleTimeout: 50 * time.Millisecond}, StorageOptions{})
	p := s.dial(t, wire.Z5)
	var all []byte // at once: no pause in which it would be dropped before
	for id, c := range []struct {
		method string
		args   pickle.Tuple
	}{
		{"register", pickle.Tuple{"1", false}},
		{"tpc_begin", pickle.Tuple{handle, pickle.Bytes(""), pickle.Bytes(""), &pickle.Dict{}, nil, " "}},
		{"storea", pickle.Tuple{oidValue(1), tidValue(0), pickle.Bytes("never"), handle}},
		{"vote", pickle.Tuple{handle}},
	} {
		var err error
		if all, err = p.codec.Append(all, &wire.Message{ID: int64(id), Method: c.method, Args: c.args}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.conn.Write(all); err != nil {
		t.Fatal(err)
	}
	p.cut() // without another word of it
	txn, err := s.st.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	if err := txn.Abort(); err != nil {
		t.Fatal(err)
	}
	if last := s.st.LastTid(); last != 0 {
		t.Errorf("committed %v", last)
	}
}
