package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"
)

// tellSupervisor tells systemd that the process runs, and again and again, until ctx ends, if systemd wants to hear it
// (WatchdogSec): a process that hangs, or was stopped, is killed then. That matters to ZEO clients: their connections
// stay open as long as the process exists, and they look for another server only when a connection ends.
func tellSupervisor(ctx context.Context, log hclog.Logger) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err == nil {
		defer conn.Close() //nolint:errcheck // nothing is kept back
		_, err = conn.Write([]byte("READY=1"))
	}
	if err != nil {
		log.Warn("cannot notify systemd that the process is ready", "socket", path, "error", err)
		return
	}
	every, err := watchdogEvery()
	if err != nil {
		log.Warn("systemd watchdog notifications are off", "error", err)
	}
	if every == 0 {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if _, err := conn.Write([]byte("WATCHDOG=1")); err != nil {
			log.Warn("cannot notify systemd's watchdog", "socket", path, "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// watchdogEvery is how often systemd gets a message; 0: it expects none. It allows twice that time.
func watchdogEvery() (time.Duration, error) {
	text, pid := os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	if text == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	usec, err := strconv.ParseInt(text, 10, 64)
	if err != nil || usec <= 0 {
		return 0, fmt.Errorf("WATCHDOG_USEC is %q, which is no number of microseconds", text)
	}
	return max(time.Duration(usec)*time.Microsecond/2, time.Millisecond), nil
}
