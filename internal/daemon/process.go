package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
)

// ErrExited says that the process ended while something was expected of it.
var ErrExited = errors.New("zrsd has ended")

// A Process is one running zrsd. Its methods may be called concurrently.
type Process struct {
	*Child
	log    *Log
	dial   admin.Dialer
	client *http.Client
}

// Start runs binary with args, which name the role first. adminAddr is the address for --admin. What the process writes
// goes to its Log and to mirror, which may be nil.
func Start(binary, adminAddr string, mirror io.Writer, args ...string) (*Process, error) {
	return StartConfigured(binary, adminAddr, mirror, append(args, "--admin", adminAddr)...)
}

// StartConfigured is Start for a process whose configuration file has adminAddr.
func StartConfigured(binary, adminAddr string, mirror io.Writer, args ...string) (*Process, error) {
	e, err := endpoint.Parse(adminAddr)
	if err != nil {
		return nil, err
	}
	log := newLog(mirror)
	cmd := exec.Command(binary, args...) //nolint:gosec,noctx // zrsd itself; it ends by a signal
	cmd.Stdout, cmd.Stderr = log, log
	child, err := run(cmd)
	if err != nil {
		return nil, err
	}
	return &Process{Child: child, log: log, dial: e.Dial, client: clientOf(e)}, nil
}

// Log returns everything that the process has written.
func (p *Process) Log() *Log { return p.log }

// ExitCode waits for the end and returns the exit code, or -1 when a signal ended the process.
func (p *Process) ExitCode(ctx context.Context) (int, error) {
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("waiting for zrsd to end: %w\n%s", context.Cause(ctx), p.log.Tail())
	}
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
	st, err := Await(ctx, p.Status, p.exited, cond)
	if errors.Is(err, ErrExited) {
		err = fmt.Errorf("%w with exit code %d", err, p.cmd.ProcessState.ExitCode())
	}
	if err != nil {
		return nil, fmt.Errorf("waiting until %s: %w\n%s", what, err, p.log.Tail())
	}
	return st, nil
}

// Build compiles zrsd from the module in the folder root into dir, with the build tags of releases, and returns the
// path of the binary. Extra flags go to go build.
func Build(ctx context.Context, root, dir string, flags ...string) (string, error) {
	binary := filepath.Join(dir, "zrsd")
	tags, err := os.ReadFile(filepath.Join(root, "packaging", "tags"))
	if err != nil {
		return "", fmt.Errorf("reading the build tags: %w", err)
	}
	args := append([]string{"build", "-tags", strings.TrimSpace(string(tags)), "-o", binary}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/zrsd")...) //nolint:gosec // flags of go build
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building zrsd: %w\n%s", err, out)
	}
	return binary, nil
}
