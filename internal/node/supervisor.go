package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/warning"
)

// How often a supervisor is told how the node is: while it starts, and then.
const (
	tellStarting = 200 * time.Millisecond
	tellStatus   = 5 * time.Second
)

// extend is how much more time systemd gives a node that still opens its storage, such as without a saved index.
const extend = 60 * time.Second

// A supervisor tells systemd that the process serves, how it is, and that it works: a process that hangs is killed
// then (WatchdogSec). That matters to ZEO clients: their connections stay open as long as the process exists, and they
// look for another server only when a connection ends.
//
// It asks each storage for its status before it says that the process works. So it does not say so while somebody holds
// a lock for good, and not while a commit waits for a disk that does not answer.
type supervisor struct {
	log     hclog.Logger
	members []*member
	serves  func() bool // clients can connect; nil: they are not served
	reloads *Reloads
	notify  func(state string) error

	ready  bool
	hangs  bool      // this was logged
	failed bool      // likewise: systemd cannot be told
	status string    // told last
	longer time.Time // when more time was asked for
}

// tellSupervisor tells systemd until around ends, if it wants to hear it. The process is to stop when stopping ends.
func tellSupervisor(around, stopping context.Context, c *Config, members []*member, front front) {
	if told, err := daemon.SdNotify(false, "STATUS=starting"); !told {
		if err != nil {
			c.Logger.Warn("cannot notify systemd", "error", err, "warning", warning.SupervisorLost)
		}
		return
	}
	s := &supervisor{log: c.Logger, members: members, reloads: c.Reloads, notify: func(state string) error {
		_, err := daemon.SdNotify(false, state)
		return err
	}}
	if front != nil {
		s.serves = front.Listening
	}
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		c.Logger.Warn("systemd watchdog notifications are off", "error", err, "warning", warning.SupervisorLost)
	}
	s.run(around, stopping, limit)
}

// run tells systemd often enough for its watchdog, which kills after limit; 0: it does not.
func (s *supervisor) run(around, stopping context.Context, limit time.Duration) {
	stops := stopping.Done()
	for {
		s.look(limit > 0, time.Now())
		wait := tellStatus
		if limit > 0 {
			wait = min(wait, limit/3)
		}
		if !s.ready {
			wait = min(wait, tellStarting)
		}
		select {
		case <-time.After(wait):
		case <-stops:
			s.tell(daemon.SdNotifyStopping)
			stops = nil // once is enough
		case <-around.Done():
			return
		}
	}
}

// look says how the process is.
func (s *supervisor) look(watched bool, now time.Time) {
	open, hangs, lines := true, "", []string(nil)
	for _, m := range s.members {
		st := m.status.Status()
		open = open && !st.Closed
		if st.NotLive != nil {
			hangs = *st.NotLive
		}
		lines = append(lines, statusLine(m.name, &st))
	}
	if line := strings.Join(lines, "; "); line != s.status {
		s.status = line
		s.tell("STATUS=" + line)
	}
	switch {
	case s.ready:
	case open && (s.serves == nil || s.serves()):
		s.ready = true
		s.reloads.serves()
		s.tell(daemon.SdNotifyReady)
	case now.Sub(s.longer) > extend/4:
		s.longer = now
		s.tell(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", extend.Microseconds()))
	}
	if watched && hangs == "" {
		s.tell(daemon.SdNotifyWatchdog)
	}
	if watched && hangs != "" && !s.hangs {
		s.log.Error("this process hangs: systemd's watchdog is not told any more that it works", "reason", hangs,
			"warning", warning.Stalled)
	}
	s.hangs = hangs != ""
}

func (s *supervisor) tell(state string) {
	err := s.notify(state)
	if err != nil && !s.failed {
		s.log.Warn("cannot notify systemd", "error", err, "warning", warning.SupervisorLost)
	}
	s.failed = err != nil
}

// statusLine is what systemctl status shows of a storage.
func statusLine(name string, st *admin.Status) string {
	var words []string
	if name != "" {
		words = append(words, "storage "+name)
	}
	words = append(words, st.Role)
	if st.Epoch != nil {
		words = append(words, fmt.Sprintf("epoch %d", st.Epoch.Number))
	}
	if u := st.Upstream; u != nil {
		words = append(words, u.State)
		if u.Lag.Seconds != nil {
			words = append(words, fmt.Sprintf("%.0f s behind", *u.Lag.Seconds))
		}
	}
	if n := len(st.Secondaries); n > 0 {
		words = append(words, admin.Secondaries(n))
	}
	if !st.Ready && st.NotReady != nil {
		words = append(words, "not ready: "+strings.ReplaceAll(*st.NotReady, "\n", " "))
	}
	return strings.Join(words, ", ")
}

// tellReload tells systemd that files are read again, and, by what it returns, that this is done. What cannot be told
// is not worth a failure.
func tellReload() (done func()) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return func() {}
	}
	_, _ = daemon.SdNotify(false, fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
	return func() { _, _ = daemon.SdNotify(false, daemon.SdNotifyReady) }
}
