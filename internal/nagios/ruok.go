package nagios

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

const (
	question    = "\x00\x00\x00\x04ruok"
	maxGreeting = 64      // "Z5" has two
	maxAnswer   = 4 << 20 // some 300 bytes for each storage
)

var errNoGreeting = errors.New("it does not send the handshake of a ZEO server")

// askZEO asks a ZEO server. It returns errNoGreeting when the server is of another kind.
func askZEO(ctx context.Context, dial Dial) (Storages, error) {
	conn, err := connect(ctx, dial)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // everything was said
	defer context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails only on a closed connection
	})()
	if err := ask(conn); err != nil {
		return nil, errors.Join(errNoGreeting, err)
	}
	if _, err := readSized(conn, maxGreeting); err != nil {
		return nil, errors.Join(errNoGreeting, err)
	}
	answer, err := readSized(conn, maxAnswer)
	if err != nil {
		return nil, fmt.Errorf("it sends the handshake of a ZEO server, then does not answer: %w", err)
	}
	return parseAnswer(answer)
}

// ask sends the question and closes our direction, so that servers that expect something else do not wait.
func ask(conn net.Conn) error {
	if _, err := io.WriteString(conn, question); err != nil {
		return err
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func readSized(r io.Reader, limit uint32) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > limit {
		return nil, fmt.Errorf("a message of %d bytes where at most %d make sense", n, limit)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

func parseAnswer(b []byte) (Storages, error) {
	var answer map[string]struct {
		Last *zodb.Tid `json:"last-transaction"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return nil, fmt.Errorf("the ZEO server's status cannot be read: %w", err)
	}
	found := Storages{}
	for name, status := range answer {
		if status.Last == nil {
			return nil, fmt.Errorf("the ZEO server does not report the last transaction of storage %q", name)
		}
		found[name] = *status.Last
	}
	return found, nil
}
