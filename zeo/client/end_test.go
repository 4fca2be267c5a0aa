package client_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// A script says what a server made by hand does with a call: answer it, keep quiet, or end the connection.
type script func(method string) (answer pickle.Value, verdict verdict)

type verdict int

const (
	answers verdict = iota
	keepsQuiet
	ends
)

// play serves one connection by the script, and returns its address.
func play(t *testing.T, s script) string {
	t.Helper()
	l := listen(t)
	over := make(chan struct{})
	go func() {
		defer close(over)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		follow(t, conn, s)
	}()
	t.Cleanup(func() {
		_ = l.Close() // its test is over
		<-over
	})
	return l.Addr().String()
}

func follow(t *testing.T, conn net.Conn, s script) {
	t.Helper()
	codec, _ := wire.CodecFor(wire.M5)
	if _, err := conn.Write(wire.AppendRaw(nil, []byte(wire.M5))); err != nil {
		return
	}
	r := bufio.NewReader(conn)
	if _, err := wire.Read(r, 100); err != nil {
		return
	}
	for {
		body, err := wire.Read(r, 1<<20)
		if err != nil {
			return
		}
		m, err := codec.Decode(body)
		if err != nil {
			t.Error(err)
			return
		}
		answer, verdict := s(m.Method)
		if verdict == ends {
			return
		}
		if m.OneWay() || verdict == keepsQuiet {
			continue
		}
		b, err := codec.Append(nil, wire.Reply(m.ID, answer))
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := conn.Write(b); err != nil {
			return
		}
	}
}

// at is a script that does something at one call and answers the others.
func at(method string, what verdict) script {
	return func(m string) (pickle.Value, verdict) {
		switch m {
		case method:
			return nil, what
		case "register", "tpc_finish":
			return pickle.Bytes("\x03\xe8\x00\x00\x00\x00\x00\x11"), answers
		}
		return nil, answers
	}
}

func TestOnlyTheEndDuringTheFinishLeavesTheOutcomeOpen(t *testing.T) {
	for method, open := range map[string]bool{"storea": false, "vote": false, "tpc_finish": true} {
		t.Run(method, func(t *testing.T) {
			c := dial(t, client.Options{}, play(t, at(method, ends)))
			txn := begin(t, c, zodb.TxnMeta{})
			store(t, txn, 1, 0, "x")
			_, err := txn.Commit(within(t))
			var unknown *client.UnknownError
			if err == nil || errors.As(err, &unknown) != open {
				t.Errorf("got %v, want that the outcome is unknown: %v", err, open)
			}
			<-c.Done()
			if c.Err() == nil {
				t.Error("the connection has ended without a reason")
			}
		})
	}
}

func TestAContextEndsEveryWait(t *testing.T) {
	for _, method := range []string{"register", "loadBefore", "tpc_begin", "vote", "tpc_finish", "tpc_abort"} {
		t.Run(method, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			enough := errors.New("enough")
			err := session(ctx, play(t, func(m string) (pickle.Value, verdict) {
				if m == method {
					cancel(enough)
				}
				return at(method, keepsQuiet)(m)
			}))
			if !errors.Is(err, enough) && !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// session makes each call once, until one fails.
func session(ctx context.Context, addr string) error {
	c, err := client.Dial(ctx, []string{addr}, client.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	var missing *zodb.POSKeyError
	if _, err := c.Load(ctx, 1); !errors.As(err, &missing) {
		return err
	}
	txn, err := c.Begin(ctx, &zodb.TxnMeta{})
	if err != nil {
		return err
	}
	if _, err := txn.Commit(ctx); err != nil {
		return err
	}
	return txn.Abort(ctx)
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	called := make(chan struct{})
	c := dial(t, client.Options{}, play(t, func(m string) (pickle.Value, verdict) {
		if m == "loadBefore" {
			close(called)
		}
		return at("loadBefore", keepsQuiet)(m)
	}))
	go func() {
		<-called
		c.Close()
	}()
	if _, err := c.Load(within(t), 1); !errors.Is(err, client.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestWrongAnswersAreErrors(t *testing.T) {
	wrong := []pickle.Value{int64(1), "text", pickle.Bytes("short"), pickle.Tuple{int64(1)},
		pickle.Tuple{nil, nil, nil}, pickle.Tuple{pickle.Bytes{}, pickle.Bytes{}, nil}}
	for _, method := range []string{"register", "loadBefore", "tpc_finish"} {
		for _, answer := range wrong {
			err := session(within(t), play(t, func(m string) (pickle.Value, verdict) {
				if m == method {
					return answer, answers
				}
				return at("", answers)(m)
			}))
			if err == nil {
				t.Errorf("%s answered with %#v: no error", method, answer)
			}
		}
	}
}

// A port where nothing speaks, as that of another service, is told from a ZEO server that is busy.
func TestAPortThatIsSilentIsNamedSo(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, err = client.Dial(t.Context(), []string{ln.Addr().String()}, client.Options{Timeout: 20 * time.Millisecond})
	const want = "it said nothing, where a ZEO server speaks first"
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), want) ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}
