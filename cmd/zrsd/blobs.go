package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

const blobsHelp = `Commands for blob directories: what is missing in one or does not belong there, and what it holds.
They work with the files, beside a running server too, or have a running node do it: Data.fs or ADDR.`

func blobsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "blobs audit|recover|convert|stats|push|pull|verify",
		Short:   "audit, convert, recover and count the blobs of a storage",
		Long:    blobsHelp,
		Example: "  zrsd blobs audit var/Data.fs --blobs var/blobs",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(fmt.Errorf("there is no command %q: see zrsd blobs --help", args[0]))
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(blobsAuditCommand(), blobsRecoverCommand(), blobsConvertCommand(), blobsStatsCommand())
	cmd.AddCommand(blobsPushCommand(), blobsPullCommand(), blobsVerifyCommand())
	return cmd
}
