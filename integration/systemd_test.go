package integration

import (
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zrsd/zrsd/internal/daemon"
)

// TestSystemdFollowsARealProcess: a fake systemd hears when a real process serves, when it reads certificates again,
// when it stops, and in between that it works.
func TestSystemdFollowsARealProcess(t *testing.T) {
	s := newSite(t, false)
	s.open(t).Close()
	path := filepath.Join(s.dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	deadline, _ := within(t).Deadline()
	if err := conn.SetReadDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "200000")
	next := func(want string) {
		t.Helper()
		for b := make([]byte, 4096); ; {
			n, err := conn.Read(b)
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			if strings.HasPrefix(string(b[:n]), want) {
				return
			}
		}
	}
	p, err := daemon.Start(zrsd, filepath.Join(s.dir, "admin"), nil, append([]string{"primary", "--replicate-to",
		filepath.Join(s.dir, "to")}, s.flags()...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	next("STATUS=")
	next("READY=1")
	next("WATCHDOG=1")
	next("WATCHDOG=1")
	if err := p.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	next("RELOADING=1\nMONOTONIC_USEC=")
	next("READY=1")
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	next("STOPPING=1")
	if code, err := p.ExitCode(within(t)); code != 0 || err != nil {
		t.Errorf("it ended with %d, %v", code, err)
	}
}
