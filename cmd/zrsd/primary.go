package main

import (
	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/secondary"
)

const primaryHelp = `Opens a storage and streams its transactions to every secondary that connects. With --attach it
follows the files of a running ZEO server or Zope instance instead of owning them, and writes
nothing but Data.fs.zrsd, the storage's identity. With --zeo it serves ZEO clients, which read and write.

SIGTERM and SIGINT stop it after its secondaries have caught up, or after --drain-timeout. SIGUSR2
reopens the log file.`

func primaryCommand() *cobra.Command {
	var f nodeFlags
	var who identityFlags
	var attach bool
	var others string
	protocol := string(secondary.ProtocolNative)
	cmd := &cobra.Command{
		Use:   "primary --data Data.fs [--blobs DIR] --replicate-to ADDR [--attach]",
		Short: "stream a storage to secondaries",
		Long:  primaryHelp,
		Example: "  zrsd primary --data var/Data.fs --blobs var/blobs --attach \\\n" +
			"      --replicate-to 127.0.0.1:5000 --admin 127.0.0.1:5001",
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := addressList("--replicate-from", others)
			if err != nil {
				return err
			}
			return f.runNode(cmd.Context(), func(common node.Config) node.Storage {
				who.give(&common)
				return node.Storage{Primary: &node.PrimaryConfig{
					Config: common, Attach: attach, ReplicateFrom: list, Protocol: secondary.Protocol(protocol),
				}}
			})
		},
	}
	f.register(cmd)
	who.registerNew(cmd.Flags())
	cmd.Flags().BoolVar(&attach, "attach", false, "follow files that another process writes")
	cmd.Flags().StringVar(&others, "replicate-from", "", "`ADDR[,ADDR]` of the other nodes: where this node looks "+
		"for the primary when it is a secondary")
	cmd.Flags().StringVar(&protocol, "protocol", protocol,
		"protocol to the primary when this node is a secondary: native, or auto")
	return cmd
}
