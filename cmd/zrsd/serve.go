package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/config"
	"github.com/zrsd/zrsd/internal/eventlog"
	"github.com/zrsd/zrsd/internal/moment"
	"github.com/zrsd/zrsd/internal/node"
)

const serveHelp = `Serves one or more storages as a configuration file of runzeo says, with the sections of zc.zrs and
our own: see docs/configuration.md. The role of each storage follows from replicate-from and
replicate-to, as with zc.zrs.

With --as-of clients see the storage as it was at a moment, and nothing that was committed later: a
report over hours reads one state. The files are only read, no lock is taken, and whatever process writes
them goes on. MOMENT is a TID, a TIME such as "2026-01-31 14:05", or one that moves on with the clock:
yesterday (the beginning of today), "each day at 06:30", "each hour", "4h ago". A node serves moments of
its storages itself by <as-of NAME> in its configuration: see docs/reports.md.

With --from-archive such a moment is read from an archive (zrsd archive), and nothing has to be restored:
what clients read is fetched, verified, and kept in the folder --cache, up to --cache-size. The first start
reads the whole data file once, for the index of that moment; later ones do not. The cache of an encrypted
archive is not encrypted: its folder must have mode 0700. With -C several moments are served, by
<from-archive NAME> in the file.

Without a file, the environment of the plone-zeo container image counts: ZEO_PORT, ZEO_READ_ONLY,
ZEO_INVALIDATION_QUEUE_SIZE and ZEO_PACK_KEEP_OLD, with filestorage/Data.fs and blobstorage below --dir,
or --data and --blobs. What is missing there is created.

With --archive the storage is archived continuously, as that of a primary is: see docs/backup.md.

SIGTERM and SIGINT stop it. SIGUSR2 reopens the log files, SIGHUP reloads certificates.`

type serveOptions struct {
	dir, data, blobs string
	line             config.CommandLine
	makeFolders      bool
	asOf             string
	from             node.FromArchive
	cache            string
	blobCache        int64
	archive          node.ArchiveConfig

	who identityFlags
}

func serveCommand() *cobra.Command {
	var opt serveOptions
	cmd := &cobra.Command{
		Use:   "serve [-C zeo.conf | --dir DIR | --data Data.fs [--blobs DIR]]",
		Short: "serve storages as a configuration file says",
		Long:  serveHelp,
		Example: "  zrsd serve -C zeo.conf\n" +
			"  zrsd serve --from-archive s3://backup/app --as-of yesterday --cache var/cache --zeo 127.0.0.1:8201\n" +
			"  zrsd serve --data var/Data.fs --blobs var/blobs --as-of yesterday --zeo 127.0.0.1:8200",
		Args: onlyOptions,
		RunE: func(cmd *cobra.Command, _ []string) error { return opt.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&opt.line.File, "configure", "C", "", "configuration `FILE`")
	flags.StringVar(&opt.line.Address, "zeo", "", "where clients connect, instead of what the file or ZEO_PORT says: "+
		"PORT, HOST:PORT, or a `PATH` with a slash; also --listen")
	flags.StringVar(&opt.line.Admin, "admin", "", "`ADDR` for status, metrics, health and commands over HTTP, instead "+
		"of that of <admin>; default: a Unix socket, Data.fs.admin")
	flags.StringVar(&opt.dir, "dir", "", "`DIR` of filestorage/Data.fs and blobstorage; default: the working "+
		"directory")
	pathVar(flags, &opt.data, "data", "the `Data.fs`, instead of that below --dir")
	pathVar(flags, &opt.blobs, "blobs", "the blob `DIR`, instead of that below --dir")
	flags.BoolVar(&opt.makeFolders, "make-folders", false, "create the folders of the files that -C names: for a new "+
		"volume")
	flags.StringVar(&opt.asOf, "as-of", "", "serve the files as of this `MOMENT`, for reading only, beside whatever "+
		"process writes them")
	registerArchive(flags, &opt.archive)
	opt.registerFrom(flags)
	opt.who.registerNew(flags)
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "listen" {
			name = "zeo"
		}
		return pflag.NormalizedName(name)
	})
	return cmd
}

// registerFrom registers what is about an archive that is read.
func (opt *serveOptions) registerFrom(flags *pflag.FlagSet) {
	flags.StringVar(&opt.from.URL, "from-archive", "", "with --as-of: read from the archive at this `URL`; nothing of "+
		"the storage is here")
	pathVar(flags, &opt.from.Identity, "identity", "`FILE` with age identities, for an archive that is encrypted")
	pathVar(flags, &opt.cache, "cache", "`DIR` in which a part of the archive is kept; of this process only")
	bytesVar(flags, &opt.from.Size, "cache-size", node.DefaultViewSize,
		"how many `BYTES` of the data file are kept in --cache")
	bytesVar(flags, &opt.blobCache, "blob-cache-size", node.DefaultViewSize, "likewise, of blobs")
	bytesVar(flags, &opt.from.Rate, "from-archive-rate", 0, "limit of `BYTES` per second; 0 for none")
}

// checkFrom reports what makes no sense about it, and makes the folder of the cache.
func (opt *serveOptions) checkFrom() error {
	switch given := opt.dir + opt.data + opt.blobs; {
	case opt.from.URL == "" && opt.cache+opt.from.Identity != "":
		return errors.New("--cache and --identity are for --from-archive: name the archive, or leave them out")
	case opt.from.URL == "":
		return nil
	case opt.asOf == "":
		return errors.New("--from-archive: name the moment with --as-of, such as --as-of yesterday")
	case opt.line.File != "":
		return errors.New("--from-archive with -C: write <from-archive NAME> into the file, and <as-of> with it as " +
			"storage")
	case given != "":
		return errors.New("--from-archive: nothing of the storage is here: leave out --dir, --data and --blobs")
	case opt.cache == "":
		return errors.New("--from-archive: name a folder with --cache, for what is kept of the archive")
	case opt.blobCache <= 0:
		return fmt.Errorf("--blob-cache-size %d: give a number of bytes", opt.blobCache)
	}
	opt.data, opt.blobs = filepath.Join(opt.cache, "Data.fs"), filepath.Join(opt.cache, "blobs")
	if err := os.MkdirAll(opt.cache, 0o700); err != nil {
		return fmt.Errorf("--cache: %w", err)
	}
	return nil
}

// onlyOptions refuses arguments, and says how a file is given.
func onlyOptions(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return usage(fmt.Errorf("%s: give a configuration file with -C, and a data file with --data", args[0]))
	}
	return arguments()(cmd, args)
}

func (opt *serveOptions) run(ctx context.Context) error {
	if err := opt.checkFrom(); err != nil {
		return usage(err)
	}
	cfg, err := opt.load()
	if err != nil {
		return usage(err)
	}
	adapt := func(p node.Process) node.Process { return opt.archived(opt.who.giveAll(p)) }
	switch {
	case opt.archive.URL != "" && opt.line.File != "":
		return usage(errors.New("--archive with -C: write archive into <filestorage> in the file"))
	case opt.archive.URL != "" && opt.asOf != "":
		return usage(errors.New("--archive with --as-of: these files are only read, and archived where they are " +
			"written"))
	}
	if opt.asOf != "" {
		if adapt, err = opt.onlyAsOf(); err != nil {
			return err
		}
	}
	return serve(ctx, cfg, adapt)
}

// archived has the storage archived that the command line names.
func (opt *serveOptions) archived(p node.Process) node.Process {
	if opt.archive.URL != "" {
		p.Storages[0].Standalone.Archive = opt.archive
	}
	return p
}

// onlyAsOf returns what makes of a process one that serves its storage as of a moment, and nothing else.
func (opt *serveOptions) onlyAsOf() (adapt func(node.Process) node.Process, err error) {
	at, err := moment.Parse(opt.asOf, time.Local)
	switch {
	case err != nil:
		return nil, flagError("--as-of", err)
	case opt.line.File != "":
		return nil, usage(errors.New("--as-of with -C: write <as-of NAME> into the file, or name the files with " +
			"--data and --blobs"))
	}
	return func(p node.Process) node.Process {
		for i := range p.Storages {
			alone := p.Storages[i].Standalone
			alone.ReadOnly, alone.OnlyMoments, alone.From = true, true, opt.from
			if opt.from.URL != "" {
				alone.BlobPlaces.CacheSize = opt.blobCache
			}
			alone.Moments = []node.MomentConfig{{Name: p.Storages[i].Name, At: at}}
		}
		return p
	}, nil
}

// serve runs the storages of a configuration until the process is told to stop.
func serve(ctx context.Context, cfg *config.Config, adapt func(node.Process) node.Process) (err error) {
	if err := served(cfg); err != nil {
		return usage(err)
	}
	log, err := openServeLog(cfg.EventLog)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	for _, n := range cfg.Notes {
		log.Info(n.String())
	}
	reloads := new(node.Reloads)
	ctx, stop := withSignals(ctx, log, reloads)
	defer stop()
	return withPIDFile(cfg.ZEO, log, func() error { return node.Serve(ctx, adapt(process(cfg, log, reloads))) })
}

// served reports what a configuration asks for that nobody could use, or that this build does not do.
func served(cfg *config.Config) error {
	if cfg.ZEO != nil {
		return nil
	}
	for _, st := range cfg.Storages {
		if st.Replication == nil {
			return fmt.Errorf("%v: nothing can use the storage %s: there is no <zeo> for clients and no <zrs> "+
				"around it", st.Pos, st.Name)
		}
	}
	return nil
}

// load reads the file, or makes up a configuration from the environment.
func (opt *serveOptions) load() (*config.Config, error) {
	switch given := opt.dir + opt.data + opt.blobs; {
	case opt.line.File != "" && given != "":
		return nil, errors.New("--configure names the storages: leave out --dir, --data and --blobs")
	case opt.line.File != "" && opt.makeFolders:
		if err := config.MakeFolders(opt.line.File); err != nil {
			return nil, err
		}
		fallthrough
	case opt.line.File != "":
		return opt.line.Load()
	case opt.dir != "" && opt.data != "":
		return nil, errors.New("--dir and --data both name the storage: leave one out")
	}
	data, blobs := opt.data, opt.blobs
	if data == "" {
		data = filepath.Join(opt.dir, "filestorage", "Data.fs")
		if blobs == "" {
			blobs = filepath.Join(opt.dir, "blobstorage")
		}
	}
	return config.FromEnvironment(data, blobs, opt.line)
}

// A serverLog is what the parts of a server that act on signals need of a log.
type serverLog interface {
	hclog.Logger
	Reopen()
	Close() error
}

// openServeLog opens the log of <eventlog>, or what runzeo does without one.
func openServeLog(e *config.EventLog) (serverLog, error) {
	if e == nil {
		e = config.DefaultEventLog()
	}
	var sinks []eventlog.Sink
	for _, f := range e.Files {
		sinks = append(sinks, eventlog.Sink{
			Path: f.Path.V, Level: int(f.Level.V), Format: f.Format.V, Date: f.DateFormat.V,
			MaxSize: f.MaxSize.V, OldFiles: int(f.OldFiles.V),
		})
	}
	log, err := eventlog.Open(int(e.Level.V), sinks)
	if err != nil {
		return nil, &node.StartError{Err: err}
	}
	return log, nil
}
