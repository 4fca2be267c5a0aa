package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/admin"
)

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
