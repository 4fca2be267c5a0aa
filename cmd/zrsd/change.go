package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
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
	addr, dial, err := f.connect(ctx, address)
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

// successor asks a node that shall become primary for the name by which the primary knows it.
func (f *changeFlags) successor(ctx context.Context, address string) (node string, err error) {
	addr, dial, err := f.connect(ctx, address)
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

const promoteHelp = `Makes the secondary with the --admin address NODE the primary, when the current primary is lost.
While the primary answers, use zrsd switchover, which loses nothing.

NODE asks the other known nodes for their last transaction and for their votes, and begins a new
epoch. It refuses when the primary still answers, when another secondary has transactions that NODE
lacks, or, where commits wait for secondaries, when too few nodes answer to be sure that no
acknowledged commit is lost. --force promotes NODE anyway. Transactions of the former primary that
NODE lacks are set aside when the former primary comes back: see zrsd rewind.

docs/failover.md says what is safe, and what is not.`

func promoteCommand() *cobra.Command {
	var opt changeFlags
	var force bool
	cmd := &cobra.Command{
		Use:     "promote NODE [--force] [--dry-run] [--timeout 30s] [--storage NAME] [--json]",
		Short:   "make a secondary the primary when the primary is lost",
		Long:    promoteHelp,
		Example: "  zrsd promote 127.0.0.1:5002",
		Args:    arguments("NODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opt.run(cmd.Context(), "promote", args[0], cmd.OutOrStdout(), func(ctx context.Context,
				dial admin.Dialer, o admin.ChangeOptions, tell func([]byte, *admin.Step) error) (*admin.Change, error) {
				return admin.AskPromote(ctx, dial, o, force, tell)
			})
		},
	}
	opt.register(cmd.Flags())
	cmd.Flags().BoolVar(&force, "force", false, "promote even if transactions may be lost")
	return cmd
}

const switchoverHelp = `Hands over from the primary to one of its secondaries; PRIMARY and TO are their --admin
addresses. New commits wait, TO gets everything, the roles change, and clients with the addresses
of both find the new primary with their caches valid. Nothing is lost. The command prints for how
long commits were held.

If a step fails before the primary has stepped down, it stays primary. After that it follows TO; the
command reports it when TO was not seen as primary within --timeout.`

func switchoverCommand() *cobra.Command {
	var opt changeFlags
	cmd := &cobra.Command{
		Use:     "switchover PRIMARY TO [--dry-run] [--timeout 30s] [--storage NAME] [--json]",
		Short:   "hand over from the primary to a secondary",
		Long:    switchoverHelp,
		Example: "  zrsd switchover 127.0.0.1:5001 127.0.0.1:5002",
		Args:    arguments("PRIMARY", "TO"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == args[1] {
				return usage(errSame)
			}
			if _, err := opt.options(); err != nil {
				return err
			}
			successor, err := opt.successor(cmd.Context(), args[1])
			if err != nil {
				return err
			}
			return opt.run(cmd.Context(), "switchover", args[0], cmd.OutOrStdout(), func(ctx context.Context,
				dial admin.Dialer, o admin.ChangeOptions, tell func([]byte, *admin.Step) error) (*admin.Change, error) {
				return admin.AskSwitchover(ctx, dial, o, successor, tell)
			})
		},
	}
	opt.register(cmd.Flags())
	return cmd
}

const demoteHelp = `Makes the node with the --admin address NODE a secondary that follows the primary at one of the
replication addresses of --follow; a secondary looks for its primary there from now on. This holds
across restarts, also when the node is started with zrsd primary.

A demoted primary takes no commits: until another node is promoted, no commits are possible. zrsd
switchover does both steps.`

func demoteCommand() *cobra.Command {
	var opt changeFlags
	var follow string
	cmd := &cobra.Command{
		Use:     "demote NODE --follow ADDR[,ADDR] [--dry-run] [--timeout 30s] [--storage NAME] [--json]",
		Short:   "make a node a secondary",
		Long:    demoteHelp,
		Example: "  zrsd demote 127.0.0.1:5001 --follow db2:5000",
		Args:    arguments("NODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if follow == "" {
				return usage(errors.New("--follow is missing: give the --replicate-to address of the node to follow"))
			}
			list, err := opt.tls.replications(cmd.Context(), "--follow", follow)
			if err != nil {
				return err
			}
			var addresses []string
			for _, e := range list {
				addresses = append(addresses, e.String())
			}
			return opt.run(cmd.Context(), "demote", args[0], cmd.OutOrStdout(), func(ctx context.Context,
				dial admin.Dialer, o admin.ChangeOptions, tell func([]byte, *admin.Step) error) (*admin.Change, error) {
				return admin.AskDemote(ctx, dial, o, addresses, tell)
			})
		},
	}
	opt.register(cmd.Flags())
	cmd.Flags().StringVar(&follow, "follow", "", "admin or replication `ADDR[,ADDR]` of the others")
	return cmd
}

const freezeHelp = `Makes the primary with the --admin address NODE refuse commits until zrsd thaw, across restarts.
Reads work as before, secondaries get everything, and clients stay connected; their commits fail
with ReadOnlyError.`

func freezeCommand() *cobra.Command {
	return freezingCommand("freeze", "make a primary refuse commits until thaw", freezeHelp, admin.AskFreeze)
}

func thawCommand() *cobra.Command {
	return freezingCommand("thaw", "let a frozen primary take commits again",
		"Lets the frozen primary with the --admin address NODE take commits again: see zrsd freeze.", admin.AskThaw)
}

// freezingCommand is one of the two.
func freezingCommand(name, short, long string, ask asker) *cobra.Command {
	var opt changeFlags
	cmd := &cobra.Command{
		Use:     name + " NODE [--dry-run] [--timeout 30s] [--storage NAME] [--json]",
		Short:   short,
		Long:    long,
		Example: "  zrsd " + name + " 127.0.0.1:5001",
		Args:    arguments("NODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opt.run(cmd.Context(), name, args[0], cmd.OutOrStdout(), ask)
		},
	}
	opt.register(cmd.Flags())
	return cmd
}
