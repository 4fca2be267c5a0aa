package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/printable"
)

// changeFlags are what the commands that change roles have in common.
type changeFlags struct {
	askFlags
	dryRun  bool
	timeout time.Duration
}

func (f *changeFlags) register(flags *pflag.FlagSet) {
	f.askFlags.register(flags)
	flags.BoolVar(&f.dryRun, "dry-run", false, "change nothing; say what would be done, or why it is not possible")
	flags.DurationVar(&f.timeout, "timeout", admin.DefaultChangeTimeout, "time limit")
}

func (f *changeFlags) options() (admin.ChangeOptions, error) {
	if f.timeout < admin.MinChangeTimeout || f.timeout > admin.MaxChangeTimeout {
		return admin.ChangeOptions{}, usage(fmt.Errorf("--timeout %v: give a time from %v to %v", f.timeout,
			admin.MinChangeTimeout, admin.MaxChangeTimeout))
	}
	return admin.ChangeOptions{Storage: f.storage, DryRun: f.dryRun, Timeout: f.timeout}, nil
}

// An asker asks for one kind of change.
type asker func(ctx context.Context, dial admin.Dialer, opt admin.ChangeOptions,
	tell func(line []byte, step *admin.Step) error) (*admin.Change, error)

// answerPatience is what a node has beyond the time limit that it was given.
const answerPatience = 10 * time.Second

// run asks the node at an address for a change, shows its steps as they happen, and what became of it.
func (f *changeFlags) run(ctx context.Context, what, address string, out io.Writer, ask asker) error {
	opt, err := f.options()
	if err != nil {
		return err
	}
	addr, dial, err := f.connect(address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.timeout+answerPatience,
		fmt.Errorf("%w (no answer within %v)", admin.ErrUnknownOutcome, f.timeout+answerPatience))
	defer cancel()
	change, err := ask(ctx, dial, opt, func(line []byte, step *admin.Step) error {
		switch {
		case f.json:
			_, err := fmt.Fprintf(out, "%s\n", line)
			return err
		case step != nil:
			_, err := fmt.Fprintf(out, "%s  %s\n", step.Time.Local().Format("15:04:05.000"),
				printable.Line(step.Text))
			return err
		}
		return nil
	})
	if err != nil || f.json {
		return asked(what, addr, err)
	}
	return admin.WriteChange(out, change)
}

// errSame is about a switchover from a node to itself.
var errSame = errors.New("PRIMARY and TO are the same node")

// heir asks a node that shall become primary for the name by which the primary knows it.
func (f *changeFlags) heir(ctx context.Context, address string) (node string, err error) {
	addr, dial, err := f.connect(address)
	if err != nil {
		return "", err
	}
	st, err := fetch(ctx, addr, dial, f.storage)
	if err != nil {
		return "", err
	}
	switch {
	case st.Role != "secondary":
		return "", coded(exitRefused, fmt.Errorf("%v is %s, not a secondary that could become primary", addr, st.Role))
	case st.NodeID == nil:
		return "", coded(exitNotNow, fmt.Errorf("%v has not reached its primary yet: see zrsd status %v", addr, addr))
	}
	return *st.NodeID, nil
}

// fetch gets a status.
func fetch(ctx context.Context, addr endpoint.Endpoint, dial dialer, storage string) (*admin.Status, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, statusTimeout, fmt.Errorf("no answer within %v", statusTimeout))
	defer cancel()
	_, st, err := admin.Fetch(ctx, dial, storage)
	if err != nil {
		return nil, unreachable(fmt.Errorf("status of %v: %w", addr, err))
	}
	return st, nil
}
