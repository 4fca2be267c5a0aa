package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/admin"
)

const switchoverHelp = `Hands over from the primary to one of its secondaries; PRIMARY and TO are their --admin
addresses. New commits wait, TO gets everything, the roles change, and clients with the addresses
of both find the new primary with their caches valid. Nothing is lost. The command prints for how
long commits were held.

If a step fails before the primary has stepped down, it stays primary. After that it follows TO; the
command reports it when TO was not seen as primary within --timeout.`

func switchoverCommand() *cobra.Command {
	var opt changeFlags
	cmd := &cobra.Command{
		Use:     "switchover PRIMARY TO [--dry-run] [--timeout 30s] [--storage NAME] [--json]",
		Short:   "hand over from the primary to a secondary",
		Long:    switchoverHelp,
		Example: "  zrsd switchover 127.0.0.1:5001 127.0.0.1:5002",
		Args:    arguments("PRIMARY", "TO"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == args[1] {
				return usage(errSame)
			}
			if _, err := opt.options(); err != nil {
				return err
			}
			heir, err := opt.heir(cmd.Context(), args[1])
			if err != nil {
				return err
			}
			return opt.run(cmd.Context(), "switchover", args[0], cmd.OutOrStdout(), func(ctx context.Context,
				dial admin.Dialer, o admin.ChangeOptions, tell func([]byte, *admin.Step) error) (*admin.Change, error) {
				return admin.AskSwitchover(ctx, dial, o, heir, tell)
			})
		},
	}
	opt.register(cmd.Flags())
	return cmd
}
