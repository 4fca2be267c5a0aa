package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// A process is a running zrsd.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
}

// launch starts binary; what it says is appended to the file log.
func launch(binary, log string, args []string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()                      //nolint:errcheck // the process has it
	cmd := exec.Command(binary, args...) //nolint:gosec,noctx // zrsd itself; it ends by a signal
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s %s: %w", binary, strings.Join(args, " "), err)
	}
	p := &process{cmd, make(chan struct{})}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait() // how it ended is in its log, and is seen by what is asked of it
	}()
	return p, nil
}

func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to zrsd: %w", sig, err)
	}
	return nil
}

// kill ends the process at once, also when it is frozen, and waits until it is gone.
func (p *process) kill() error {
	err := p.signal(syscall.SIGKILL)
	<-p.exited
	return err
}

// stop lets the process come to its end. It is killed when ctx ends first.
func (p *process) stop(ctx context.Context) error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.exited:
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("zrsd does not end: %w", context.Cause(ctx)), p.kill())
	}
}
