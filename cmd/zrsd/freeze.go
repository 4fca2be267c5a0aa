package main

import (
	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/admin"
)

const freezeHelp = `Keeps the primary whose --admin address is NODE from taking commits until zrsd thaw, across
restarts. It is read as before, secondaries get everything, and clients stay connected: a commit
fails in them with ReadOnlyError.`

func freezeCommand() *cobra.Command {
	var opt changeFlags
	cmd := &cobra.Command{
		Use:     "freeze NODE [--dry-run] [--timeout 30s] [--storage NAME] [--json]",
		Short:   "have a primary take no commits for a while",
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
		Short:   "have a frozen primary take commits again",
		Long:    "Has the frozen primary whose --admin address is NODE take commits again: see zrsd freeze.",
		Example: "  zrsd thaw 127.0.0.1:5001",
		Args:    arguments("NODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opt.run(cmd.Context(), "thaw", args[0], cmd.OutOrStdout(), admin.AskThaw)
		},
	}
	opt.register(cmd.Flags())
	return cmd
}
