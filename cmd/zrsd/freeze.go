package main

import (
	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/admin"
)

const freezeHelp = `Makes the primary with the --admin address NODE refuse commits until zrsd thaw, across restarts.
Reads work as before, secondaries get everything, and clients stay connected; their commits fail
with ReadOnlyError.`

func freezeCommand() *cobra.Command {
	var opt changeFlags
	cmd := &cobra.Command{
		Use:     "freeze NODE [--dry-run] [--timeout 30s] [--storage NAME] [--json]",
		Short:   "make a primary refuse commits until thaw",
		Long:    freezeHelp,
		Example: "  zrsd freeze 127.0.0.1:5001",
		Args:    arguments("NODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opt.run(cmd.Context(), "freeze", args[0], cmd.OutOrStdout(), admin.AskFreeze)
		},
	}
	opt.register(cmd.Flags())
	return cmd
}

func thawCommand() *cobra.Command {
	var opt changeFlags
	cmd := &cobra.Command{
		Use:     "thaw NODE [--dry-run] [--timeout 30s] [--storage NAME] [--json]",
		Short:   "let a frozen primary take commits again",
		Long:    "Lets the frozen primary with the --admin address NODE take commits again: see zrsd freeze.",
		Example: "  zrsd thaw 127.0.0.1:5001",
		Args:    arguments("NODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opt.run(cmd.Context(), "thaw", args[0], cmd.OutOrStdout(), admin.AskThaw)
		},
	}
	opt.register(cmd.Flags())
	return cmd
}
