package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/nagios"
)

// startZEO runs the real ZEO server on the storages of a configuration, in dir, and returns its address.
func startZEO(t *testing.T, dir, storages string) string {
	t.Helper()
	return startServer(t, dir, storages, runzeo(t), "-C")
}

// runzeo is the real one.
func runzeo(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(filepath.Dir(python(t)), "runzeo"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// startServer runs a ZEO server that takes runzeo's configuration as its last argument, and returns its address.
func startServer(t *testing.T, dir, storages, name string, args ...string) string {
	t.Helper()
	addr, conf := filepath.Join(dir, "zeo"), filepath.Join(dir, "zeo.conf")
	text := fmt.Sprintf("<zeo>\n  address %s\n  client-conflict-resolution true\n</zeo>\n%s\n", addr, storages)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), name, append(args, conf)...)
	cmd.Dir, cmd.Stderr = dir, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended already
		<-ended
		if t.Failed() {
			t.Logf("log of the ZEO server in %s:\n%s", dir, &log)
		}
	})
	awaitAnswer(t, addr)
	return addr
}

// awaitAnswer waits until a server tells its last transactions.
func awaitAnswer(t *testing.T, addr string) {
	t.Helper()
	e, err := endpoint.Parse(addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := nagios.Ask(ctx, e.Dial)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s never answered: %v", addr, err)
		}
	}
}

// A verdict is what a monitor printed and its exit code.
type verdict struct {
	text string
	code int
}

func verdictOf(t *testing.T, name string, args ...string) verdict {
	t.Helper()
	out, err := exec.CommandContext(within(t), name, args...).Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		return verdict{string(out) + string(exit.Stderr), exit.ExitCode()}
	}
	return verdict{string(out), 0}
}

// realNagios runs the monitor of zc.zrs.
func realNagios(t *testing.T, args ...string) verdict {
	t.Helper()
	const script = "import sys; from zc.zrs.nagios import basic; sys.exit(basic())"
	interpreter, err := filepath.Abs("../.venv/zrs/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(interpreter); err != nil {
		if os.Getenv("ZRSD_REQUIRE_PYTHON") == "1" {
			t.Fatal("zc.zrs is not installed: run integration/venv.sh zrs")
		}
		t.Skip("zc.zrs is not installed: run integration/venv.sh zrs")
	}
	return verdictOf(t, interpreter, append([]string{"-c", script}, args...)...)
}

// mustJudgeAlike runs both monitors on two servers with all kinds of options, around the lag that they have.
func mustJudgeAlike(t *testing.T, primary, secondary string, ours ...string) {
	t.Helper()
	if len(ours) == 0 {
		ours = []string{primary, secondary}
	}
	for _, options := range []string{"", "-m", "-w1", "-w 99999999", "-e1", "-e 99999999", "-w1 -e1 -m",
		"-w1 -e99999999 -m", "--warning=1 --error=99999999", "--output-metrics"} {
		want := realNagios(t, append(strings.Fields(options), primary, secondary)...)
		got := verdictOf(t, zrsd, append(append([]string{"nagios"}, strings.Fields(options)...), ours...)...)
		want.text = strings.ReplaceAll(want.text, "zrs-nagios", "zrsd nagios")
		if strings.TrimSpace(got.text) != strings.TrimSpace(want.text) || got.code != want.code {
			t.Errorf("with %q zrsd says %q (%d), zrs-nagios says %q (%d)", options, got.text, got.code, want.text,
				want.code)
		}
	}
}

// lastLen is the length of the last transaction of the fixture, which came 45 seconds after the one before.
const lastLen = 588

// twoStates are a storage and an earlier state of it.
func twoStates(t *testing.T) (current, old *site) {
	t.Helper()
	b, err := os.ReadFile("../testdata/filestorage/plone-like/Data.fs")
	if err != nil {
		t.Fatal(err)
	}
	current, old = newSite(t, false), newSite(t, false)
	for s, content := range map[*site][]byte{current: b, old: b[:len(b)-lastLen]} {
		if err := os.WriteFile(s.data, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return current, old
}

func TestNagiosJudgesAsTheMonitorOfZcZrsDoes(t *testing.T) {
	current, old := twoStates(t)
	const storage = "<filestorage 1>\n  path %s\n</filestorage>\n"
	primary := startZEO(t, current.dir, fmt.Sprintf(storage, current.data))
	secondary := startZEO(t, old.dir, fmt.Sprintf(storage, old.data))
	t.Run("behind", func(t *testing.T) { mustJudgeAlike(t, primary, secondary) })
	t.Run("ahead", func(t *testing.T) { mustJudgeAlike(t, secondary, primary) })
	t.Run("up to date", func(t *testing.T) { mustJudgeAlike(t, primary, primary) })
	t.Run("primary down", func(t *testing.T) { mustJudgeAlike(t, "/nothing/here", secondary) })
	t.Run("secondary down", func(t *testing.T) { mustJudgeAlike(t, primary, "127.0.0.1:1") })
	t.Run("both down", func(t *testing.T) { mustJudgeAlike(t, "localhost:1", "localhost:2") })

	admin := filepath.Join(old.dir, "admin") // where every zrsd of these tests has it
	mustReach(t, start(t, "primary", old, "--attach", "--replicate-to", filepath.Join(old.dir, "r")), 1)
	t.Run("node behind", func(t *testing.T) { mustJudgeAlike(t, primary, secondary, primary, admin) })
	t.Run("node ahead", func(t *testing.T) { mustJudgeAlike(t, secondary, primary, admin, primary) })
}

func TestNagiosJudgesEachOfSeveralStorages(t *testing.T) {
	current, old := twoStates(t)
	const storages = `
<filestorage first>
  path %s
</filestorage>
<mappingstorage second>
</mappingstorage>
<mappingstorage 1>
</mappingstorage>
<mappingstorage %s>
</mappingstorage>
`
	primary := startZEO(t, current.dir, fmt.Sprintf(storages, current.data, "friday"))
	secondary := startZEO(t, old.dir, fmt.Sprintf(storages, old.data, "thursday"))
	mustJudgeAlike(t, primary, secondary)
	mustJudgeAlike(t, secondary, primary)
}
