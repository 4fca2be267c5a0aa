package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/zrsd/zrsd/zodb"
)

// interpreter has the real ZEO, where make venv has prepared it.
const interpreter = ".venv/zodb/bin/python"

func havePython() bool {
	_, err := os.Stat(interpreter)
	return err == nil
}

// A client is an application with a real ZEO client, in a Python process: client.py.
type client struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	log   strings.Builder
	told  *history
	first chan struct{} // closed when the database is made
	done  chan struct{} // closed when the process has said its last
	err   error
}

// startClient starts the process and waits until it has made the database.
func startClient(ctx context.Context, address, dir string) (*client, error) {
	c := &client{told: newHistory(), first: make(chan struct{}), done: make(chan struct{})}
	c.cmd = exec.CommandContext(ctx, interpreter, filepath.Join("integration", "demo", "client.py"), address,
		filepath.Join(dir, "cache"), strconv.Itoa(shape.Objects+shape.Blobs), strconv.Itoa(shape.Blobs))
	c.cmd.Stderr = &c.log
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go c.listen(out)
	select {
	case <-c.first:
		return c, nil
	case <-c.done:
		return nil, c.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// listen notes what the process says until it ends.
func (c *client) listen(out io.Reader) {
	defer close(c.done)
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		tid, err := zodb.ParseTid(lines.Text())
		if err != nil {
			c.err = err
			break
		}
		c.told.add(tid)
		if n == 0 {
			close(c.first)
		}
	}
	if err := errors.Join(lines.Err(), c.cmd.Wait()); err != nil || c.err != nil {
		c.err = fmt.Errorf("the ZEO client: %w\n%s", errors.Join(c.err, err), &c.log)
		close(c.told.failed)
	}
}

func (c *client) history() *history { return c.told }

func (c *client) begin(context.Context) error {
	_, err := io.WriteString(c.stdin, "go\n")
	return err
}

func (c *client) stop() (zodb.Tid, error) {
	_ = c.stdin.Close() // a second time, that is an error of no interest
	<-c.done
	tids := c.told.all()
	return tids[len(tids)-1], c.err
}

func (c *client) close() error {
	_, err := c.stop()
	return err
}
