package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/node"
)

func TestTheFirstSignalDrainsAndTheSecondEnds(t *testing.T) {
	defer goleak.VerifyNone(t)
	path := filepath.Join(t.TempDir(), "log")
	log, err := node.OpenLog(node.LogOptions{Level: "info", File: path})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	signals, done, exits := make(chan os.Signal), make(chan struct{}), make(chan int, 1)
	var watcher sync.WaitGroup
	watcher.Go(func() { watch(signals, done, log, new(node.Reloads), cancel, func(code int) { exits <- code }) })

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
