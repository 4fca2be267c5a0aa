package protocol

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Native names this protocol in the first sized message of a connection.
const Native = "zrsd/1"

const (
	maxPreface  = 64   // bytes of the client's first message
	maxRefusal  = 4096 // bytes of the answer
	refusalWord = "refused "
)

// ClientPreface proposes the native protocol and waits for the answer, until ctx ends. A refusal is a *Refusal; a peer
// that answers with a TLS alert gives ErrEncrypted, one that closes or answers in another language ErrNotNative. The
// time that it takes is a round trip, good for SessionOptions.RoundTrip.
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
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isReset(err), errors.As(err, &large):
			return fmt.Errorf("%w (%w)", ErrNotNative, err)
		case err != nil:
			return fmt.Errorf("waiting for the answer to %s: %w", Native, err)
		case string(answer) == Native:
			return nil
		}
		if r := parseRefusal(string(answer)); r != nil {
			return r
		}
		return fmt.Errorf("%w (it answered %q)", ErrNotNative, truncate(string(answer), maxPreface))
	})
}

// How a TLS connection begins, and how a server of TLS says that something else did not: records of the types
// handshake (22) and alert (21), major version 3, read as the length of a sized message.
const (
	tlsHandshake = 0x1603
	tlsAlert     = 0x1503
)

// ServerPreface reads which protocol the client proposes. The server then calls AcceptPreface when that is Native, and
// RefusePreface or nothing otherwise. No more than 64 bytes are read before a client has said that. A client that
// begins with TLS gives ErrEncrypted.
func ServerPreface(ctx context.Context, conn net.Conn) (proto string, err error) {
	err = withContext(ctx, conn.SetDeadline, func() error {
		first, err := ReadSized(conn, nil, maxPreface)
		var large *TooLargeError
		if errors.As(err, &large) && large.Size>>16 == tlsHandshake {
			return ErrEncrypted
		}
		if err != nil {
			return fmt.Errorf("waiting for the name of a protocol: %w", err)
		}
		proto = string(first)
		return nil
	})
	return proto, err
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
