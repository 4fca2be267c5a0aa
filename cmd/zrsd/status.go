package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
)

// statusTimeout is how long a node may take to answer.
const statusTimeout = 10 * time.Second

// A dialer connects to the address that a command was given.
type dialer = func(context.Context) (net.Conn, error)

type statusOptions struct {
	askFlags
	watch   time.Duration
	cluster bool
}

const statusHelp = `Shows the status of the node with the admin address ADDR: its role, its last transaction and the lag
of each secondary. If the process has several storages it shows each, or the one of --storage.

With --cluster it shows all nodes that the node knows, in one table: who is primary, who follows whom, how
far behind they are, and what they do not agree on. With several addresses it asks each of these, and with none
the nodes on this machine: those of the same user, for root all. It finds these by their command lines in /proc.

A table ends with exit code 1 when the nodes do not agree or one is not ready, else with 4 when one does not answer.`

func statusCommand() *cobra.Command {
	var opt statusOptions
	cmd := &cobra.Command{
		Use:     "status [ADDR...] [--cluster] [--storage NAME] [--json] [--watch 2s]",
		Short:   "show node status, or one table of all nodes",
		Long:    statusHelp,
		Example: "  zrsd status\n  zrsd status 127.0.0.1:5001\n  zrsd status --cluster db1:5001",
		Args: func(_ *cobra.Command, args []string) error {
			if opt.cluster && len(args) != 1 {
				return usage(errors.New("--cluster needs one ADDR, that of the node that is asked for all"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || opt.cluster {
				return opt.repeat(cmd.Context(), cmd.OutOrStdout(), func(out io.Writer) error {
					return opt.table(cmd.Context(), args, out)
				})
			}
			addr, dial, err := opt.connect(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return opt.repeat(cmd.Context(), cmd.OutOrStdout(), func(out io.Writer) error {
				return opt.show(cmd.Context(), addr, dial, out)
			})
		},
	}
	opt.register(cmd.Flags())
	cmd.Flags().BoolVar(&opt.cluster, "cluster", false, "show all nodes that the node at ADDR knows, in one table")
	cmd.Flags().DurationVar(&opt.watch, "watch", 0, "repeat at this `INTERVAL` until interrupted: on a terminal in "+
		"the same place")
	return cmd
}

// repeat shows something once, or with --watch until ctx ends. Then nodes that do not answer or do not agree do not end
// it.
func (opt statusOptions) repeat(ctx context.Context, out io.Writer, show func(io.Writer) error) error {
	if opt.watch <= 0 {
		return show(out)
	}
	return repeat(ctx, out, opt.watch, 0, !opt.json, func(_ context.Context, out io.Writer) error {
		if err := show(out); !errors.Is(err, errTold) {
			return err
		}
		return nil
	})
}

func (opt statusOptions) show(ctx context.Context, addr endpoint.Endpoint, dial dialer, out io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, statusTimeout, fmt.Errorf("no answer within %v", statusTimeout))
	defer cancel()
	raw, st, err := admin.Fetch(ctx, dial, opt.storage)
	if err != nil {
		return unreachable(fmt.Errorf("status of %v: %w", addr, err))
	}
	switch {
	case opt.json:
		_, err := out.Write(raw)
		return err
	case len(st.Storages) == 0:
		return admin.WriteTable(out, st)
	}
	return showEach(ctx, addr, dial, st.Storages, out)
}

// showEach shows one storage after the other.
func showEach(ctx context.Context, addr endpoint.Endpoint, dial dialer, members []admin.Member, out io.Writer) error {
	for i, m := range members {
		_, st, err := admin.Fetch(ctx, dial, m.Name)
		if err != nil {
			return unreachable(fmt.Errorf("status of storage %s of %v: %w", m.Name, addr, err))
		}
		gap := "\n"
		if i == 0 {
			gap = ""
		}
		if _, err := fmt.Fprintf(out, "%sstorage %s\n", gap, m.Name); err != nil {
			return err
		}
		if err := admin.WriteTable(out, st); err != nil {
			return err
		}
	}
	return nil
}
