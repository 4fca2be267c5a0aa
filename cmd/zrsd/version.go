package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/zrs"
	"github.com/zrsd/zrsd/protocol"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "show version, file formats and protocols",
		Args:  arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "zrsd %s %s %s/%s\n"+
				"commit       %s\n"+
				"ZEO          protocol 5 (Z5, M5): clients of ZEO 5 and 6\n"+
				"replication  native messages %d; %s, %s of zc.zrs\n"+
				"files        Data.fs FS21, FS30; state file %d\n",
				node.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, node.Commit(), protocol.MessageVersion,
				zrs.V20, zrs.V21, state.FormatVersion)
			return err
		},
	}
}
