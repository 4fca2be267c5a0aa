package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
)

func TestPackTimesAreThoseOfZeopack(t *testing.T) {
	zone := time.FixedZone("here", 2*3600)
	now := time.Date(2026, 3, 10, 14, 30, 5, 600, zone)
	for _, c := range []struct {
		days  int
		clock string
		want  time.Time
	}{
		{0, "", time.Time{}},
		{3, "", time.Date(2026, 3, 7, 14, 30, 5, 600, zone)},
		{0, "4", time.Date(2026, 3, 10, 4, 0, 0, 0, zone)},
		{0, "04:05", time.Date(2026, 3, 10, 4, 5, 0, 0, zone)},
		{10, "23:59:58", time.Date(2026, 2, 28, 23, 59, 58, 0, zone)},
	} {
		if got, err := packTime(now, c.days, c.clock); err != nil || !got.Equal(c.want) {
			t.Errorf("%d days, %q: %v, %v; want %v", c.days, c.clock, got, err, c.want)
		}
	}
	for _, wrong := range []string{"24", "12:60", "1:2:3:4", "noon", " 1", "-1"} {
		if _, err := packTime(now, 0, wrong); err == nil || !strings.Contains(err.Error(), "HH:MM") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	for _, days := range []int{-1, maxDays + 1} {
		if _, err := packTime(now, days, ""); err == nil {
			t.Errorf("%d days are accepted", days)
		}
	}
}

func TestFlagsOfAPackAreChoicesOnlyWhenGiven(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		args        []string
		gc, keepOld *bool
	}{
		{nil, nil, nil},
		{[]string{"--gc", "--no-keep-old"}, &yes, &no},
		{[]string{"--no-gc", "--keep-old"}, &no, &yes},
		{[]string{"--gc=false", "--no-keep-old=false"}, &no, &yes},
	} {
		flags := packCommand().Flags()
		if err := flags.Parse(c.args); err != nil {
			t.Fatal(err)
		}
		req, err := new(packOptions).request(flags, time.Now())
		same := func(a, b *bool) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }
		if err != nil || !same(req.GC, c.gc) || !same(req.KeepOld, c.keepOld) {
			t.Errorf("%v: %+v, %v", c.args, req, err)
		}
	}
}

// An endless pack goes on until its context ends.
type endlessPack struct {
	admin.Control
	running, ended chan struct{}
}

func (p *endlessPack) Pack(ctx context.Context, _ string, _ admin.PackRequest, _ func(admin.PackProgress)) (
	admin.PackResult, error) {
	close(p.running)
	<-ctx.Done()
	close(p.ended)
	return admin.PackResult{}, context.Cause(ctx)
}

// serveEndlessly answers at addr with an endless pack until the test ends.
func serveEndlessly(t *testing.T) (addr string, pack *endlessPack) {
	t.Helper()
	addr = filepath.Join(t.TempDir(), "admin")
	ln, err := new(net.ListenConfig).Listen(t.Context(), "unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	pack = &endlessPack{running: make(chan struct{}), ended: make(chan struct{})}
	server := admin.Serve(ln, fixedStatus{}, pack, hclog.NewNullLogger())
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return addr, pack
}

func TestAnInterruptedCommandGivesThePackUp(t *testing.T) {
	addr, pack := serveEndlessly(t)
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		<-pack.running
		interrupt()
	}()
	var out strings.Builder
	err := new(packOptions).run(ctx, addr, admin.PackRequest{}, &out, &out)
	if !errors.Is(err, errInterrupted) || exitCode(err) != exitForced || hint(err) != "" || out.Len() > 0 {
		t.Errorf("got %v, exit code %d, output %q", err, exitCode(err), &out)
	}
	<-pack.ended
}

func TestSignalsInterruptACommand(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		addr, pack := serveEndlessly(t)
		var stderr strings.Builder
		cmd := exec.CommandContext(t.Context(), "zrsd", "pack", addr) // testscript puts it into the PATH
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-pack.running
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitForced ||
			!strings.Contains(stderr.String(), "interrupted: the server aborts the pack") {
			t.Errorf("%v: got %v, %s", sig, err, &stderr)
		}
		<-pack.ended
	}
}

func TestEachOutcomeOfARequestHasItsExitCode(t *testing.T) {
	addr, err := endpoint.Parse("127.0.0.1:5001")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		err  error
		code int
	}{
		{admin.ErrCut, exitFailed},
		{admin.ErrNoAnswer, exitUnreachable},
		{errors.New("connection refused"), exitUnreachable},
		{&admin.Refusal{Reason: admin.NoStorage}, exitUnreachable},
		{&admin.Refusal{Reason: admin.Invalid}, exitUsage},
		{&admin.Refusal{Reason: admin.NotAllowed}, exitRefused},
		{&admin.Refusal{Reason: admin.Busy}, exitNotNow},
		{&admin.Refusal{Reason: admin.Unavailable}, exitNotNow},
		{&admin.Refusal{Reason: admin.Failed}, exitFailed},
		{&admin.Refusal{Reason: "of a newer server"}, exitFailed},
		{nil, exitOK},
	} {
		if got := exitCode(asked("pack", addr, c.err)); got != c.code {
			t.Errorf("%#v: exit code %d, want %d", c.err, got, c.code)
		}
	}
}
