package node

import (
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
)

// systemd is a fake one, which keeps nothing.
func systemd(t *testing.T) (next func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		b := make([]byte, 4096)
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

func TestSystemdHearsThatTheProcessServesAndWorks(t *testing.T) {
	next := systemd(t)
	t.Setenv("WATCHDOG_USEC", "60000")
	newSite(t, nodetest.DiskWith(t, 1)).primary(t)
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		for got := next(); got != want; got = next() {
			if strings.HasPrefix(got, "STATUS=primary") && want == "WATCHDOG=1" && strings.Contains(got, "not ready") {
				t.Errorf("after it was ready it says %q", got)
			}
		}
	}
}

// told returns what a supervisor says at one look.
func (s *supervisor) told(watched bool) (said []string) {
	s.notify = func(state string) error {
		said = append(said, state)
		return nil
	}
	s.look(watched, time.Now())
	return said
}

// A process is ready when its storages are open and clients can connect, and it is no longer said to work when it
// hangs.
func TestSystemdIsToldTheTruth(t *testing.T) {
	st := newNodeStatus(rolePrimary, &Config{Data: "Data.fs"})
	serves := false
	s := &supervisor{log: hclog.NewNullLogger(), members: []*member{{status: st}}, reloads: new(Reloads),
		serves: func() bool { return serves }}
	if said := s.told(true); !slices.Contains(said, "EXTEND_TIMEOUT_USEC=60000000") ||
		!slices.Contains(said, "WATCHDOG=1") || slices.Contains(said, "READY=1") {
		t.Errorf("while the storage is opened it says %q", said)
	}
	st.opened(func(out *admin.Status) { out.Ready = true })
	if said := s.told(true); slices.Contains(said, "READY=1") {
		t.Errorf("before clients can connect it says %q", said)
	}
	serves = true
	if said := s.told(true); !slices.Contains(said, "READY=1") {
		t.Errorf("when clients can connect it says %q", said)
	}
	if said := s.told(true); !slices.Equal(said, []string{"WATCHDOG=1"}) {
		t.Errorf("then it says %q", said)
	}
	st.opened(func(out *admin.Status) { out.NotLive = admin.Known("a commit waits for the disk") })
	if said := s.told(true); slices.Contains(said, "WATCHDOG=1") {
		t.Errorf("while it hangs it says %q", said)
	}
	st.opened(func(out *admin.Status) { out.Ready = true })
	if said := s.told(true); !slices.Contains(said, "WATCHDOG=1") {
		t.Errorf("when it works again it says %q", said)
	}
}

// A reload is said to have begun and to have ended, once the process serves.
func TestSystemdHearsOfAReload(t *testing.T) {
	next := systemd(t)
	r := new(Reloads)
	r.Reload()
	r.serves()
	r.Reload()
	if got := next(); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("it says %q", got)
	}
	if got := next(); got != "READY=1" {
		t.Errorf("then it says %q", got)
	}
}
