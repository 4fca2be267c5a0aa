package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/cluster/lease"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/tlsauth"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zeo"
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
	flags.StringVar(&f.admin, "admin", "", "`ADDR` for status, metrics, health and commands over HTTP; default: "+
		"a Unix socket, Data.fs.admin")
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
	flags.StringVar(&f.config.Sync.Ack, "sync-ack", cluster.SyncDurable,
		"when a secondary counts: durable (on its disk) or applied (visible to its readers)")
	flags.DurationVar(&f.config.Sync.Timeout, "sync-timeout", cluster.DefaultSyncTimeout,
		"time limit before --sync-on-timeout applies")
	flags.StringVar(&f.config.Sync.OnTimeout, "sync-on-timeout", cluster.SyncBlock,
		"block: keep waiting; degrade: stop waiting until they have caught up")
	flags.IntVar(&f.config.MaxSecondaries, "max-secondaries", node.DefaultMaxSecondaries,
		"limit of connected secondaries")
	registerCopies(flags, &f.config)
	registerBlobs(flags, &f.config.BlobPlaces)
	flags.IntVar(&f.config.MaxPerAddress, "max-per-address", node.DefaultMaxPerAddress,
		"limit of unauthenticated connections per address")
	flags.DurationVar(&f.config.HandshakeTimeout, "handshake-timeout", node.DefaultHandshakeTimeout,
		"time limit for a handshake")
	flags.DurationVar(&f.config.IdleTimeout, "idle-timeout", node.DefaultIdleTimeout,
		"time limit without any message, or without progress, from a peer")
	flags.DurationVar(&f.config.DrainTimeout, "drain-timeout", node.DefaultDrainTimeout,
		"time limit for secondaries to catch up after SIGTERM")
	registerPacks(flags, &f.config)
	registerVerify(flags, &f.config)
	registerArchive(flags, &f.config.Archive)
	flags.StringVar(&f.log.Level, "log-level", "info", "trace, debug, info, warn or error")
	flags.BoolVar(&f.log.JSON, "log-json", false, "log JSON objects instead of text")
	flags.StringVar(&f.log.File, "log-file", "", "log to `FILE`, reopened on SIGUSR2, instead of standard error")
}

// registerCopies adds the flags of how copies are begun.
func registerCopies(flags *pflag.FlagSet, c *node.Config) {
	flags.IntVar(&c.MaxSeeds, "max-seeds", node.DefaultMaxSeeds,
		"limit of secondaries that take the data file as it is, at a time")
	bytesVar(flags, &c.SeedRate, "seed-rate", 0, "limit of what they get together, in `BYTES` per second; "+
		"0: none")
	bytesVar(flags, &c.MaxDiffs, "max-diffs", node.DefaultMaxDiffs,
		"limit of `BYTES` that one of them gets in a turn while others wait for theirs; 0: none")
	bytesVar(flags, &c.SeedThreshold, "seed-threshold", node.DefaultSeedThreshold,
		"by how many `BYTES` a primary's data file must be longer for this node to take it as it is, at most 4MB "+
			"where blobs are sent, too; a new copy always does; 0: never")
	flags.BoolVar(&c.SeedCompress, "compress", false,
		"have the primary compress what it sends of its files as they are: for a thin line")
	flags.BoolVar(&c.ExpectData, "expect-data", false,
		"the files must be there: take an empty folder for a disk that is not mounted, and do not start")
	flags.StringVar(&c.Reseed, "reseed", node.ReseedAsk,
		"what a secondary does that has lost its data file: ask, or auto: set it aside and take everything anew")
}

// registerBlobs adds the flags of where blobs are beside the blob directory.
func registerBlobs(flags *pflag.FlagSet, b *node.BlobConfig) {
	bytesVar(flags, &b.CacheSize, "blob-cache-size", 0, "target size of the blob directory, in `BYTES`: other blobs "+
		"are fetched when somebody asks; 0: it has all blobs")
	flags.IntVar(&b.CacheCheck, "blob-cache-size-check", node.DefaultBlobCheck,
		"how many `PERCENT` of it come before it is looked what is too much")
	flags.StringVar(&b.Store, "blobs-store", "", "`URL` of an object store that has all blobs: s3://, gs://, "+
		"azblob:// or file://")
	flags.StringVar(&b.Upload, "blobs-upload", node.UploadNow,
		"when blobs are put there: now, before clients hear of a commit, or later")
	flags.DurationVar(&b.Grace, "blobs-store-grace", 0,
		"remove an object from there that nothing has needed for this `TIME`, as 720h; 0: none")
}

// registerPacks adds the flags of packs by schedule.
func registerPacks(flags *pflag.FlagSet, c *node.Config) {
	flags.StringVar(&c.PackSchedule, "pack-schedule", "", "`WHEN` the storage is packed by itself, as in a crontab: "+
		"\"0 3 * * sun\"; give it to all nodes")
	flags.IntVar(&c.PackDays, "pack-days", node.DefaultPackDays, "how many days of history such packs leave")
}

// registerVerify adds the flags of verifications, and of what follows from them.
func registerVerify(flags *pflag.FlagSet, c *node.Config) {
	v := &c.Verify
	flags.DurationVar(&v.Interval, "verify-interval", node.DefaultVerifyInterval,
		"how often the storage is verified; 0 for never")
	bytesVar(flags, &v.Rate, "verify-rate", node.DefaultVerifyRate,
		"limit of `BYTES` that a verification reads per second; 0 for none")
	flags.DurationVar(&v.Blobs, "verify-blobs", node.DefaultVerifyBlobs,
		"how long ago a blob must have been verified to be read again")
	flags.DurationVar(&v.ReclaimAge, "reclaim-age", node.DefaultReclaimAge,
		"how old temporary files of zrsd must be for a verification to remove them; 0 for never")
	flags.StringVar(&c.Heal, "heal", node.HealByRole, "when damage is replaced by what another node has: auto, "+
		"ask (zrsd heal), or by-role: auto on a secondary, ask on a primary")
}

// registerArchive adds the flags of the archive.
func registerArchive(flags *pflag.FlagSet, a *node.ArchiveConfig) {
	flags.StringVar(&a.URL, "archive", "", "archive the storage at `URL`: a folder, s3://…, gs://… or azblob://…")
	registerArchiveHow(flags, a)
}

// registerArchiveHow adds those of how it is written.
func registerArchiveHow(flags *pflag.FlagSet, a *node.ArchiveConfig) {
	flags.DurationVar(&a.Interval, "archive-interval", node.DefaultArchiveInterval,
		"how long what was committed may wait to be archived")
	bytesVar(flags, &a.Bytes, "archive-bytes", node.DefaultArchiveBytes, "with how many `BYTES` it does not wait")
	bytesVar(flags,
		&a.Rate,
		"archive-rate",
		0,
		"limit of what is written to the archive, in `BYTES` per second; 0: none",
	)
	flags.StringSliceVar(&a.Recipients, "archive-recipients", nil,
		"`AGE[,AGE]` public keys of age for whom the content of the archive is encrypted")
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
	f.config.AdminBeside = true
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

// A pathFlag is the path of a Data.fs or a blob directory, in the one spelling that counts from here on.
type pathFlag struct{ path *string }

func (f pathFlag) String() string { return *f.path }
func (f pathFlag) Type() string   { return "string" }

// Set is part of pflag.Value.
func (f pathFlag) Set(path string) error {
	*f.path = vfs.CleanPath(path)
	return nil
}

// pathVar adds the flag of such a path.
func pathVar(flags *pflag.FlagSet, path *string, name, usage string) {
	flags.Var(pathFlag{path}, name, usage)
}

// flagError names the flag that an error is about.
func flagError(flag string, err error) error {
	if err == nil {
		return nil
	}
	return usage(fmt.Errorf("%s: %w", flag, err))
}

// tlsFlags name the files of one side of TLS connections.
type tlsFlags struct{ tlsauth.Files }

// register adds the flags; prefix is "" or "admin-", whose is what has the certificate.
func (f *tlsFlags) register(flags *pflag.FlagSet, prefix, whose string) {
	flags.StringVar(&f.Certificate, prefix+"tls-cert", "", "`FILE` with "+whose+" certificate, for TLS")
	flags.StringVar(&f.Key, prefix+"tls-key", "", "`FILE` with its key, if it is not in the certificate file")
	flags.StringVar(&f.PasswordFile, prefix+"tls-password-file", "", "`FILE` with the password of an encrypted key")
	flags.StringVar(&f.Authority, prefix+"tls-ca", "",
		"`FILE` or folder with the authorities of the other side's certificates")
	flags.StringSliceVar(&f.Peers, prefix+"tls-peer", nil,
		"`NAME[,NAME]` of which the other side's certificate must have one")
}

// files returns nil when no flag was given.
func (f *tlsFlags) files() *tlsauth.Files {
	if f.Certificate+f.Key+f.PasswordFile+f.Authority == "" && len(f.Peers) == 0 {
		return nil
	}
	files := f.Files
	files.Peers = slices.Clone(f.Peers)
	return &files
}

// dialer returns how a client connects: with TLS when there are flags for it.
func (f *tlsFlags) dialer(e endpoint.Endpoint) (dialer, error) {
	files := f.files()
	if files == nil {
		return e.Dial, nil
	}
	credentials, err := tlsauth.Load(*files)
	if err != nil {
		return nil, cannotOpen(err)
	}
	return func(ctx context.Context) (net.Conn, error) { return credentials.Dial(ctx, e.Dial, e.Host()) }, nil
}

// peerFlags are what commands have in common that connect to a node as nodes do, beside the flags of TLS.
type peerFlags struct {
	secretFile string
	plainText  bool
}

// register adds the flags. use says for which flag they are, where a command may do without a node.
func (f *peerFlags) register(flags *pflag.FlagSet, use string) {
	flags.StringVar(&f.secretFile, "secret-file", "", "`FILE` with the shared secret of the replication"+use)
	flags.BoolVar(&f.plainText, "insecure-plain-text", false, "talk to another machine without encryption"+use)
}

// peer returns how to connect to e as nodes do, and the secret in a file; without a file there is none. As with nodes,
// plain text leaves this machine only where that was asked for.
func (f *tlsFlags) peer(e endpoint.Endpoint, with peerFlags) (
	dial func(ctx context.Context) (net.Conn, error), secret protocol.Secret, err error,
) {
	c := node.Config{TLS: f.files(), SecretFile: with.secretFile, InsecurePlainText: with.plainText}
	if err := c.MayDial(e); err != nil {
		return nil, nil, err
	}
	if dial, err = f.dialer(e); err != nil || with.secretFile == "" {
		return dial, nil, err
	}
	secret, _, err = tlsauth.ReadSecret(with.secretFile)
	return dial, secret, cannotOpen(err)
}

// identityFlags say who a node is whose state file does not say so beyond doubt.
type identityFlags struct{ fresh, asItWas bool }

func (f *identityFlags) register(flags *pflag.FlagSet) {
	flags.BoolVar(&f.asItWas, "as-it-was", false, "for one start, after the files were moved or the whole cluster "+
		"was restored: trust the state file")
}

// registerNew is for what may begin as primary.
func (f *identityFlags) registerNew(flags *pflag.FlagSet) {
	f.register(flags)
	flags.BoolVar(&f.fresh, "new-identity", false, "for one start: make a storage without a state file, or a copy, "+
		"a separate database")
}

func (f *identityFlags) give(c *node.Config) { c.NewIdentity, c.AsItWas = f.fresh, f.asItWas }

// giveAll does so for every storage.
func (f *identityFlags) giveAll(p node.Process) node.Process {
	for i := range p.Storages {
		switch st := &p.Storages[i]; {
		case st.Primary != nil:
			f.give(&st.Primary.Config)
		case st.Secondary != nil:
			st.Secondary.AsItWas = f.asItWas
		default: // it has an identity where it is archived
			f.give(&st.Standalone.Config)
		}
	}
	return p
}

// zeoStorage is the name of the one storage of a node: the one that ZEO clients ask for unless told otherwise.
const zeoStorage = "1"

// zeoFlags say where a node serves ZEO clients.
type zeoFlags struct {
	address string
	tls     tlsFlags
}

func (f *zeoFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.address, "zeo", "", "`ADDR` where ZEO clients connect, to a storage of the name "+zeoStorage)
	f.tls.register(flags, "zeo-", "the ZEO server's")
}

// config says where clients are served; nil: nowhere.
func (f *zeoFlags) config(log hclog.Logger) (*node.ZEOConfig, error) {
	at, err := optionalAddress("--zeo", f.address)
	switch tls := f.tls.files(); {
	case err != nil:
		return nil, err
	case at.IsZero() && tls != nil:
		return nil, usage(errors.New("--zeo-tls-… are of the ZEO server: give it an address with --zeo"))
	case at.IsZero():
		return nil, nil //nolint:nilnil // no clients are served
	case tls != nil && tls.Certificate == "":
		return nil, usage(errors.New("--zeo-tls-… need the ZEO server's certificate: give --zeo-tls-cert"))
	default:
		return &node.ZEOConfig{Address: at, TLS: tls, Options: zeo.Options{Logger: log.Named("zeo")}}, nil
	}
}

// coordinatorFlags say where the coordinator is.
type coordinatorFlags struct {
	node.CoordinatorConfig
	tls tlsauth.Files
}

func (f *coordinatorFlags) register(flags *pflag.FlagSet) {
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.Replace(name, "referee", "coordinator", 1)) // as it was before version 0.9
	})
	flags.StringVar(&f.Address, "coordinator", "",
		"`etcd://HOST:PORT[,HOST:PORT]`, or kubernetes:// in a pod, that decides which node is primary; without it "+
			"you change roles by hand")
	flags.StringVar(&f.Prefix, "coordinator-prefix", "", "`PREFIX` of its keys, or name of its Lease; default: /zrsd/ "+
		"or zrsd-, and the storage id")
	flags.StringVar(&f.tls.Authority, "coordinator-tls-ca", "",
		"`FILE` or folder with the authorities of the coordinator's certificates, for TLS")
	flags.StringVar(
		&f.tls.Certificate,
		"coordinator-tls-cert",
		"",
		"`FILE` with the certificate to show to the coordinator",
	)
	flags.StringVar(&f.tls.Key, "coordinator-tls-key", "", "`FILE` with its key, if it is not in the certificate file")
	flags.StringVar(&f.UserFile, "coordinator-user-file", "", "`FILE` with USER:PASSWORD for the coordinator, "+
		"or the token for Kubernetes; default: the pod's")
}

// config returns nil when no coordinator was given.
func (f *coordinatorFlags) config() (*node.CoordinatorConfig, error) {
	tls := f.tls.Authority+f.tls.Certificate+f.tls.Key != ""
	switch {
	case f.Address == "" && (tls || f.UserFile+f.Prefix != ""):
		return nil, usage(
			errors.New("this needs a coordinator: name it with --coordinator etcd://HOST:2379"),
		)
	case f.Address == "":
		return nil, nil //nolint:nilnil // roles are changed by hand
	}
	cfg := f.CoordinatorConfig
	if tls {
		cfg.TLS = &f.tls
	}
	return &cfg, nil
}
