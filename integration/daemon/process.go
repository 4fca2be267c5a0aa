package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/zrsd/zrsd/admin"
)

// ErrExited says that the process ended while something was expected of it.
var ErrExited = errors.New("zrsd has ended")

// A Process is one running zrsd. Its methods may be called concurrently.
type Process struct {
	cmd    *exec.Cmd
	log    *Log
	client *http.Client
	exited chan struct{} // closed when the process has ended and its log is complete
}

// Start runs binary with args, which name the role first. adminAddr is the address for --admin. What the process writes
// goes to its Log and to mirror, which may be nil.
func Start(binary, adminAddr string, mirror io.Writer, args ...string) (*Process, error) {
	return StartConfigured(binary, adminAddr, mirror, append(args, "--admin", adminAddr)...)
}

// StartConfigured is Start for a process whose configuration file has adminAddr.
func StartConfigured(binary, adminAddr string, mirror io.Writer, args ...string) (*Process, error) {
	client, err := adminClient(adminAddr)
	if err != nil {
		return nil, err
	}
	p := &Process{
		cmd:    exec.Command(binary, args...), //nolint:noctx // ends by a signal
		log:    newLog(mirror),
		client: client,
		exited: make(chan struct{}),
	}
	p.cmd.Stdout = p.log
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", strings.Join(p.cmd.Args, " "), err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // the outcome is in ProcessState, see ExitCode
	}()
	return p, nil
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Log returns everything that the process has written.
func (p *Process) Log() *Log { return p.log }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// ExitCode waits for the end and returns the exit code, or -1 when a signal ended the process.
func (p *Process) ExitCode(ctx context.Context) (int, error) {
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("waiting for zrsd to end: %w\n%s", context.Cause(ctx), p.log.Tail())
	}
}

// Signal sends sig. A process that has already ended is no error.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to zrsd: %w", sig, err)
	}
	return nil
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.exited
	return nil
}

// Stop asks the process to drain and end, and returns its exit code.
func (p *Process) Stop(ctx context.Context) (int, error) {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	return p.ExitCode(ctx)
}

// Await asks for the status until cond holds for it. It fails when the process ends first or ctx does.
func (p *Process) Await(ctx context.Context, what string, cond func(*admin.Status) bool) (*admin.Status, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var last string
	for {
		status, err := p.Status(ctx)
		if err == nil && cond(status) {
			return status, nil
		}
		if last = "none: " + fmt.Sprint(err); err == nil {
			last = describe(status)
		}
		select {
		case <-p.exited:
			return nil, fmt.Errorf("waiting until %s: %w with exit code %d\n%s",
				what, ErrExited, p.cmd.ProcessState.ExitCode(), p.log.Tail())
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting until %s: %w (last answer: %s)\n%s",
				what, context.Cause(ctx), last, p.log.Tail())
		case <-tick.C:
		}
	}
}
