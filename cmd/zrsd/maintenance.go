package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/cluster/lease"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
)

const maintenanceHelp = `Suspends automatic failover while you work on the nodes: during maintenance no node is
promoted or demoted automatically. Changes by hand still work. Leases still count: a primary that
cannot reach the coordinator holds its commits at the end of its lease.

The command talks to the coordinator itself, so it works while no node runs. The storage follows from
the state file beside --data, or from --coordinator-prefix.`

// maintenanceTimeout is how long the coordinator may take to answer.
const maintenanceTimeout = 10 * time.Second

type maintenanceOptions struct {
	coordinator coordinatorFlags
	data        string
	why         string
	json        bool
}

func maintenanceCommand() *cobra.Command {
	var opt maintenanceOptions
	cmd := &cobra.Command{
		Use: "maintenance on|off|status --coordinator etcd://HOST:2379 " +
			"(--data Data.fs | --coordinator-prefix PREFIX) " +
			"[--why TEXT] [--json]",
		Short: "suspend automatic failover for maintenance",
		Long:  maintenanceHelp,
		Example: "  zrsd maintenance on --coordinator etcd://e1:2379,e2:2379,e3:2379 --data /srv/zodb/Data.fs --why " +
			"'new kernel'",
		Args: arguments("on|off|status"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), maintenanceTimeout,
				fmt.Errorf("no answer within %v", maintenanceTimeout))
			defer cancel()
			return opt.run(ctx, args[0], cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	opt.coordinator.register(flags)
	pathVar(flags, &opt.data, "data", "the `Data.fs` of one of the nodes, for its storage id")
	flags.StringVar(&opt.why, "why", "", "the reason, a `TEXT` for the other operators")
	flags.BoolVar(&opt.json, "json", false, "print a JSON object, see docs/commands-json.md")
	return cmd
}

func (opt *maintenanceOptions) run(ctx context.Context, what string, out io.Writer) error {
	if what != "on" && what != "off" && what != "status" {
		return usage(fmt.Errorf("%q: say on, off or status", what))
	}
	ref, err := opt.open()
	if err != nil {
		return err
	}
	err = opt.ask(ctx, ref, what, out)
	return errors.Join(err, ref.Close())
}

func (opt *maintenanceOptions) ask(ctx context.Context, ref lease.Coordinator, what string, out io.Writer) error {
	if what != "status" {
		now := time.Now().UTC().Round(time.Second)
		m := lease.Maintenance{On: what == "on", By: whoami(), Why: opt.why, Time: now}
		if err := ref.Maintain(ctx, m); err != nil {
			return unreachable(err)
		}
	}
	v, err := ref.Read(ctx, 0)
	if err != nil {
		return unreachable(err)
	}
	if opt.json {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(v.Maintenance)
	}
	_, err = fmt.Fprintln(out, maintenanceText(v.Maintenance))
	return err
}

// open opens the coordinator of the storage that the flags name.
func (opt *maintenanceOptions) open() (lease.Coordinator, error) {
	cfg, err := opt.coordinator.config()
	switch {
	case err != nil:
		return nil, err
	case cfg == nil:
		return nil, usage(errors.New("which coordinator? Name it with --coordinator etcd://HOST:2379"))
	case cfg.Prefix == "" && opt.data == "":
		return nil, usage(
			errors.New("which storage? Name a copy of it with --data Data.fs, or give --coordinator-prefix"),
		)
	}
	id := ""
	if cfg.Prefix == "" {
		saved, err := state.Load(vfs.OS{}, opt.data)
		if err != nil {
			return nil, err
		}
		id = saved.StorageID
	}
	return cfg.Open(id)
}

func maintenanceText(m lease.Maintenance) string {
	text := "maintenance is off"
	if m.On {
		text = "maintenance is on: no node is promoted or demoted automatically"
	}
	if m.By != "" {
		text += fmt.Sprintf("; by %q at %s", m.By, m.Time.UTC().Format(time.RFC3339))
	}
	if m.Why != "" {
		text += fmt.Sprintf(": %q", m.Why)
	}
	return text
}

// whoami is shown to those who ask later.
func whoami() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}
