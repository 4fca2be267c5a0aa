package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/internal/node"
)

// A clock stands still until it is moved, while the watcher waits for a signal.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func TestTheFirstSignalDrainsAndTheSecondEnds(t *testing.T) {
	defer goleak.VerifyNone(t)
	path := filepath.Join(t.TempDir(), "log")
	log, err := node.OpenLog(node.LogOptions{Level: "info", File: path})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	signals, done, exits := make(chan os.Signal), make(chan struct{}), make(chan int, 1)
	at := &clock{at: time.Unix(1000, 0)}
	var watcher sync.WaitGroup
	watcher.Go(
		func() { watch(signals, done, log, new(node.Reloads), cancel, func(code int) { exits <- code }, at.now) },
	)

	signals <- syscall.SIGUSR2
	signals <- syscall.SIGHUP
	if ctx.Err() != nil {
		t.Error("SIGUSR2 or SIGHUP ends the node")
	}
	signals <- syscall.SIGTERM
	<-ctx.Done()
	if cause := context.Cause(ctx); !strings.Contains(cause.Error(), "terminated") {
		t.Errorf("the cause is %v", cause)
	}
	signals <- syscall.SIGUSR2
	signals <- syscall.SIGHUP
	if len(exits) > 0 {
		t.Error("SIGUSR2 or SIGHUP counts as a second signal")
	}
	for range 5 { // as timeout(1) does, and others
		signals <- syscall.SIGHUP // taken when the ones before have been dealt with
		at.move(sameStop - time.Millisecond)
		signals <- syscall.SIGTERM
	}
	signals <- syscall.SIGHUP
	if len(exits) > 0 {
		t.Error("signals of one stop count as two")
	}
	at.move(sameStop)
	signals <- syscall.SIGINT
	if code := <-exits; code != exitForced {
		t.Errorf("exit code %d", code)
	}
	close(done)
	watcher.Wait()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || strings.Count(string(b), "Log files reopened") != 2 {
		t.Errorf("%s, %v", b, err)
	}
}
