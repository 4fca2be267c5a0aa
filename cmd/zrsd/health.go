package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/admin"
)

const healthHelp = `Asks the node with the --admin address ADDR what a load balancer asks it, for containers and
scripts:

  live      the process does not hang
  ready     it takes transactions, or follows the primary closely enough
  primary   clients can commit here
  replica   it is a secondary, and ready, or no further behind than --lag

The exit code is 0 for yes, 1 for no, and 4 where nobody answers. The reason is printed.`

type healthOptions struct {
	role    string
	storage string
	lag     time.Duration
	timeout time.Duration
	tls     tlsFlags
}

func healthCommand() *cobra.Command {
	opt := healthOptions{role: "ready", timeout: statusTimeout}
	cmd := &cobra.Command{
		Use:     "health ADDR [--role live|ready|primary|replica] [--lag 10s] [--storage NAME]",
		Short:   "ask a node whether it is live, ready, primary or a replica",
		Long:    healthHelp,
		Example: "  zrsd health 127.0.0.1:5001 --role replica --lag 10s",
		Args:    arguments("ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opt.run(cmd.Context(), args[0], cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&opt.role, "role", opt.role, "`ROLE` that is asked for: live, ready, primary or replica")
	flags.DurationVar(&opt.lag, "lag", 0, "how far behind a replica may be; 0: as far as its --ready-lag")
	flags.StringVarP(&opt.storage, "storage", "S", "", "`NAME` of the storage, where there are several")
	flags.DurationVar(&opt.timeout, "timeout", opt.timeout, "how long the node may take to answer")
	opt.tls.register(flags, "", "this client's")
	return cmd
}

func (opt *healthOptions) run(ctx context.Context, address string, out io.Writer) error {
	switch {
	case !slices.Contains(admin.HealthRoles, opt.role):
		return usage(fmt.Errorf("--role %s: give one of %s", opt.role, strings.Join(admin.HealthRoles, ", ")))
	case opt.lag < 0 || opt.lag > 0 && opt.role != "replica":
		return usage(fmt.Errorf("--lag %v: it is for --role replica, and above zero", opt.lag))
	case opt.timeout <= 0:
		return usage(fmt.Errorf("--timeout %v: give a duration above zero, such as 5s", opt.timeout))
	}
	asks := askFlags{tls: opt.tls}
	addr, dial, err := asks.connect(ctx, address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, opt.timeout, fmt.Errorf("no answer within %v", opt.timeout))
	defer cancel()
	ok, text, err := admin.AskHealth(ctx, dial, opt.storage, opt.role, opt.lag)
	if err != nil {
		return asked("health", addr, err)
	}
	if _, err := fmt.Fprintln(out, text); err != nil {
		return err
	}
	if !ok {
		return errFound
	}
	return nil
}
