package endpoint_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/internal/endpoint"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseKnowsTheFormsOfAnAddress(t *testing.T) {
	for _, c := range []struct {
		in, network string
		local       bool
	}{
		{"127.0.0.1:5000", "tcp", true},
		{"127.9.9.9:5000", "tcp", true},
		{"[::1]:5000", "tcp", true},
		{"localhost:0", "tcp", true},
		{":5000", "tcp", false},
		{"0.0.0.0:5000", "tcp", false},
		{"[::]:5000", "tcp", false},
		{"db.example.com:5000", "tcp", false},
		{"192.168.1.4:65535", "tcp", false},
		{"./zrsd.sock", "unix", true},
		{"/run/zrsd/admin", "unix", true},
	} {
		e, err := endpoint.Parse(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if e.Network() != c.network || e.Local() != c.local || e.String() != c.in {
			t.Errorf("%s: got %s, local %v, text %s", c.in, e.Network(), e.Local(), e)
		}
	}
}

func TestParseRefusesWithAnInstruction(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "write host:port",
		"5000":                         "write host:port",
		"host":                         "write host:port",
		"::1:5000":                     "write host:port",
		"host:http":                    "port as a number",
		"host:65536":                   "port as a number",
		"host:-1":                      "port as a number",
		"/" + strings.Repeat("x", 200): "use a shorter one",
	} {
		_, err := endpoint.Parse(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", in, err, want)
		}
	}
}

func TestParseListKeepsTheOrder(t *testing.T) {
	list, err := endpoint.ParseList("a:1, b:2,/c")
	if err != nil || len(list) != 3 || list[0].String() != "a:1" || list[1].String() != "b:2" ||
		list[2].String() != "/c" {
		t.Fatalf("got %v, %v", list, err)
	}
	if _, err := endpoint.ParseList("a:1,,b:2"); err == nil {
		t.Fatal("an empty address between commas was accepted")
	}
}

func listen(t *testing.T, addr string) (net.Listener, error) {
	t.Helper()
	e, err := endpoint.Parse(addr)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := e.Listen(t.Context())
	if err == nil {
		t.Cleanup(func() { ln.Close() })
	}
	return ln, err
}

// What runzeo does with the same text, which asyncio decides.
func TestListenTakesTheFamiliesThatTheAddressNames(t *testing.T) {
	probe, err := net.Listen("tcp6", "[::1]:0")
	haveSix := err == nil
	if haveSix {
		probe.Close()
	}
	for _, c := range []struct {
		host      string
		four, six bool
	}{
		{"", true, true},
		{"*", true, true},
		{"0.0.0.0", true, false},
		{"[::]", false, true},
		{"127.0.0.1", true, false},
		{"[::1]", false, true},
	} {
		if !haveSix && !c.four {
			continue
		}
		ln, err := listen(t, c.host+":0")
		if err != nil {
			t.Fatalf("%s: %v", c.host, err)
		}
		_, port, _ := net.SplitHostPort(ln.Addr().String())
		for addr, want := range map[string]bool{"127.0.0.1:" + port: c.four, "[::1]:" + port: c.six && haveSix} {
			conn, err := net.Dial("tcp", addr)
			if (err == nil) != want {
				t.Errorf("listening at %q, %s: %v, want it reached: %v", c.host, addr, err, want)
			}
			if err == nil {
				conn.Close()
			}
		}
	}
}

func TestAStarIsAllInterfaces(t *testing.T) {
	e, err := endpoint.Parse("*:5000")
	if err != nil || e.String() != ":5000" || e.Local() {
		t.Fatalf("got %v, local %v, %v", e, e.Local(), err)
	}
}

func TestListenOnATakenPortIsErrInUse(t *testing.T) {
	first, err := listen(t, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listen(t, first.Addr().String()); !errors.Is(err, endpoint.ErrInUse) {
		t.Fatalf("got %v, want ErrInUse", err)
	}
}

func TestListenOnATakenSocketIsErrInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if _, err := listen(t, path); err != nil {
		t.Fatal(err)
	}
	if _, err := listen(t, path); !errors.Is(err, endpoint.ErrInUse) {
		t.Fatalf("got %v, want ErrInUse", err)
	}
}

func TestListenReplacesAStaleSocketAndRemovesItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	dead, err := listen(t, path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("the test needs a stale socket: %v", err)
	}
	ln, err := listen(t, path)
	if err != nil {
		t.Fatalf("a stale socket was not replaced: %v", err)
	}
	e, _ := endpoint.Parse(path)
	conn, err := e.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	ln.Close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the socket is still there: %v", err)
	}
}

func TestListenLeavesAFileThatIsNoSocketAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen(t, path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Fatalf("got %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "data" {
		t.Fatalf("the file was touched: %q, %v", b, err)
	}
}
