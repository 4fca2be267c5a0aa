package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/secondary"
)

const secondaryHelp = `Connects to a primary and applies its transactions to a storage of its own, first those that it
lacks, then live, and connects again whenever the connection ends. If there is no Data.fs, it creates
an empty one. With --replicate-to it serves further secondaries, and with --zeo ZEO clients that only
read.

SIGTERM and SIGINT stop it after what has arrived is on disk. SIGUSR2 reopens the log file.`

func secondaryCommand() *cobra.Command {
	var f nodeFlags
	var who identityFlags
	var from, seedFrom string
	var spare bool
	var spareAfter, readyLag = cluster.DefaultSpareAfter, node.DefaultReadyLag
	var applyDelay time.Duration
	var maxRecord, maxFrame int64
	protocol, keepAlive := string(secondary.ProtocolAuto), node.DefaultKeepAliveDelay
	cmd := &cobra.Command{
		Use:   "secondary --data Data.fs [--blobs DIR] --replicate-from ADDR[,ADDR] [--replicate-to ADDR]",
		Short: "keep a copy of a primary's storage",
		Long:  secondaryHelp,
		Example: "  zrsd secondary --data copy/Data.fs --blobs copy/blobs \\\n" +
			"      --replicate-from db1:5000 --admin 127.0.0.1:5002",
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := addressList("--replicate-from", from)
			if err != nil {
				return err
			}
			archive, others := splitSeeds(seedFrom)
			seeds, err := addressList("--seed-from", others)
			if err != nil {
				return err
			}
			return f.runNode(cmd.Context(), func(common node.Config) node.Storage {
				who.give(&common)
				return node.Storage{Secondary: &node.SecondaryConfig{
					Config: common, ReplicateFrom: list, ReadyLag: readyLag, MaxRecord: maxRecord, MaxFrame: maxFrame,
					Protocol: secondary.Protocol(protocol), KeepAliveDelay: keepAlive,
					SeedFrom: seeds, SeedArchive: archive, Spare: spare, SpareAfter: spareAfter,
					ApplyDelay: applyDelay,
				}}
			})
		},
	}
	f.register(cmd)
	who.register(cmd.Flags())
	cmd.Flags().StringVar(&from, "replicate-from", "", "`ADDR[,ADDR]` of the primary, tried in turn")
	cmd.Flags().StringVar(&seedFrom, "seed-from", "",
		"`ADDR[,ADDR]` of nodes whose data file is taken as it is, before the primary is connected to; or the URL of "+
			"an archive from which an empty one is filled")
	cmd.Flags().BoolVar(&spare, "spare", false,
		"follow the primary only while another node of --replicate-from is out")
	cmd.Flags().DurationVar(&spareAfter, "spare-after", spareAfter, "for how long it must be out")
	cmd.Flags().DurationVar(&applyDelay, "apply-delay", 0,
		"how old a transaction has to be before ZEO clients of this node see it, such as 4h: it is received at once")
	cmd.Flags().StringVar(&protocol, "protocol", protocol,
		"protocol to the primary: native, zrs2 (of zc.zrs), or auto: native, and zrs2 if the primary does not "+
			"speak native")
	cmd.Flags().DurationVar(&keepAlive, "keep-alive-delay", keepAlive,
		"time between keep-alives to a zc.zrs primary; 0: none")
	cmd.Flags().BoolVar(&f.config.SharedBlobs, "blobs-shared", false,
		"--blobs is the primary's own directory: no blobs are sent, nothing is written there")
	cmd.Flags().DurationVar(&readyLag, "ready-lag", readyLag, "lag up to which /readyz answers yes")
	bytesVar(cmd.Flags(), &maxRecord, "max-record", node.DefaultMaxRecord, "size limit of a record, in `BYTES`")
	bytesVar(cmd.Flags(), &maxFrame, "max-frame", node.DefaultMaxFrame,
		"size limit of a frame, in `BYTES`: the metadata of a transaction")
	return cmd
}

// splitSeeds tells the URL of an archive from addresses.
func splitSeeds(list string) (archive, others string) {
	var addresses []string
	for _, one := range strings.Split(list, ",") {
		if strings.Contains(one, "://") {
			archive = one
		} else if one != "" {
			addresses = append(addresses, one)
		}
	}
	return archive, strings.Join(addresses, ",")
}
