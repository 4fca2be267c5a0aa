package zeoload

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
)

// server returns a connection whose other end f plays.
func server(t *testing.T, f func(conn net.Conn) error) *Conn {
	t.Helper()
	near, far := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- f(far) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = near.Close()
		_ = far.Close()
	})
	return newConn(near)
}

func TestMessagesOfAnySizeAreReadOneAfterTheOther(t *testing.T) {
	sizes := []int{10, readLen - 100, readLen, 10 * readLen, 10, 3 * readLen, 0}
	c := server(t, func(conn net.Conn) error {
		var all []byte
		for i, n := range sizes {
			all = wire.AppendRaw(all, encoded(t, wire.Reply(int64(i), pickle.Bytes(bytes.Repeat([]byte{byte(i)}, n)))))
		}
		_, err := conn.Write(all)
		return err
	})
	for i, n := range sizes {
		a, err := c.answer()
		if err != nil {
			t.Fatal(err)
		}
		result, _, ok := cutString(a.rest)
		if want := bytes.Repeat([]byte{byte(i)}, n); int(a.id) != i || !ok || !bytes.Equal(result, want) {
			t.Errorf("message %d: id %d, %d bytes, want %d", i, a.id, len(result), n)
		}
	}
}

func TestASizeBeyondTheLimitIsRefused(t *testing.T) {
	c := server(t, func(conn net.Conn) error {
		_, err := conn.Write(binary.BigEndian.AppendUint32(nil, maxMessage+1))
		return err
	})
	if a, err := c.receive(); err == nil {
		t.Errorf("got %+v", a)
	}
}

func TestCallsAreSentBeforeTheirAnswerIsAwaited(t *testing.T) {
	c := server(t, func(conn net.Conn) error {
		if _, err := wire.Read(conn, 1<<20); err != nil {
			return err
		}
		_, err := conn.Write(wire.AppendRaw(nil, encoded(t, wire.Reply(int64(voteID), nil))))
		return err
	})
	c.send(voteCall())
	if a, err := c.answer(); err != nil || a.id != voteID {
		t.Errorf("%+v, %v", a, err)
	}
}
