package protocol

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/zrsd/zrsd/internal/service"
)

// Native names this protocol in the first sized message of a connection.
const Native = "zrsd/1"

const (
	maxPreface  = 64   // bytes of the client's first message
	maxRefusal  = 4096 // bytes of the answer
	refusalWord = "refused "
)

// ClientPreface proposes the native protocol and waits for the answer, until ctx ends. A refusal is a *Refusal; a peer
// that answers with a TLS alert gives ErrEncrypted, one that is known to be something else a *service.Error, one that
// closes without an answer ErrNotNative, any other answer ErrUnreadable. The time that it takes is a round trip, good
// for SessionOptions.RoundTrip.
func ClientPreface(ctx context.Context, conn net.Conn) error {
	return withContext(ctx, conn.SetDeadline, func() error {
		if err := WriteSized(conn, []byte(Native)); err != nil {
			return fmt.Errorf("proposing %s: %w", Native, err)
		}
		answer, err := ReadSized(conn, nil, maxRefusal)
		var large *TooLargeError
		switch {
		case errors.As(err, &large) && large.Size>>16 == tlsAlert:
			return ErrEncrypted
		case errors.As(err, &large):
			if other := service.Check(large.begin(), service.WantReplication); other != nil {
				return other
			}
			return fmt.Errorf("%w (%w)", ErrUnreadable, err)
		case errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("%w (%w)", ErrUnreadable, err)
		case errors.Is(err, io.EOF), isReset(err):
			return fmt.Errorf("%w (%w)", ErrNotNative, err)
		case err != nil:
			return fmt.Errorf("waiting for the answer to %s: %w", Native, err)
		case string(answer) == Native:
			return nil
		}
		if r := parseRefusal(string(answer)); r != nil {
			return r
		}
		if err := service.Check(received(answer), service.WantReplication); err != nil {
			return err
		}
		return fmt.Errorf("%w (it answered %q)", ErrUnreadable, truncate(string(answer), maxPreface))
	})
}

// received returns a short message as it came.
func received(payload []byte) []byte { return append([]byte{0, 0, 0, byte(len(payload))}, payload...) }

// begin returns the first bytes of what was no message.
func (e *TooLargeError) begin() []byte { return binary.BigEndian.AppendUint32(nil, uint32(e.Size)) }

// How a TLS connection begins, and how a server of TLS says that something else did not: records of the types
// handshake (22) and alert (21), major version 3, read as the length of a sized message.
const (
	tlsHandshake = 0x1603
	tlsAlert     = 0x1503
)

// ServerPreface reads which protocol the client proposes. The server then calls AcceptPreface when that is Native, and
// RefusePreface or nothing otherwise. No more than 64 bytes are read before a client has said that. A client that
// begins with TLS gives ErrEncrypted, one that begins with a request of HTTP ErrHTTP.
func ServerPreface(ctx context.Context, conn net.Conn) (proto string, err error) {
	err = withContext(ctx, conn.SetDeadline, func() error {
		first, err := ReadSized(conn, nil, maxPreface)
		var large *TooLargeError
		if errors.As(err, &large) && large.Size>>16 == tlsHandshake {
			return ErrEncrypted
		}
		if errors.As(err, &large) && slices.Contains(httpMethods, string(large.begin())) {
			return ErrHTTP
		}
		if err != nil {
			return fmt.Errorf("waiting for the name of a protocol: %w", err)
		}
		proto = string(first)
		return nil
	})
	return proto, err
}

// httpMethods are how requests of HTTP begin.
var httpMethods = []string{"GET ", "HEAD", "POST", "PUT ", "DELE", "OPTI", "CONN", "PATC", "TRAC"}

// RefuseHTTP answers a request of HTTP, which may be one to the admin address.
func RefuseHTTP(ctx context.Context, conn net.Conn) error {
	return withContext(ctx, conn.SetDeadline, func() error {
		text := ErrHTTP.Error() + "\n"
		_, err := fmt.Fprintf(conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"+
			"Content-Length: %d\r\n\r\n%s", len(text), text)
		return err
	})
}

// AcceptPreface asks the client to continue with a session.
func AcceptPreface(ctx context.Context, conn net.Conn) error {
	return withContext(ctx, conn.SetDeadline, func() error { return WriteSized(conn, []byte(Native)) })
}

// RefusePreface sends the client the reason, in a form that a client of every version can read: "refused", the code in
// decimal and the text, with spaces between.
func RefusePreface(ctx context.Context, conn net.Conn, r *Refusal) error {
	text := truncate(strings.ToValidUTF8(r.Text, "?"), maxRefusal-maxPreface)
	return withContext(ctx, conn.SetDeadline, func() error {
		return WriteSized(conn, fmt.Appendf(nil, "%s%d %s", refusalWord, r.Code, text))
	})
}

// parseRefusal returns nil when answer is no refusal.
func parseRefusal(answer string) *Refusal {
	rest, ok := strings.CutPrefix(answer, refusalWord)
	if !ok {
		return nil
	}
	digits, text, ok := strings.Cut(rest, " ")
	if code, err := strconv.ParseUint(digits, 10, 31); err == nil && ok && utf8.ValidString(text) {
		return &Refusal{Code: Code(code), Text: text}
	}
	return nil
}

// truncate cuts s to at most n bytes, never within a character.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
