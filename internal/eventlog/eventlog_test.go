package eventlog

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
)

const preset = `------\n%(asctime)s %(levelname)s %(name)s %(message)s`

func open1(t *testing.T, level int, s Sink) (l *Log, path string) {
	t.Helper()
	s.Path = filepath.Join(t.TempDir(), "zeo.log")
	if s.Format == "" {
		s.Format = "%(levelname)s %(name)s %(message)s"
	}
	l, err := Open(level, []Sink{s})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, s.Path
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRecordsHaveNameLevelMessageAndPairs(t *testing.T) {
	l, path := open1(t, 20, Sink{})
	l.Named("storage").With("file", "a b").Info("open", "size", 7, "error", errors.New("x\ny"))
	l.Debug("hidden")
	l.ResetNamed("ZEO.StorageServer").Error("Transaction timeout after 5 seconds", Severity, Critical)
	l.Warn("odd", "empty", "")
	want := `INFO zrsd.storage open file="a b" size=7 error="x\ny"
CRITICAL ZEO.StorageServer Transaction timeout after 5 seconds
WARNING zrsd odd empty=""
`
	if got := content(t, path); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestTheStricterOfBothLevelsCounts(t *testing.T) {
	for _, c := range []struct{ log, sink, lines int }{{20, 0, 3}, {20, 30, 2}, {40, 0, 1}, {10, 0, 4}, {1, 5,
		5}, {50, 0, 0}} {
		l, path := open1(t, c.log, Sink{Level: c.sink})
		l.Trace("x")
		l.Debug("x")
		l.Info("x")
		l.Warn("x")
		l.Error("x")
		if got := strings.Count(content(t, path), "\n"); got != c.lines {
			t.Errorf("level %d with a sink of %d lets %d records through, want %d", c.log, c.sink, got, c.lines)
		}
	}
}

func TestAMovedFileIsOpenedAgain(t *testing.T) {
	l, path := open1(t, 20, Sink{})
	l.Info("first")
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	if got := content(t, path); got != "INFO zrsd Log files reopened successfully\n" {
		t.Errorf("the new file has %q", got)
	}
	if got := content(t, path+".old"); got != "INFO zrsd first\n" {
		t.Errorf("the old file has %q", got)
	}
}

func TestAFileThatIsFullIsMovedAndTheOldestIsLost(t *testing.T) {
	l, path := open1(t, 20, Sink{Format: "%(message)s", MaxSize: 10, OldFiles: 2})
	for _, text := range []string{"aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff", "a line that is longer than the " +
		"limit", "g"} {
		l.Info(text)
	}
	got := content(t, path) + "|" + content(t, path+".1") + "|" + content(t, path+".2")
	if want := "g\n|a line that is longer than the limit\n|eeee\nffff\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := os.Stat(path + ".3"); err == nil {
		t.Error("more old files are kept than asked for")
	}
}

func TestALogThatCannotBeOpenedIsAnError(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good")
	for _, bad := range []Sink{
		{Path: t.TempDir()}, {Path: good, Format: "%(x)s"}, {Path: good, Format: "%d"}, {Path: good,
			Format: "%(name)d"},
		{Path: good, Format: "100%"}, {Path: good, Date: "%"}, {Path: good, Date: "%Q"},
	} {
		if l, err := Open(20, []Sink{{Path: good}, bad}); err == nil {
			t.Errorf("%+v was opened", bad)
			_ = l.Close()
		}
	}
}

const judgeFormat = `
import json, logging, os, sys, time
os.environ['TZ'] = 'UTC'
time.tzset()
from ZConfig.components.logger.formatter import escaped_string
def line(format, date):
    r = logging.LogRecord('ZEO.x', 30, '', 0, 'text', (), None)
    r.created, r.msecs, r.process = 1234567890.25, 250.0, 77
    return logging.Formatter(escaped_string(format), date).format(r)
json.dump([line(f, d) for f, d in json.load(sys.stdin)], sys.stdout)
`

func TestFormatsAreThoseOfPython(t *testing.T) {
	python, err := filepath.Abs("../../.venv/zrs/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		if os.Getenv("ZRSD_REQUIRE_PYTHON") == "1" {
			t.Fatal("the Python peers are not installed: run make venv")
		}
		t.Skip("the Python peers are not installed: run make venv")
	}
	samples := [][2]string{
		{preset, "%Y-%m-%dT%H:%M:%S"}, {"%(asctime)s %(message)s", "%d/%b/%y %I:%M %p %j %a %A %B %e %F %T %%"},
		{"%(levelname)-10s|%(levelno)5d|%(name)8s|%(message).2s", "%H"}, {"%(created)f %(msecs)03d %(msecs)d%%", "%S"},
		{`\t%(process)d\n%(levelno)s`, "x"}, {"%(levelno)f %(levelno)i %(created)d", ""},
	}
	in, err := json.Marshal(samples)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", judgeFormat)
	cmd.Stdin = strings.NewReader(string(in))
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	r := &record{time: time.UnixMilli(1234567890250).UTC(), level: 30, name: "ZEO.x", message: "text"}
	pid := fields["process"]
	fields["process"] = func(*record, string) any { return 77 }
	defer func() { fields["process"] = pid }()
	for i, s := range samples {
		format, err := ParseFormat(s[0])
		if err != nil {
			t.Fatal(err)
		}
		date, err := ParseDate(s[1])
		if err != nil {
			t.Fatal(err)
		}
		if got := format.line(r, date); got != want[i]+"\n" {
			t.Errorf("%q, %q: Python writes %q, we %q", s[0], s[1], want[i], got)
		}
	}
}

// What clients and peers call themselves is in messages and in values.
func TestNobodyForgesALineOrSpeaksToTheTerminal(t *testing.T) {
	for _, name := range []string{
		"x\n------\n2026-01-01T00:00:00 CRITICAL zrsd forged", "x\rCRITICAL forged", "\x1b[2J", "\u009b2J", "\u202e", "\u2028",
		"\x9b", "\x7f",
	} {
		l, path := open1(t, 20, Sink{})
		l.With("label", name).Info("("+name+" 127.0.0.1:9) named itself", "reason", errors.New(name))
		got := content(t, path)
		if strings.Count(got, "\n") != 1 || strings.ContainsFunc(got, func(r rune) bool {
			return r != '\n' && (!unicode.IsPrint(r) || r == unicode.ReplacementChar)
		}) {
			t.Errorf("%q is logged as %q", name, got)
		}
	}
}
