package admin

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// A still Source has nothing to say.
type still struct{}

func (still) Status() Status { return Status{} }

// running returns the address of a server, which ends with the test.
func running(t *testing.T, logger hclog.Logger, names ...string) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Serve(ln, still{}, nil, logger, names...)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func open(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(readTimeout - time.Second)); err != nil { // before the server's own
		t.Fatal(err)
	}
	return conn
}

// request sends one and returns the answer, over a connection that stays open.
func request(t *testing.T, conn net.Conn, path, host string) (code int, body string) {
	t.Helper()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestNoNumberOfConnectionsKeepsAProbeOut(t *testing.T) {
	for kind, first := range map[string]string{
		"silent":             "",
		"half a request":     "GET /status HT",
		"idle after answers": "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		t.Run(kind, func(t *testing.T) {
			addr := running(t, hclog.NewNullLogger())
			for range 2 * maxWaiting {
				conn := open(t, addr)
				if _, err := io.WriteString(conn, first); err != nil {
					t.Fatal(err)
				}
				if kind == "idle after answers" {
					_, _ = conn.Read(make([]byte, 1)) // its answer, unless it had to make way
				}
			}
			if code, body := request(t, open(t, addr), "/healthz", "localhost"); code != http.StatusOK {
				t.Errorf("%d %s", code, body)
			}
		})
	}
}

func TestAConnectionIsKeptBetweenRequests(t *testing.T) {
	conn := open(t, running(t, hclog.NewNullLogger()))
	for range 3 {
		if code, body := request(t, conn, "/healthz", "localhost"); code != http.StatusOK {
			t.Errorf("%d %s", code, body)
		}
	}
}

func TestOnlyNamesOfThisServerAreAnswered(t *testing.T) {
	addr := running(t, hclog.NewNullLogger(), "db1.example")
	for host, want := range map[string]int{
		addr:                    http.StatusOK,
		"127.0.0.1":             http.StatusOK,
		"[::1]:8101":            http.StatusOK,
		"::1":                   http.StatusOK,
		"localhost":             http.StatusOK,
		"LocalHost.:8101":       http.StatusOK,
		"DB1.example:8101":      http.StatusOK,
		"":                      http.StatusOK,
		"evil.example":          http.StatusForbidden,
		"evil.example:8101":     http.StatusForbidden,
		"localhost.evil":        http.StatusForbidden,
		"127.0.0.1.evil:8101":   http.StatusForbidden,
		"x.db1.example":         http.StatusForbidden,
		"127.0.0.1.nip.io:8101": http.StatusForbidden,
	} {
		for _, path := range []string{"/status", "/metrics", "/healthz", "/", "/nothing"} {
			code, body := request(t, open(t, addr), path, host)
			if code == http.StatusForbidden != (want == http.StatusForbidden) {
				t.Errorf("%s at %q: %d %s", path, host, code, body)
			}
			if want == http.StatusForbidden && !strings.Contains(body, "--admin-names") {
				t.Errorf("%s at %q is refused without words: %s", path, host, body)
			}
		}
	}
}

func TestTheNameOfTheMachineIsAnswered(t *testing.T) {
	h := hostsOf(nil)
	for _, name := range h {
		if !h.means(name) || !h.means(name+":8101") {
			t.Errorf("%s is not answered", name)
		}
	}
	if len(h) < 3 {
		t.Errorf("this machine has no name among %q", h)
	}
}

func TestComplaintsAboutClientsAreFew(t *testing.T) {
	var out bytes.Buffer
	log := complaints(hclog.New(&hclog.LoggerOptions{Output: &out}))
	for port := range 1000 {
		log.Printf("http: TLS handshake error from 192.0.2.1:%d: EOF", port)
	}
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("%d lines", n)
	}
}
