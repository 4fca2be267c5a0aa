package secondary

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/protocoltest"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

const scriptedID = "00000000-0000-4000-8000-000000000001"

// A scripted primary does what a test says, on one connection after the other.
type scripted struct {
	ctx     context.Context
	session *yamux.Session
	control *protocol.Control
	hello   *protocol.Hello
	repl    net.Conn
}

// script serves connections: each is welcomed and then played by the function, until the test ends.
func script(t *testing.T, welcome protocol.Welcome, play func(*scripted) error) string {
	t.Helper()
	welcome.Version, welcome.Magic = protocol.MessageVersion, zodb.MagicFS30
	if welcome.StorageID == "" {
		welcome.StorageID = scriptedID
	}
	if welcome.Epochs == nil {
		welcome.Epochs = []protocol.Epoch{{Number: 1}}
	}
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			err = serveScript(ctx, conn, welcome, play)
			if err != nil && !errors.Is(err, io.EOF) && ctx.Err() == nil {
				t.Logf("the scripted primary: %v", err)
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

func serveScript(ctx context.Context, conn net.Conn, w protocol.Welcome, play func(*scripted) error) error {
	return greet(ctx, conn, func(s *scripted) (err error) {
		if err := s.control.Send(&w); err != nil {
			return err
		}
		if s.repl, _, err = protocol.AcceptStream(ctx, s.session); err != nil {
			return err // it has come to have the identity confirmed
		}
		return play(s)
	})
}

// greet takes a connection up to the hello of the other side, leaves the rest to f, and ends it.
func greet(ctx context.Context, conn net.Conn, f func(*scripted) error) error {
	session, stream, err := protocoltest.Accept(ctx, conn)
	if err != nil {
		return err
	}
	defer session.Close()
	s := &scripted{ctx: ctx, session: session, control: protocol.NewControl(stream)}
	msg, err := s.control.Receive(ctx)
	if err != nil {
		return err
	}
	s.hello, _ = msg.(*protocol.Hello) // with a secret that comes first
	return f(s)
}

// untilGone waits until the secondary has hung up.
func (s *scripted) untilGone() error {
	select {
	case <-s.session.CloseChan():
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// A plain is a transaction with one record.
type plain struct {
	meta zodb.TxnMeta
	data string
	read bool
}

func transaction(tid zodb.Tid, data string) *plain {
	return &plain{meta: zodb.TxnMeta{Tid: tid, Status: zodb.StatusCommitted}, data: data}
}

func (p *plain) Meta() *zodb.TxnMeta { return &p.meta }

func (p *plain) NextRecord() (*zodb.Record, error) {
	if p.read {
		return nil, io.EOF
	}
	p.read = true
	return &zodb.Record{Oid: 1, Tid: p.meta.Tid, Size: int64(len(p.data)), Data: bytes.NewReader([]byte(p.data))}, nil
}

// send streams transactions after what the secondary said to have.
func (s *scripted) send(txns ...*plain) error {
	enc := protocol.NewEncoder(s.repl, s.hello.Last.Tid)
	for _, txn := range txns {
		if err := enc.Encode(txn); err != nil {
			return err
		}
	}
	return enc.Flush()
}

// meets runs an empty secondary against a script until it has met an error with these words.
func meets(t *testing.T, addr, words string, change ...func(*Options)) Status {
	t.Helper()
	r := inMemory(t).follow(t, addr, change...)
	return r.eventually(t, "told: "+words, func(st Status) bool { return strings.Contains(st.LastError, words) })
}

// refuses is meets for an error that stops the secondary. It tries again now and then, so that the state may
// just have moved on when an error is seen.
func refuses(t *testing.T, addr, words string, change ...func(*Options)) Status {
	t.Helper()
	r := inMemory(t).follow(t, addr, change...)
	return r.eventually(t, "refused: "+words, func(st Status) bool {
		return st.State == StateRefused && strings.Contains(st.LastError, words)
	})
}

func TestASilentPrimaryIsTakenForDead(t *testing.T) {
	addr := script(t, protocol.Welcome{Heartbeat: 10 * time.Millisecond}, (*scripted).untilGone)
	if st := meets(t, addr, "nothing received from the primary"); st.State == StateRefused || st.State == StateFailed {
		t.Errorf("state %s", st.State)
	}
}

func TestAPrimaryWhoseStreamStallsIsLeft(t *testing.T) {
	addr := script(t, protocol.Welcome{Heartbeat: 10 * time.Millisecond}, func(s *scripted) error {
		for s.control.Send(&protocol.Heartbeat{LastTid: 77}) == nil {
			pause.For(s.ctx, 10*time.Millisecond)
		}
		return nil
	})
	meets(t, addr, "none arrive", impatient)
}

func TestAPrimaryThatNeverWelcomesIsLeft(t *testing.T) {
	l := listen(t)
	defer l.Close()
	meets(t, l.Addr().String(), "too long to answer", func(o *Options) { o.HandshakeTimeout = 20 * time.Millisecond })
}

func TestAPeerThatIsNoneOfOursIsNamed(t *testing.T) {
	l := listen(t)
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	meets(t, l.Addr().String(), "does not speak "+protocol.Native)
}

func TestAGoodbyeIsPassedOnToTheOperator(t *testing.T) {
	addr := script(t, protocol.Welcome{}, func(s *scripted) error {
		if err := s.control.Send(&protocol.Goodbye{Reason: "down for\nrepair"}); err != nil {
			return err
		}
		if err := s.repl.Close(); err != nil {
			return err
		}
		return s.untilGone()
	})
	if st := meets(t, addr, "down for?repair"); st.State == StateRefused {
		t.Errorf("state %s", st.State)
	}
}

func TestARecordAboveTheLimitStopsWithAClearState(t *testing.T) {
	addr := script(t, protocol.Welcome{LastTid: 5}, func(s *scripted) error {
		if err := s.send(transaction(5, strings.Repeat("x", 100))); err != nil {
			return err
		}
		return s.untilGone()
	})
	st := refuses(t, addr, "raise the limit", func(o *Options) { o.MaxRecord = 99 })
	if st.Durable != 0 || !strings.Contains(st.LastError, zodb.Tid(5).String()) {
		t.Errorf("%+v", st)
	}
}

// Files of clocks that were wrong have tids that go down. The copy has them in the same order.
func TestTransactionsAreAppliedInTheOrderOfThePrimary(t *testing.T) {
	addr := script(t, protocol.Welcome{LastTid: 4}, func(s *scripted) error {
		if err := s.send(transaction(5, "five"), transaction(4, "four")); err != nil {
			return err
		}
		return s.untilGone()
	})
	s := inMemory(t)
	r := s.follow(t, addr)
	r.eventually(t, "has both", func(st Status) bool { return st.Transactions == 2 && st.Durable == 4 })
	if _, tid, err := s.st.Load(1); err != nil || tid != 4 {
		t.Errorf("visible is %v, %v", tid, err)
	}
}

func TestATransactionThatComesTwiceStopsWithAClearState(t *testing.T) {
	addr := script(t, protocol.Welcome{LastTid: 5}, func(s *scripted) error {
		if err := s.send(transaction(5, "five"), transaction(5, "five")); err != nil {
			return err
		}
		return s.untilGone()
	})
	r := inMemory(t).follow(t, addr)
	st := r.eventually(t, "refused", func(st Status) bool { return st.State == StateRefused })
	if st.Durable != 5 || !strings.Contains(st.LastError, "twice") {
		t.Errorf("%+v", st)
	}
}

func TestHalfATransactionIsNeverThere(t *testing.T) {
	addr := script(t, protocol.Welcome{LastTid: 9}, func(s *scripted) error {
		var whole bytes.Buffer
		enc := protocol.NewEncoder(&whole, s.hello.Last.Tid)
		if err := errors.Join(enc.Encode(transaction(9, "nine")), enc.Flush()); err != nil {
			return err
		}
		if _, err := s.repl.Write(whole.Bytes()[:whole.Len()-1]); err != nil {
			return err
		}
		return s.repl.Close()
	})
	if st := meets(t, addr, "EOF"); st.Durable != 0 || st.Transactions != 0 {
		t.Errorf("%+v", st)
	}
}

func TestAnIdentityThatIsNoneIsNotKept(t *testing.T) {
	addr := script(t, protocol.Welcome{StorageID: "../../Data.fs"}, (*scripted).untilGone)
	if st := meets(t, addr, "no UUID"); st.StorageID != "" {
		t.Errorf("%+v", st)
	}
}

func TestNewEpochsOfThePrimaryAreTaken(t *testing.T) {
	epochs := []protocol.Epoch{{Number: 1}, {Number: 2, Begin: 3}}
	addr := script(t, protocol.Welcome{Epochs: epochs, Heartbeat: time.Hour}, (*scripted).untilGone)
	s := inMemory(t).named(t)
	s.id.StorageID = scriptedID
	if err := s.id.Save(); err != nil {
		t.Fatal(err)
	}
	r := s.follow(t, addr)
	r.eventually(t, "of two epochs", func(st Status) bool { return len(st.Epochs) == 2 })
	if err := s.identify(); err != nil || len(s.id.Epochs) != 2 {
		t.Errorf("kept %+v, %v", s.id, err)
	}
}

func TestAnIdleSecondaryAnswersHeartbeats(t *testing.T) {
	acks := make(chan *protocol.Ack, 100)
	addr := script(t, protocol.Welcome{}, func(s *scripted) error {
		if err := s.send(transaction(3, "three")); err != nil {
			return err
		}
		for {
			msg, err := s.control.Receive(s.ctx)
			if err != nil {
				return err
			}
			if ack, ok := msg.(*protocol.Ack); ok {
				acks <- ack
				if err := s.control.Send(&protocol.Heartbeat{LastTid: 3, Clock: time.Now()}); err != nil {
					return err
				}
			}
		}
	})
	r := inMemory(t).follow(t, addr)
	for range 3 {
		if a := <-acks; a.Durable != 3 || a.Applied != 3 || a.Count != 1 || a.Bytes == 0 || a.Error != "" {
			t.Errorf("%+v", a)
		}
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}
