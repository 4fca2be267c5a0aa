package node

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/internal/node/nodetest"
)

func TestSystemdHearsThatTheProcessRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "20000")
	newSite(t, nodetest.DiskWith(t, 1)).primary(t)
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		b := make([]byte, 100)
		n, err := conn.Read(b)
		if err != nil || string(b[:n]) != want {
			t.Fatalf("it says %q, %v, want %s", b[:n], err, want)
		}
	}
}

func TestAWatchdogOfAnotherProcessIsNotTold(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", "1")
	if every, err := watchdogEvery(); every != 0 || err != nil {
		t.Errorf("got %v, %v", every, err)
	}
	t.Setenv("WATCHDOG_PID", "")
	t.Setenv("WATCHDOG_USEC", "soon")
	if every, err := watchdogEvery(); every != 0 || err == nil {
		t.Errorf("got %v, %v", every, err)
	}
}
