// Package zeoclients runs real ZEO clients, in Python, that commit all the time, and records when each commit was
// acknowledged. A client of our own cannot replace them: it does not look for the primary as ZEO's does.
package zeoclients

import (
	"bufio"
	"context"
	_ "embed" // the script
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed clients.py
var script string

// Clients are several ZEO clients in one process: plain ones, with the addresses in this order and in the other, one
// with read-only-fallback, and one with several threads. Their methods may be called concurrently.
type Clients struct {
	Version string   // of ZEO
	Names   []string // of the clients

	cmd   *exec.Cmd
	stdin io.Closer
	says  *tail
	heard sync.WaitGroup

	mu      sync.Mutex
	commits map[string][]time.Time // that were acknowledged, in order, by client
	errors  map[string][]string    // the last ones
	lost    []string               // the first ones
	news    chan struct{}          // closed, and replaced, with each commit
	ended   error                  // why there is nothing more to hear; nil: there is
}

// maxErrors is how many errors of a client are kept.
const maxErrors = 20

// closing is for how long what an interpreter leaves behind may keep its output open.
const closing = 5 * time.Second

// Check says what is wrong with an interpreter that has no ZEO.
func Check(ctx context.Context, python string) error {
	const program = "import ZEO; print(ZEO.__name__)"
	cmd := exec.CommandContext(ctx, python, "-c", program)
	cmd.WaitDelay = closing
	out, err := cmd.CombinedOutput()
	if err == nil && strings.TrimSpace(string(out)) == "ZEO" {
		return nil
	}
	said := strings.TrimSpace(string(out))
	return fmt.Errorf("%s is not a Python with ZEO: give the path of one: %w", python,
		errors.Join(err, errors.New("its output: "+said[max(0, len(said)-maxSaid):])))
}

// maxSaid is how much of what an interpreter says is shown.
const maxSaid = 300

// Start runs clients that each pause between commits, until Close. An address is host:port, or the path of a socket.
func Start(python string, pause time.Duration, addresses ...string) (*Clients, error) {
	c := &Clients{
		cmd: exec.Command(python, //nolint:gosec,noctx // the interpreter is asked for; it ends with its stdin
			append([]string{"-c", script, fmt.Sprint(pause.Seconds())}, addresses...)...),
		says: new(tail), commits: make(map[string][]time.Time), errors: make(map[string][]string),
		news: make(chan struct{}),
	}
	c.cmd.Stderr = c.says
	c.cmd.WaitDelay = closing // whoever it has started may hold its standard error
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	c.stdin = stdin
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting real ZEO clients with %s: %w", python, err)
	}
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &struct {
		ZEO     *string   `json:"zeo"`
		Clients *[]string `json:"clients"`
	}{&c.Version, &c.Names}) != nil {
		_ = c.cmd.Process.Kill() // it has ended, or says something else
		err := errors.Join(errors.New("it is not a Python with ZEO"), c.cmd.Wait())
		return nil, fmt.Errorf("starting real ZEO clients with %s: its output is %q: %w: %s", python, lines.Text(), err,
			c.says)
	}
	c.heard.Go(func() { c.listen(lines) })
	return c, nil
}

// Pid is that of the process.
func (c *Clients) Pid() int { return c.cmd.Process.Pid }

// listen notes what the clients say, until they have ended.
func (c *Clients) listen(lines *bufio.Scanner) {
	for lines.Scan() {
		var line struct {
			Client, Error, Lost string
			At                  float64
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			continue
		}
		at := time.Unix(0, int64(line.At*1e9))
		if line.Lost != "" {
			c.noteLost(fmt.Sprintf("%s at %s: %s", line.Client, at.UTC().Format(time.RFC3339Nano), line.Lost))
			continue
		}
		c.note(line.Client, line.Error, at)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = errors.Join(errors.New("the real ZEO clients have ended: "+c.says.String()), lines.Err())
	c.wake()
}

func (c *Clients) note(client, failure string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if failure == "" {
		c.commits[client] = append(c.commits[client], at)
		c.wake()
		return
	}
	last := append(c.errors[client], failure)
	c.errors[client] = last[max(len(last)-maxErrors, 0):]
}

func (c *Clients) noteLost(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.lost) < maxErrors {
		c.lost = append(c.lost, text)
	}
}

// Lost returns which acknowledged commits of a client were not there when it looked again: the first twenty of them.
func (c *Clients) Lost() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lost)
}

// wake is called with mu held.
func (c *Clients) wake() {
	close(c.news)
	c.news = make(chan struct{})
}

// Close ends all.
func (c *Clients) Close() error {
	_ = c.stdin.Close() // it may have ended
	c.heard.Wait()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("real ZEO clients: %w: %s", err, c.says)
	}
	return nil
}

// AwaitAll waits until a commit of each client was acknowledged after a time.
func (c *Clients) AwaitAll(ctx context.Context, after time.Time) error {
	for {
		missing, news, ended := c.missing(after)
		switch {
		case len(missing) == 0:
			return nil
		case ended != nil:
			return ended
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("these ZEO clients (%s) have committed nothing for %v: %s: %w", c.Version,
				time.Since(after).Round(time.Millisecond), c.describe(missing), context.Cause(ctx))
		}
	}
}

func (c *Clients) missing(after time.Time) (names []string, news <-chan struct{}, ended error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range c.Names {
		if all := c.commits[name]; len(all) == 0 || !all[len(all)-1].After(after) {
			names = append(names, name)
		}
	}
	return names, c.news, c.ended
}

// describe says what clients were told last instead of a commit.
func (c *Clients) describe(names []string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var texts []string
	for _, name := range names {
		last := "no error"
		if all := c.errors[name]; len(all) > 0 {
			last = all[len(all)-1]
		}
		texts = append(texts, name+": "+last)
	}
	return strings.Join(texts, "; ")
}

// First returns how long after a time the first commit of each client was acknowledged. Clients without one are left
// out.
func (c *Clients) First(after time.Time) map[string]time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	took := make(map[string]time.Duration)
	for name, all := range c.commits {
		if i := slices.IndexFunc(all, after.Before); i >= 0 {
			took[name] = all[i].Sub(after)
		}
	}
	return took
}

// Pause returns the longest time in which no commit of each client was acknowledged, since its first one.
func (c *Clients) Pause() map[string]time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	longest := make(map[string]time.Duration)
	for name, all := range c.commits {
		for i := 1; i < len(all); i++ {
			longest[name] = max(longest[name], all[i].Sub(all[i-1]))
		}
	}
	return longest
}

// A tail is the end of what a process writes.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const maxTail = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if n := len(t.text) - maxTail; n > 0 {
		t.text = slices.Delete(t.text, 0, n)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
