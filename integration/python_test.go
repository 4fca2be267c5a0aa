package integration

import (
	"bufio"
	"context"
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

// python returns the interpreter that has the newest real ZODB.
func python(t *testing.T) string {
	t.Helper()
	return interpreter(t, "zodb")
}

// interpreter returns the one of the virtual environment: zodb, zeo5 or zrs. Without one the test is skipped, or fails
// where it is required.
func interpreter(t *testing.T, environment string) string {
	t.Helper()
	path, err := filepath.Abs("../.venv/" + environment + "/bin/python")
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

// ask runs a script with the newest real ZODB and decodes the JSON that it prints into answer.
func ask(t *testing.T, answer any, script string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(within(t), python(t), append([]string{"python/" + script}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%s %q: %v\n%s", script, args, err, exit.Stderr)
		}
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, answer); err != nil {
		t.Fatalf("%s %q: %v in %s", script, args, err, out)
	}
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
func surveyOf(t *testing.T, s *site) (found survey) {
	t.Helper()
	ask(t, &found, "survey.py", s.args()...)
	return found
}

// A pyProcess runs one of the scripts that obey commands.
type pyProcess struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	answers *bufio.Scanner
	stderr  *strings.Builder
}

// startOwner opens the site with the real ZODB, as its owner, and returns when that is done.
func startOwner(t *testing.T, s *site) *pyProcess {
	t.Helper()
	return startPython(t, "zodb", "owner.py", s.args()...)
}

// startPython runs the script and returns when it takes commands. It is killed when the test ends.
func startPython(t *testing.T, environment, script string, args ...string) *pyProcess {
	t.Helper()
	p := launchPython(t, environment, script, args...)
	p.answer(t, "open")
	return p
}

func launchPython(t *testing.T, environment, script string, args ...string) *pyProcess {
	t.Helper()
	return launchPythonUntil(within(t), t, environment, script, args...)
}

// launchPythonUntil runs a script for longer than the steps of one story take.
func launchPythonUntil(ctx context.Context, t *testing.T, environment, script string, args ...string) *pyProcess {
	t.Helper()
	p := &pyProcess{stderr: &strings.Builder{}}
	args = append([]string{"python/" + script}, args...)
	p.cmd = exec.CommandContext(ctx, interpreter(t, environment), args...)
	p.cmd.Stderr = p.stderr
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.answers = bufio.NewScanner(stdout)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill(t)
		if t.Failed() && p.stderr.Len() > 0 {
			t.Logf("standard error of %q:\n%s", args, p.stderr)
		}
	})
	return p
}

// do sends one command and returns the last tid of the storage after it.
func (p *pyProcess) do(t *testing.T, command string) zodb.Tid {
	t.Helper()
	p.begin(t, command)
	return p.answer(t, command)
}

// begin sends a command whose answer nobody may live to see.
func (p *pyProcess) begin(t *testing.T, command string) {
	t.Helper()
	if _, err := io.WriteString(p.stdin, command+"\n"); err != nil {
		t.Fatalf("python %s: %v\n%s", command, err, p.stderr)
	}
}

func (p *pyProcess) answer(t *testing.T, command string) zodb.Tid {
	t.Helper()
	if !p.answers.Scan() {
		t.Fatalf("python %s: no answer: %v\n%s", command, p.answers.Err(), p.stderr)
	}
	var a struct {
		Tid   zodb.Tid `json:"tid"`
		Error string   `json:"error"`
	}
	if err := json.Unmarshal(p.answers.Bytes(), &a); err != nil || a.Error != "" {
		t.Fatalf("python %s: %s", command, p.answers.Text())
	}
	return a.Tid
}

// close ends the process politely and returns the last tid.
func (p *pyProcess) close(t *testing.T) zodb.Tid {
	t.Helper()
	tid := p.do(t, "close")
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("python: %v\n%s", err, p.stderr)
	}
	return tid
}

// kill ends the process with SIGKILL, if it still runs.
func (p *pyProcess) kill(t *testing.T) {
	t.Helper()
	if p.cmd.ProcessState != nil {
		return
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Error(err)
	}
}
