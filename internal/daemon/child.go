package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// A Child is a program that was started. Its methods may be called concurrently.
type Child struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended and all that it wrote is there
}

// run starts a program, which ends by a signal.
func run(cmd *exec.Cmd) (*Child, error) {
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", strings.Join(cmd.Args, " "), err)
	}
	c := &Child{cmd, make(chan struct{})}
	go func() {
		defer close(c.exited)
		_ = cmd.Wait() // how it ended is in ProcessState and in what it wrote
	}()
	return c, nil
}

// RunLogged starts a program; what it writes is appended to the file log.
func RunLogged(log string, binary string, args ...string) (*Child, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()                      //nolint:errcheck // the program has it
	cmd := exec.Command(binary, args...) //nolint:gosec,noctx // who calls names it; it ends by a signal
	cmd.Stdout, cmd.Stderr = f, f
	return run(cmd)
}

// Pid returns the process id.
func (c *Child) Pid() int { return c.cmd.Process.Pid }

// Exited is closed when the program has ended.
func (c *Child) Exited() <-chan struct{} { return c.exited }

// Running reports whether the program runs, stopped by a signal or not.
func (c *Child) Running() bool {
	select {
	case <-c.exited:
		return false
	default:
		return true
	}
}

// Signal sends sig. A program that has already ended is no error.
func (c *Child) Signal(sig os.Signal) error {
	if err := c.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to %s: %w", sig, c.cmd.Path, err)
	}
	return nil
}

// Kill ends the program with SIGKILL, also when it is frozen, and waits until it has ended.
func (c *Child) Kill() error {
	if err := c.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-c.exited
	return nil
}

// End asks the program to drain and end. It is killed when ctx ends first.
func (c *Child) End(ctx context.Context) error {
	if err := c.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-c.exited:
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("%s does not end: %w", c.cmd.Path, context.Cause(ctx)), c.Kill())
	}
}
