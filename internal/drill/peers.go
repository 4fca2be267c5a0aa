package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zrsd/zrsd/internal/drill/cluster"
	"github.com/zrsd/zrsd/internal/drill/zeoclients"
)

// peerPause is between two commits of a real client.
const peerPause = 50 * time.Millisecond

// A ClientPause is the longest time in which a real ZEO client had no commit acknowledged.
type ClientPause struct {
	ZEO     string  `json:"zeo"` // its version
	Client  string  `json:"client"`
	Seconds float64 `json:"seconds"`
}

// peers are real ZEO clients that commit beside ours, to objects of their own. What is judged is that all continue:
// ours does not look for the primary as ZEO's does.
type peers []*zeoclients.Clients

// CheckPythons says which interpreter of a drill has no ZEO.
func CheckPythons(ctx context.Context, pythons []string) error {
	for _, python := range pythons {
		if err := zeoclients.Check(ctx, python); err != nil {
			return err
		}
	}
	return nil
}

// bring starts them, and returns when each has committed.
func (r *Run) bring(ctx context.Context, pythons []string) error {
	var addresses []string
	for _, n := range r.Nodes {
		addresses = append(addresses, n.ZEO)
	}
	begun := time.Now()
	for _, python := range pythons {
		c, err := zeoclients.Start(python, peerPause, addresses...)
		if err != nil {
			return err
		}
		r.Net.Name(c.Pid(), cluster.Clients)
		r.peers = append(r.peers, c)
	}
	return r.peers.goOn(ctx, begun)
}

// goOn waits until each client has committed after a time.
func (p peers) goOn(ctx context.Context, after time.Time) error {
	for _, c := range p {
		if err := c.AwaitAll(ctx, after); err != nil {
			return fmt.Errorf("real ZEO clients continue: %w", err)
		}
	}
	return nil
}

// leave ends them.
func (p peers) leave() error {
	var errs []error
	for _, c := range p {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// lost is an error when an acknowledged commit of a client is not there any more.
func (p peers) lost() error {
	var errs []error
	for _, c := range p {
		for _, what := range c.Lost() {
			errs = append(errs, fmt.Errorf("ZEO %s, client %s", c.Version, what))
		}
	}
	return errors.Join(errs...)
}

// pauses are the longest of each client.
func (p peers) pauses() (list []ClientPause) {
	for _, c := range p {
		longest := c.Pause()
		for _, name := range slices.Sorted(slices.Values(c.Names)) {
			list = append(list, ClientPause{c.Version, name, longest[name].Seconds()})
		}
	}
	return list
}
