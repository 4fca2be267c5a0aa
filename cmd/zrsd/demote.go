package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
)

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
			list, err := endpoint.ParseList(follow)
			if err != nil {
				return flagError("--follow", err)
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
	cmd.Flags().StringVar(&follow, "follow", "", "`ADDR[,ADDR]` where secondaries of the others connect")
	return cmd
}
