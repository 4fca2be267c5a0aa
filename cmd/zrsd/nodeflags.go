package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/cluster/lease"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/node"
)

// nodeFlags are the flags that both roles have.
type nodeFlags struct {
	config      node.Config
	replicateTo string
	advertise   string
	admin       string
	tls         tlsFlags
	adminTLS    tlsFlags
	zeo         zeoFlags
	coordinator coordinatorFlags
	log         node.LogOptions
}

func (f *nodeFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	pathVar(flags, &f.config.Data, "data", "the `Data.fs`")
	pathVar(flags, &f.config.Blobs, "blobs", "the blob `DIR`; without it blobs are refused")
	flags.StringVar(&f.config.Name, "name", "",
		"`NAME` of this node for other nodes; default: its host and data file")
	flags.StringVar(&f.replicateTo, "replicate-to", "", "`ADDR` where secondaries connect")
	flags.StringVar(&f.advertise, "advertise", "", "`ADDR` where other nodes reach --replicate-to, if they cannot "+
		"use that address or this machine's name")
	flags.StringVar(&f.admin, "admin", "", "`ADDR` for status, metrics, health and commands over HTTP")
	flags.StringSliceVar(&f.config.AdminNames, "admin-names", nil,
		"`NAME[,NAME]` of hosts under which --admin answers, beside this machine's")
	f.zeo.register(flags)
	f.tls.register(flags, "", "this node's")
	f.adminTLS.register(flags, "admin-", "the admin server's")
	f.coordinator.register(flags)
	flags.DurationVar(&f.coordinator.TTL, "coordinator-ttl", lease.DefaultTTL,
		"how long a silent primary keeps its lease")
	flags.StringVar(&f.config.SecretFile, "secret-file", "",
		"`FILE` with a secret that both sides must have; it does not encrypt")
	flags.BoolVar(&f.config.InsecurePlainText, "insecure-plain-text", false,
		"talk to other machines without encryption")
	flags.DurationVar(&f.config.Heartbeat, "heartbeat", node.DefaultHeartbeat,
		"how often the last tid is sent to secondaries")
	flags.IntVar(&f.config.Sync.Required, "sync-secondaries", 0,
		"how many secondaries commits of ZEO clients wait for, when this node is primary")
	flags.StringSliceVar(&f.config.Sync.Names, "sync-names", nil, "`NAME[,NAME]` of the secondaries that count; "+
		"default: all")
	flags.StringVar(&f.config.Sync.Ack, "sync-ack", node.SyncDurable,
		"when a secondary counts: durable (on its disk) or applied (visible to its readers)")
	flags.DurationVar(&f.config.Sync.Timeout, "sync-timeout", node.DefaultSyncTimeout,
		"time limit before --sync-on-timeout applies")
	flags.StringVar(&f.config.Sync.OnTimeout, "sync-on-timeout", node.SyncBlock,
		"block: keep waiting; degrade: stop waiting until they have caught up")
	flags.IntVar(&f.config.MaxSecondaries, "max-secondaries", node.DefaultMaxSecondaries,
		"limit of connected secondaries")
	flags.IntVar(&f.config.MaxPerAddress, "max-per-address", node.DefaultMaxPerAddress,
		"limit of unauthenticated connections per address")
	flags.DurationVar(&f.config.HandshakeTimeout, "handshake-timeout", node.DefaultHandshakeTimeout,
		"time limit for a handshake")
	flags.DurationVar(&f.config.IdleTimeout, "idle-timeout", node.DefaultIdleTimeout,
		"time limit without any message, or without progress, from a peer")
	flags.DurationVar(&f.config.DrainTimeout, "drain-timeout", node.DefaultDrainTimeout,
		"time limit for secondaries to catch up after SIGTERM")
	flags.StringVar(&f.log.Level, "log-level", "info", "trace, debug, info, warn or error")
	flags.BoolVar(&f.log.JSON, "log-json", false, "log JSON objects instead of text")
	flags.StringVar(&f.log.File, "log-file", "", "log to `FILE`, reopened on SIGUSR2, instead of standard error")
}

// runNode reads the common flags, opens the log and runs a node until a signal ends it. storage gives the node its
// role.
func (f *nodeFlags) runNode(ctx context.Context, storage func(common node.Config) node.Storage) (err error) {
	if f.config.ReplicateTo, err = optionalAddress("--replicate-to", f.replicateTo); err != nil {
		return err
	}
	if f.config.Advertise, err = optionalAddress("--advertise", f.advertise); err != nil {
		return err
	}
	if f.config.Admin, err = optionalAddress("--admin", f.admin); err != nil {
		return err
	}
	f.config.TLS, f.config.AdminTLS = f.tls.files(), f.adminTLS.files()
	if f.config.Coordinator, err = f.coordinator.config(); err != nil {
		return err
	}
	f.config.Reloads = new(node.Reloads)
	log, err := node.OpenLog(f.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	f.config.Logger = log.Logger
	st := storage(f.config)
	st.Name = zeoStorage
	clients, err := f.zeo.config(log.Logger)
	if err != nil {
		return err
	}
	if clients != nil && st.Primary != nil && st.Primary.Attach {
		return usage(errors.New("--zeo with --attach: the files belong to another process, which serves their " +
			"clients: leave out one of the two"))
	}
	ctx, stop := withSignals(ctx, log, f.config.Reloads)
	defer stop()
	return node.Serve(ctx, node.Process{Shared: f.config, Storages: []node.Storage{st}, ZEO: clients})
}

func optionalAddress(flag, addr string) (endpoint.Endpoint, error) {
	if addr == "" {
		return endpoint.Endpoint{}, nil
	}
	e, err := endpoint.Parse(addr)
	return e, flagError(flag, err)
}

// addressList reads the addresses of a flag, none where it was not given.
func addressList(flag, list string) ([]endpoint.Endpoint, error) {
	if list == "" {
		return nil, nil
	}
	addresses, err := endpoint.ParseList(list)
	return addresses, flagError(flag, err)
}
