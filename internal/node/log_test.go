package node

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

func openLog(t *testing.T, opt LogOptions) *Log {
	t.Helper()
	l, err := OpenLog(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAReopenedLogGoesOnUnderItsName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zrsd.log")
	l := openLog(t, LogOptions{Level: "info", File: path})
	l.Info("first")
	l.Debug("hidden")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Info("second")
	l.Reopen()
	l.Info("third")
	if old := content(t, path+".1"); !strings.Contains(old, "first") || !strings.Contains(old, "second") ||
		strings.Contains(old, "hidden") {
		t.Errorf("the old file has %q", old)
	}
	if now := content(t, path); !strings.Contains(now, "Log files reopened") || !strings.Contains(now, "third") {
		t.Errorf("the new file has %q", now)
	}
}

func TestALogThatCannotBeReopenedGoesOnInTheOldFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l := openLog(t, LogOptions{Level: "info", File: filepath.Join(dir, "zrsd.log")})
	moved := dir + ".away"
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	if got := content(t, filepath.Join(moved, "zrsd.log")); !strings.Contains(got, "could not be reopened") {
		t.Errorf("the log has %q", got)
	}
}

func TestALogOfObjectsHasOnePerLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zrsd.log")
	l := openLog(t, LogOptions{Level: "debug", JSON: true, File: path})
	l.Info("one", "n", 1)
	l.Debug("two")
	lines := strings.Split(strings.TrimSpace(content(t, path)), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %q", lines)
	}
	for _, line := range lines {
		if err := json.Unmarshal([]byte(line), &map[string]any{}); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestALogThatMakesNoSenseIsRefused(t *testing.T) {
	var config *ConfigError
	if _, err := OpenLog(LogOptions{Level: "loud"}); !errors.As(err, &config) {
		t.Errorf("got %v", err)
	}
	var start *StartError
	if _, err := OpenLog(LogOptions{Level: "info", File: t.TempDir()}); !errors.As(err, &start) {
		t.Errorf("got %v", err)
	}
}

func TestNobodyForgesALineOrSpeaksToTheTerminal(t *testing.T) {
	for _, json := range []bool{false, true} {
		for _, name := range []string{"x\n2026-01-01T00:00:00.000Z [ERROR] zrsd: forged", "\x1b[2J", "\u009b2J", "\u202e", "\x7f"} {
			path := filepath.Join(t.TempDir(), "zrsd.log")
			l := openLog(t, LogOptions{Level: "info", File: path, JSON: json})
			l.With("label", name).Named("zeo").Info("("+name+") named itself", "reason", errors.New(name))
			got := content(t, path)
			for _, line := range strings.Split(strings.TrimSuffix(got, "\n"), "\n") {
				if strings.HasPrefix(line, "2026-01-01") ||
					strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Errorf("%q is logged as %q", name, got)
				}
			}
		}
	}
}
