package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
)

// TestACommandThatWasStoppedSaysNothingOfTheNode: a signal is no failure of who was asked, whatever the command was
// waiting for.
func TestACommandThatWasStoppedSaysNothingOfTheNode(t *testing.T) {
	dir := t.TempDir()
	for _, command := range []string{
		"find ADDR 0x1", "refs ADDR", "blobs audit ADDR", "blobs stats ADDR", "blobs convert ADDR --to bushy",
		"verify --once ADDR", "heal ADDR", "pack ADDR", "repozo -B -r " + dir + " --from ADDR",
	} {
		ln, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(t.TempDir(), "admin"))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		var stderr strings.Builder
		args := strings.Fields(strings.ReplaceAll(command, "ADDR", ln.Addr().String()))
		cmd := exec.CommandContext(t.Context(), "zrsd", args...)
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil { // it has asked
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitForced ||
			strings.Contains(stderr.String(), "check that") || strings.Contains(stderr.String(), "context canceled") {
			t.Errorf("zrsd %s: %v: %s", command, err, &stderr)
		}
	}
}

// TestANodeThatDoesNotAnswerIsNamedWithoutAGuess: that its address is wrong is none.
func TestANodeThatDoesNotAnswerIsNamedWithoutAGuess(t *testing.T) {
	addr, err := optionalAddress("--admin", "db1:5001")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		err  error
		code int
	}{
		{&admin.SilentError{}, exitUnreachable},
		{&admin.SilentError{Sent: true}, exitUnreachable},
		{fmt.Errorf("%w (%w)", admin.ErrUnknownOutcome, &admin.SilentError{Sent: true}), exitFailed},
		{context.Canceled, exitForced},
		{&stoppedError{syscall.SIGTERM}, exitForced},
	} {
		err := asked("status", addr, c.err)
		if exitCode(err) != c.code || hint(err) != "" || !strings.Contains(err.Error(), "db1:5001") {
			t.Errorf("%v: exit code %d, hint %q", err, exitCode(err), hint(err))
		}
	}
}
