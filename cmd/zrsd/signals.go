package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/zrsd/zrsd/internal/node"
)

// A stop is that of a command which a user ran, by a signal.
type stop struct{ signal atomic.Pointer[stoppedError] }

// A stoppedError says that a signal has ended a command. It is no failure.
type stoppedError struct{ signal os.Signal }

func (e *stoppedError) Error() string {
	if e.signal == syscall.SIGTERM {
		return "stopped by SIGTERM"
	}
	return "stopped by SIGINT"
}

// Is reports whether target is context.Canceled.
func (*stoppedError) Is(target error) bool { return target == context.Canceled }

type stopKey struct{}

// end returns what became of a command: where it was stopped, that is what it ended with, whatever it was waiting for.
func (s *stop) end(err error) error {
	by := s.signal.Load()
	var stopped *stoppedError
	switch {
	case by == nil || err == nil || errors.Is(err, errTold): // who has told of damage has
		return err
	case errors.Is(err, context.Canceled) && !errors.As(err, &stopped):
		err = by // without "context canceled"
	}
	return coded(exitForced, err)
}

// untilStopped returns a context that ends at SIGINT or SIGTERM, for a command that a user runs.
func untilStopped(ctx context.Context) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case sig := <-signals:
			by := &stoppedError{sig}
			if s, ok := ctx.Value(stopKey{}).(*stop); ok {
				s.signal.Store(by)
			}
			cancel(by)
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
		watcher.Wait()
	}
}

// sameStop is how long after a signal to stop another one counts as the same. timeout(1) sends one to its child and one
// to its group, and supervisors and container runtimes do the same.
const sameStop = time.Second

// withSignals returns a context that ends at the first SIGTERM or SIGINT. A later one ends the process at once.
// SIGUSR2 reopens the log, SIGHUP has certificates read again. stop ends all that and waits for it.
func withSignals(ctx context.Context, log serverLog, reloads *node.Reloads) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR2, syscall.SIGHUP)
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() { watch(signals, done, log, reloads, cancel, os.Exit, time.Now) })
	return ctx, func() {
		close(done) // the signals stay ours: a second one in these last moments must not be what ends the process
		watcher.Wait()
		cancel(nil)
	}
}

// watch acts on signals until done is closed.
func watch(signals <-chan os.Signal, done <-chan struct{}, log serverLog, reloads *node.Reloads,
	cancel context.CancelCauseFunc, exit func(int), now func() time.Time) {
	var stopping time.Time // when the last signal to stop came; zero: none has
	for {
		select {
		case <-done:
			return
		case sig := <-signals:
			switch {
			case sig == syscall.SIGUSR2:
				log.Reopen()
			case sig == syscall.SIGHUP:
				if reloads.Reload() == 0 {
					log.Info("SIGHUP: there are no certificates to reload")
				}
			case stopping.IsZero():
				stopping = now()
				log.Info("stopping; send a second signal, one second later or more, to stop without waiting", "signal",
					sig.String())
				cancel(fmt.Errorf("stopped by signal: %v", sig))
			case now().Sub(stopping) < sameStop:
				stopping = now()
				log.Info("ignored a repeated signal within one second", "signal", sig.String())
			default:
				log.Info("stopped by a second signal before connections were drained", "signal", sig.String())
				exit(exitForced)
			}
		}
	}
}
