package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// exitRefused is how zrsd rewind ends when a storage cannot be rewound and must be replaced.
const exitRefused = 7

// Collect adds to Aside what nodes have set aside by themselves, and returns how many times that was so.
func (c *Cluster) Collect() (byThemselves int, err error) {
	found, err := filepath.Glob(filepath.Join(c.opt.Dir, "*", "Data.fs.rewound-*.fs"))
	if err != nil {
		return 0, fmt.Errorf("looking for what nodes have set aside: %w", err)
	}
	for _, path := range found { // those of nodes that were replaced, too
		if !slices.Contains(c.Aside, path) {
			c.Aside = append(c.Aside, path)
			byThemselves++
		}
	}
	return byThemselves, nil
}

// ErrNotRewindable says that a storage must be replaced.
var ErrNotRewindable = errors.New("the storage cannot be rewound")

// Rewind takes what the primary never had out of the storage of a node that does not run, with zrsd rewind. What was
// taken out is then among Aside.
func (c *Cluster) Rewind(ctx context.Context, n, primary *Node) error {
	var said, complaint strings.Builder
	cmd := exec.CommandContext(ctx, c.opt.Binary, //nolint:gosec // zrsd itself
		"rewind", "--data", n.Data(), "--blobs", filepath.Join(n.dir, "blobs"), "--primary", primary.repl, "--yes",
		"--force", "--json")
	cmd.Stdout, cmd.Stderr = &said, &complaint
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("rewinding node %s: %w", n.Name, err)
	}
	c.Net.Name(cmd.Process.Pid, n.Name)
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == exitRefused {
		return fmt.Errorf("%w: %s", ErrNotRewindable, strings.TrimSpace(complaint.String()))
	}
	if err != nil {
		return fmt.Errorf("rewinding node %s: %w: %s", n.Name, err, strings.TrimSpace(complaint.String()))
	}
	var result struct {
		Fragment *struct {
			Data string `json:"data"`
		} `json:"fragment"`
	}
	if err := json.Unmarshal([]byte(said.String()), &result); err != nil {
		return fmt.Errorf("what the rewind of node %s said: %w", n.Name, err)
	}
	if result.Fragment != nil {
		c.Aside = append(c.Aside, result.Fragment.Data)
	}
	return nil
}
