package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/admin"
)

const topHelp = `Shows what the ZEO clients of a server do now, again and again: who holds the commit lock and who waits
for it, and the loads, stores and commits of each per second, the busiest first. The first rates are those
since the client connected. End it with Ctrl-C.`

type topOptions struct {
	askFlags
	interval time.Duration
	rounds   int
}

func topCommand() *cobra.Command {
	var opt topOptions
	cmd := &cobra.Command{
		Use:     "top ADDR [--interval 2s] [-n COUNT] [--storage NAME]",
		Short:   "show what ZEO clients do now, with rates",
		Long:    topHelp,
		Example: "  zrsd top 127.0.0.1:5001",
		Args:    arguments("ADDR"),
		RunE:    func(cmd *cobra.Command, args []string) error { return opt.run(cmd, args[0]) },
	}
	flags := cmd.Flags()
	flags.DurationVar(&opt.interval, "interval", 2*time.Second, "`TIME` between two rounds")
	flags.IntVarP(&opt.rounds, "count", "n", 0, "end after `COUNT` rounds; 0: never")
	opt.register(flags)
	return cmd
}

func (opt *topOptions) run(cmd *cobra.Command, address string) error {
	if opt.interval <= 0 || opt.rounds < 0 {
		return usage(fmt.Errorf("--interval %v, --count %d: give a time above zero, such as 2s, and no negative number",
			opt.interval, opt.rounds))
	}
	addr, dial, err := opt.connect(cmd.Context(), address)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	var rates admin.ClientRates
	show := func(ctx context.Context, out io.Writer) error {
		ctx, cancel := context.WithTimeoutCause(ctx, statusTimeout, fmt.Errorf("no answer within %v", statusTimeout))
		defer cancel()
		_, doc, err := admin.AskClients(ctx, dial, opt.storage)
		if err != nil {
			return asked("clients", addr, err)
		}
		list := rates.Next(doc.Clients, time.Now())
		if opt.json {
			return writeJSON(out, list)
		}
		return admin.WriteTop(out, list)
	}
	return repeat(cmd.Context(), out, opt.interval, opt.rounds, !opt.json, show)
}
