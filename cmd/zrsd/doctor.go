package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/config"
	"github.com/zrsd/zrsd/internal/doctor"
	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/service"
	"github.com/zrsd/zrsd/internal/warning"
)

const doctorHelp = `Looks for what is wrong, or will be: with the nodes that run at these --admin addresses, or, with
-C, with the place where a server is to run with this configuration file, before or while it does. Each
line is ok, warn or bad; what is wrong has the code of the runbook and what to do.

Nothing is changed; one small file beside the data is written and removed, to measure the disk. Run
it as the user of the server, on its machine for -C. It ends within a minute.

The exit code is 0 when all is ok, 1 when anything is wrong, and 4 where no node answers.`

// doctorTime bounds all looks together: a disk may hang.
const doctorTime = time.Minute

type doctorOptions struct {
	file, backup string
	json         bool
	tls          tlsFlags
}

func doctorCommand() *cobra.Command {
	var opt doctorOptions
	cmd := &cobra.Command{
		Use:     "doctor {ADDR… | -C FILE} [--backup DIR] [--json]",
		Short:   "look for what is wrong with nodes, or with the place where one is to run",
		Long:    doctorHelp,
		Example: "  zrsd doctor -C zeo.conf --backup /var/backups/zodb",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return opt.run(cmd.Context(), args, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	configureFlag(flags, &opt.file)
	flags.StringVar(&opt.backup, "backup", "", "`DIR` of backups, of which the newest must not be older than a day")
	flags.BoolVar(&opt.json, "json", false, "print the report as JSON, see docs/commands-json.md")
	opt.tls.register(flags, "", "this client's")
	return cmd
}

func (opt *doctorOptions) run(ctx context.Context, addresses []string, out io.Writer) error {
	if (opt.file == "") == (len(addresses) == 0) {
		return usage(fmt.Errorf("give the --admin addresses of nodes, or a configuration file with -C"))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, doctorTime, fmt.Errorf("the looks have not ended within %v: "+
		"the disk or the network hangs", doctorTime))
	defer cancel()
	type result struct {
		report *doctor.Report
		err    error
	}
	looked := make(chan result, 1)
	go func() { // it may hang with the disk; then the process ends without it
		report, err := opt.look(ctx, addresses)
		looked <- result{report, err}
	}()
	select {
	case <-ctx.Done():
		return coded(exitFailed, context.Cause(ctx))
	case r := <-looked:
		if r.err != nil {
			return r.err
		}
		return opt.print(r.report, out)
	}
}

func (opt *doctorOptions) print(report *doctor.Report, out io.Writer) error {
	if opt.json {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(report); err != nil {
			return err
		}
	} else if err := report.Write(out); err != nil {
		return err
	}
	if report.Worst() != doctor.OK {
		return errFound
	}
	return nil
}

func (opt *doctorOptions) look(ctx context.Context, addresses []string) (*doctor.Report, error) {
	report := &doctor.Report{Format: 1}
	for i, address := range addresses {
		asks := askFlags{tls: opt.tls}
		addr, dial, err := asks.connect(ctx, address)
		if err != nil {
			return nil, err
		}
		if err := askNode(ctx, report, dial, i == 0); err != nil {
			return nil, asked("status", addr, err)
		}
	}
	if opt.file != "" {
		lookAtPlace(ctx, report, opt.file)
	}
	if opt.backup != "" {
		report.Backup(opt.backup, time.Now())
	}
	return report, nil
}

// askNode looks at a node and, through the first one, at the nodes that it knows.
func askNode(ctx context.Context, report *doctor.Report, dial dialer, first bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, statusTimeout, fmt.Errorf("no answer within %v", statusTimeout))
	defer cancel()
	begun := time.Now()
	_, st, err := admin.Fetch(ctx, dial, "")
	if err != nil {
		return err
	}
	report.Node(st, begun, time.Now())
	if _, list, err := admin.AskClients(ctx, dial, ""); err == nil { // a node that serves none has no list
		report.Clients(st, list.Clients)
	}
	if !first {
		return nil
	}
	_, cluster, err := admin.FetchCluster(ctx, dial, "")
	if err == nil {
		report.Cluster(cluster)
	}
	return nil // an older node does not know others
}

// lookAtPlace looks at what a configuration file names.
func lookAtPlace(ctx context.Context, report *doctor.Report, file string) {
	cfg, err := config.Load(file)
	if err == nil {
		err = served(cfg)
	}
	if err != nil {
		report.Wrong(warning.ConfigWrong, "%v", err)
		return
	}
	p := process(cfg, hclog.NewNullLogger(), new(node.Reloads))
	conditions, err := node.Conditions(p, time.Now())
	if err != nil {
		report.Wrong(warning.ConfigWrong, "%v", err)
	}
	for _, c := range conditions {
		report.Wrong(c.Code, "%s", c.Text)
	}
	for i := range p.Storages {
		c := p.Storages[i].Settings()
		report.Storage(c.Data, c.Blobs)
		report.Port(ctx, "replicate-to", c.ReplicateTo, service.Replication)
	}
	if p.ZEO != nil {
		report.OpenFiles(p.ZEO.Options.MaxClients)
		report.Port(ctx, "zeo", p.ZEO.Address, service.ZEO)
	}
	report.Port(ctx, "admin", p.Shared.Admin, service.HTTP)
}
