package zeoclients

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// interpreter makes a program that says these lines instead of Python's clients, and ends with its standard input.
func interpreter(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "python")
	script := "#!/bin/sh\n"
	for _, line := range lines {
		script += "echo '" + line + "'\n"
	}
	if err := os.WriteFile(path, []byte(script+"cat >/dev/null\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

const hello = `{"zeo": "6.2", "clients": ["plain", "fallback"]}`

func TestEachClientHasItsTimes(t *testing.T) {
	c, err := Start(interpreter(t, hello, `{"client": "plain", "at": 100.5}`, `{"client": "plain", "at": 103}`,
		`{"client": "fallback", "at": 101}`, `{"client": "fallback", "at": 102, "error": "no"}`,
		`{"client": "fallback", "at": 107}`), time.Second, "a:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitAll(t.Context(), time.Unix(102, 0)); err != nil {
		t.Fatal(err)
	}
	if first := c.First(time.Unix(101, 0)); first["plain"] != 2*time.Second || first["fallback"] != 6*time.Second {
		t.Errorf("first after a time: %v", first)
	}
	if pause := c.Pause(); pause["plain"] != 2500*time.Millisecond || pause["fallback"] != 6*time.Second {
		t.Errorf("longest pauses: %v", pause)
	}
	if c.Version != "6.2" || len(c.Names) != 2 || c.Pid() == 0 {
		t.Errorf("got %+v", c)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestWhatAClientMissesIsLost(t *testing.T) {
	c, err := Start(interpreter(t, hello, `{"client": "plain", "at": 100, "lost": "commit 3"}`,
		`{"client": "plain", "at": 101}`, `{"client": "fallback", "at": 101}`), time.Second, "a:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitAll(t.Context(), time.Unix(100, 0)); err != nil {
		t.Fatal(err)
	}
	if lost := c.Lost(); len(lost) != 1 || !strings.Contains(lost[0], "commit 3") {
		t.Errorf("lost: %q", lost)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestAClientThatDoesNotCommitIsNamedWithItsError(t *testing.T) {
	c, err := Start(interpreter(t, hello, `{"client": "plain", "at": 100}`,
		`{"client": "fallback", "at": 100, "error": "ReadOnlyError"}`), time.Second, "a:1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.AwaitAll(ctx, time.Unix(99, 0)); err == nil || !strings.Contains(err.Error(), "fallback") {
		t.Errorf("got %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestAnInterpreterWithoutZEOIsNamed(t *testing.T) {
	if _, err := Start(interpreter(t, "no module"), time.Second, "a:1"); err == nil ||
		!strings.Contains(err.Error(), "no module") {
		t.Errorf("got %v", err)
	}
}

func TestAnInterpreterIsCheckedForZEO(t *testing.T) {
	if err := Check(t.Context(), interpreter(t, "ZEO")); err != nil {
		t.Error(err)
	}
	for _, python := range []string{interpreter(t), interpreter(t, "no module"), "/no/such/python"} {
		if err := Check(t.Context(), python); err == nil || !strings.Contains(err.Error(), "not a Python with ZEO") {
			t.Errorf("%s: %v", python, err)
		}
	}
}
