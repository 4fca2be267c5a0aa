package integration

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// lockedExit is the exit code of owner.py when another process holds the lock.
const lockedExit = 3

// python returns the interpreter that has the real ZODB. Without one the test is skipped, or fails where it is
// required.
func python(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../.venv/zodb/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		const help = "the Python peers are not installed: run make venv (it needs python3 with the venv module)"
		if os.Getenv("ZRSD_REQUIRE_PYTHON") == "1" {
			t.Fatal(help)
		}
		t.Skip(help)
	}
	return path
}

// A survey is what the real ZODB found in a storage.
type survey struct {
	LastTid      zodb.Tid   `json:"last_tid"`
	Transactions int        `json:"transactions"`
	Records      int        `json:"records"`
	History      string     `json:"history"` // hash of every transaction and record
	Blobs        int        `json:"blobs"`
	BlobHistory  string     `json:"blob_history"` // hash of every blob revision
	Objects      int        `json:"objects"`      // that the root leads to
	Current      string     `json:"current"`      // hash of those and their blobs
	Dangling     []zodb.Oid `json:"dangling"`     // references to objects that are not there
}

// surveyOf lets the real ZODB read everything in the site.
func surveyOf(t *testing.T, s *site) survey {
	t.Helper()
	cmd := exec.CommandContext(within(t), python(t), append([]string{"python/survey.py"}, s.args()...)...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("ZODB cannot read %s: %v\n%s", s.data, err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var found survey
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return found
}

// A pythonOwner is a real ZODB in a process of its own that has a Data.fs open and obeys commands.
type pythonOwner struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	answers *bufio.Scanner
	stderr  *strings.Builder
}

// startOwner opens the site with the real ZODB and returns when that is done.
func startOwner(t *testing.T, s *site) *pythonOwner {
	t.Helper()
	o := launchOwner(t, s)
	o.answer(t, "open")
	return o
}

func launchOwner(t *testing.T, s *site) *pythonOwner {
	t.Helper()
	o := &pythonOwner{stderr: &strings.Builder{}}
	o.cmd = exec.CommandContext(within(t), python(t), append([]string{"python/owner.py"}, s.args()...)...)
	o.cmd.Stderr = o.stderr
	var err error
	if o.stdin, err = o.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	o.answers = bufio.NewScanner(stdout)
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.kill(t) })
	return o
}

// do sends one command and returns the last tid of the storage after it.
func (o *pythonOwner) do(t *testing.T, command string) zodb.Tid {
	t.Helper()
	o.begin(t, command)
	return o.answer(t, command)
}

// begin sends a command whose answer nobody may live to see.
func (o *pythonOwner) begin(t *testing.T, command string) {
	t.Helper()
	if _, err := io.WriteString(o.stdin, command+"\n"); err != nil {
		t.Fatalf("python %s: %v\n%s", command, err, o.stderr)
	}
}

func (o *pythonOwner) answer(t *testing.T, command string) zodb.Tid {
	t.Helper()
	if !o.answers.Scan() {
		t.Fatalf("python %s: no answer: %v\n%s", command, o.answers.Err(), o.stderr)
	}
	var a struct {
		Tid   zodb.Tid `json:"tid"`
		Error string   `json:"error"`
	}
	if err := json.Unmarshal(o.answers.Bytes(), &a); err != nil || a.Error != "" {
		t.Fatalf("python %s: %s", command, o.answers.Text())
	}
	return a.Tid
}

// close ends the process politely and returns the last tid.
func (o *pythonOwner) close(t *testing.T) zodb.Tid {
	t.Helper()
	tid := o.do(t, "close")
	if err := o.cmd.Wait(); err != nil {
		t.Fatalf("python: %v\n%s", err, o.stderr)
	}
	return tid
}

// kill ends the process with SIGKILL, if it still runs.
func (o *pythonOwner) kill(t *testing.T) {
	t.Helper()
	if o.cmd.ProcessState != nil {
		return
	}
	if err := o.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	var exit *exec.ExitError
	if err := o.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Error(err)
	}
}
