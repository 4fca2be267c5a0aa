package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/nagios"
)

const nagiosHelp = `Compares the last transactions of two servers, as zrs-nagios does, and prints the same texts.
Each address is the --admin address of a node or the address of a ZEO server. At least one of the options is
needed.

Exit codes are those of a Nagios plugin: 0 good, 1 warning, 2 critical, no answer, or wrong usage.`

const nagiosUsage = "Usage: zrsd nagios [options] PRIMARY_ADDRESS SECONDARY_ADDRESS"

func nagiosCommand() *cobra.Command {
	var opt nagios.Options
	var tls tlsFlags
	cmd := &cobra.Command{
		Use:     "nagios PRIMARY SECONDARY [-w S] [-e S] [-m]",
		Short:   "report replication lag, as a Nagios plugin",
		Long:    nagiosHelp,
		Example: "  zrsd nagios -w 60 -e 300 -m 10.0.0.1:5001 10.0.0.2:5001",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 || opt == (nagios.Options{}) {
				return tell(cmd.OutOrStdout(), nagiosUsage+"\n", exitUsage)
			}
			return compareServers(cmd.Context(), args[0], args[1], opt, &tls, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&opt.Metrics, "output-metrics", "m", false, "output replication lag as metric")
	flags.IntVarP(&opt.WarningLag, "warning", "w", 0, "warning lag, in `SECONDS`")
	flags.IntVarP(&opt.ErrorLag, "error", "e", 0, "error lag, in `SECONDS`")
	tls.register(flags, "", "this client's")
	flags.SetNormalizeFunc(documentedForm)
	return cmd
}

// documentedForm accepts the long options as the manual of zrs-nagios spells them, beside those that it really has.
func documentedForm(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	switch name {
	case "warn":
		name = "warning"
	case "metrics":
		name = "output-metrics"
	}
	return pflag.NormalizedName(name)
}

// compareServers asks the secondary first: what the primary commits meanwhile must not look as if it came after it.
func compareServers(ctx context.Context, primary, secondary string, opt nagios.Options, tls *tlsFlags,
	out io.Writer) error {
	theirs, err := askServer(ctx, secondary, tls)
	if err != nil {
		text, level := nagios.Failure("secondary", secondary, err)
		return tell(out, text, int(level))
	}
	ours, err := askServer(ctx, primary, tls)
	if err != nil {
		text, level := nagios.Failure("primary", primary, err)
		return tell(out, text, int(level))
	}
	opt.Now = time.Now()
	text, level := nagios.Report(ours, theirs, opt)
	return tell(out, text, int(level))
}

func askServer(ctx context.Context, addr string, tls *tlsFlags) (nagios.Storages, error) {
	e, err := tls.adminAddress(ctx, addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, statusTimeout, fmt.Errorf("no answer within %v", statusTimeout))
	defer cancel()
	dial, err := tls.dialer(e)
	if err != nil {
		return nil, err
	}
	return nagios.Ask(ctx, dial)
}

// tell prints text and ends the command with an exit code.
func tell(out io.Writer, text string, code int) error {
	if _, err := io.WriteString(out, text); err != nil {
		return err
	}
	if code == exitOK {
		return nil
	}
	return coded(code, errTold)
}
