package main

import (
	"context"
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
	json    bool
	storage string
	watch   time.Duration
	tls     tlsFlags
}

const statusHelp = `Shows the status of the node with the --admin address ADDR: its role, its last transaction and the
lag of each secondary. If the process has several storages it shows each, or the one of --storage.`

func statusCommand() *cobra.Command {
	var opt statusOptions
	cmd := &cobra.Command{
		Use:     "status ADDR [--storage NAME] [--json] [--watch 2s]",
		Short:   "show node status",
		Long:    statusHelp,
		Example: "  zrsd status 127.0.0.1:5001",
		Args:    arguments("ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := adminAddress(args[0])
			if err != nil {
				return badAddress(err)
			}
			dial, err := opt.tls.dialer(addr)
			if err != nil {
				return err
			}
			return opt.run(cmd.Context(), addr, dial, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&opt.json, "json", false, "print the node's answer as JSON, see docs/status-json.md")
	cmd.Flags().StringVar(&opt.storage, "storage", "", "`NAME` of the storage, where there are several")
	cmd.Flags().DurationVar(&opt.watch, "watch", 0, "repeat at this `INTERVAL` until interrupted")
	opt.tls.register(cmd.Flags(), "", "this client's")
	return cmd
}

func (opt statusOptions) run(ctx context.Context, addr endpoint.Endpoint, dial dialer, out io.Writer) error {
	if opt.watch <= 0 {
		return opt.show(ctx, addr, dial, out)
	}
	tick := time.NewTicker(opt.watch)
	defer tick.Stop()
	for {
		err := opt.show(ctx, addr, dial, out)
		if ctx.Err() != nil {
			return nil // the interruption is what was asked for
		}
		if err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if !opt.json {
			if _, err := fmt.Fprintln(out); err != nil {
				return err
			}
		}
	}
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
