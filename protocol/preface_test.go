package protocol

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/service"
)

// pipe returns both ends of a connection, closed when the test ends.
func pipe(t *testing.T) (client, server net.Conn) {
	t.Helper()
	client, server = net.Pipe()
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
	})
	return client, server
}

// answer runs what the server does once it has read the client's proposal, and returns the client's error.
func answer(t *testing.T, server func(net.Conn) error) error {
	t.Helper()
	c, s := pipe(t)
	done := make(chan error, 1)
	go func() {
		proto, err := ServerPreface(context.Background(), s)
		if err == nil && proto != Native {
			err = errors.New("proposed " + proto)
		}
		if err == nil {
			err = server(s)
		}
		done <- err
	}()
	err := ClientPreface(t.Context(), c)
	if serr := <-done; serr != nil {
		t.Fatalf("server: %v", serr)
	}
	return err
}

func TestPrefaceAccepted(t *testing.T) {
	err := answer(t, func(s net.Conn) error {
		return AcceptPreface(context.Background(), s)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestPrefaceRefusalArrivesInWords(t *testing.T) {
	for _, text := range []string{"run the same version", "", "mit Umlauten: äöü", "two\nlines and spaces"} {
		err := answer(t, func(s net.Conn) error {
			return RefusePreface(context.Background(), s, &Refusal{Code: CodeProtocol, Text: text})
		})
		var r *Refusal
		if !errors.As(err, &r) || r.Code != CodeProtocol || r.Text != text {
			t.Errorf("got %v, want %q", err, text)
		}
	}
}

func TestPrefaceRefusalOfAnyLengthArrives(t *testing.T) {
	err := answer(t, func(s net.Conn) error {
		r := &Refusal{Code: CodeInternal, Text: strings.Repeat("ä", maxRefusal)}
		return RefusePreface(context.Background(), s, r)
	})
	var r *Refusal
	if !errors.As(err, &r) || r.Text != strings.Repeat("ä", len(r.Text)/2) {
		t.Errorf("got %v", err)
	}
}

func TestAPeerThatClosesWithoutAnAnswerIsNotNative(t *testing.T) {
	if err := answer(t, func(s net.Conn) error { return s.Close() }); !errors.Is(err, ErrNotNative) {
		t.Errorf("got %v", err)
	}
}

// A zc.zrs gives no answer at all. So a damaged one does not make a primary one that speaks zrs2, which proves nothing.
func TestAnAnswerThatCannotBeReadSaysNothingOfTheProtocol(t *testing.T) {
	for name, server := range map[string]func(net.Conn) error{
		"speaks another language": func(s net.Conn) error { return WriteSized(s, []byte("220 hi")) },
		"is cut in its answer": func(s net.Conn) error {
			_, err := s.Write([]byte{0, 0, 0, 6, 'z'})
			return errors.Join(err, s.Close())
		},
		"refuses without a code": func(s net.Conn) error { return WriteSized(s, []byte("refused x y")) },
	} {
		t.Run(name, func(t *testing.T) {
			err := answer(t, server)
			if !errors.Is(err, ErrUnreadable) || errors.Is(err, ErrNotNative) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAClientNamesAnotherServiceThatAnswers(t *testing.T) {
	for is, answers := range map[service.Kind]string{
		service.HTTP: "HTTP", service.SSH: "SSH-", service.ZEO: "\x00\x00\x00\x02Z5", // as much as it reads to know
	} {
		err := answer(t, func(s net.Conn) error {
			_, err := s.Write([]byte(answers))
			return err
		})
		var other *service.Error
		if !errors.As(err, &other) || other.Is != is || errors.Is(err, ErrNotNative) {
			t.Errorf("%s: %v", is, err)
		}
	}
}

// Whoever gives the replication port to a command for the admin address gets an answer that says so.
func TestARequestOfHTTPIsAnsweredInHTTP(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
		t.Run(method, func(t *testing.T) {
			c, s := pipe(t)
			ended := make(chan error, 1)
			go func() {
				_, err := ServerPreface(t.Context(), s)
				if errors.Is(err, ErrHTTP) {
					err = errors.Join(RefuseHTTP(t.Context(), s), s.Close())
				}
				ended <- err
			}()
			go func() { _, _ = io.WriteString(c, method+" / HTTP/1.1\r\n") }() // it is not read to its end
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != http.StatusBadRequest || err != nil || !strings.Contains(string(body), "--admin") {
				t.Errorf("got %s %q, %v", resp.Status, body, err)
			}
			if err := errors.Join(resp.Body.Close(), <-ended); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAPrefaceEndsWithItsContext(t *testing.T) {
	because := errors.New("because")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(because)
	c, s := pipe(t)
	if err := ClientPreface(ctx, c); !errors.Is(err, because) {
		t.Errorf("client: %v", err)
	}
	if _, err := ServerPreface(ctx, s); !errors.Is(err, because) {
		t.Errorf("server: %v", err)
	}
}

func TestAPrefaceLeavesNoDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	c, s := pipe(t)
	go func() { _ = WriteSized(c, []byte(Native)) }() // the server's error tells when this fails
	if _, err := ServerPreface(ctx, s); err != nil {
		t.Fatal(err)
	}
	cancel()
	go func() { _ = WriteSized(c, []byte("more")) }()
	if got, err := ReadSized(s, nil, 64); err != nil || string(got) != "more" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAServerReadsNoLongPreface(t *testing.T) {
	c, s := pipe(t)
	go func() { _, _ = c.Write([]byte{0, 0, 0, maxPreface + 1}) }()
	_, err := ServerPreface(t.Context(), s)
	var large *TooLargeError
	if !errors.As(err, &large) {
		t.Errorf("got %v", err)
	}
}

func TestAServerNoticesTLS(t *testing.T) {
	c, s := pipe(t)
	go func() { _, _ = c.Write([]byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc}) }()
	if _, err := ServerPreface(t.Context(), s); !errors.Is(err, ErrEncrypted) {
		t.Errorf("got %v", err)
	}
}

func TestAClientNoticesTLS(t *testing.T) {
	err := answer(t, func(s net.Conn) error {
		_, err := s.Write([]byte{21, 3, 1, 0}) // as much as the client reads to know; a pipe would wait with more
		return errors.Join(err, s.Close())
	})
	if !errors.Is(err, ErrEncrypted) {
		t.Errorf("got %v", err)
	}
}

func FuzzPreface(f *testing.F) {
	f.Add(Native)
	f.Add("refused 7 too many; try again")
	f.Add("refused 99999999999 x")
	f.Add("refused -1 x")
	f.Add("refused 7")
	f.Fuzz(func(t *testing.T, answer string) {
		r := parseRefusal(answer)
		if r == nil {
			return
		}
		if r.Code < 0 || !strings.HasSuffix(answer, " "+r.Text) {
			t.Errorf("%q was read as %d %q", answer, r.Code, r.Text)
		}
	})
}
