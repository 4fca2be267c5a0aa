package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/admin"
)

const promoteHelp = `Makes the secondary whose --admin address is NODE the primary, when the present primary is gone.
While that one answers, use zrsd switchover, which loses nothing.

NODE asks the others that it knows how far they are, has them promise to follow nobody of an older
epoch, and begins a new one. It refuses when the primary still answers, when another secondary has
transactions that it lacks, or, where commits wait for secondaries, when too few answer to be sure
that nothing that a client was told is lost. --force promotes it all the same. What the former
primary has and NODE has not is set aside when that comes back: see zrsd rewind.

docs/failover.md says what is safe, and what is not.`

func promoteCommand() *cobra.Command {
	var opt changeFlags
	var force bool
	cmd := &cobra.Command{
		Use:     "promote NODE [--force] [--dry-run] [--timeout 30s] [--storage NAME] [--json]",
		Short:   "make a secondary the primary when that is gone",
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
	cmd.Flags().BoolVar(&force, "force", false, "also where transactions may be lost")
	return cmd
}
