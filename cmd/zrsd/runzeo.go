package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/config"
	"github.com/zrsd/zrsd/internal/node"
)

const runzeoHelp = `Serves ZEO clients with the command line of ZEO's runzeo, for scripts and containers that call it: a
link of the name runzeo to zrsd does the same, and so does zrsd -C FILE.

Options win over the file. Unless -C is given, -a and -f are required. Each -f is one storage without
blobs; they are called 1, 2, ...`

// runzeoName is the name under which zrsd takes the command line of runzeo.
const runzeoName = "runzeo"

// asRunzeo returns the arguments for run: those of runzeo where zrsd was called by that name, or with its first option.
func asRunzeo(program string, args []string) []string {
	called := filepath.Base(program) == runzeoName
	if called || len(args) > 0 && (strings.HasPrefix(args[0], "-C") || strings.HasPrefix(args[0], "--configure")) {
		return append([]string{runzeoName}, args...)
	}
	return args
}

func runzeoCommand() *cobra.Command {
	var opt config.CommandLine
	cmd := &cobra.Command{
		Use:     "runzeo [-C FILE] [-a ADDRESS] [-f Data.fs]... [-t SECONDS]",
		Short:   "serve storages with the command line of ZEO's runzeo",
		Long:    runzeoHelp,
		Example: "  zrsd runzeo -a 8100 -f var/Data.fs",
		Version: node.Version(),
		Args:    arguments(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runzeo(cmd.Context(), opt) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&opt.File, "configure", "C", "", "configuration `FILE`")
	flags.StringVarP(
		&opt.Address,
		"address",
		"a",
		"",
		"where clients connect: PORT, HOST:PORT, or a `PATH` with a slash",
	)
	flags.StringArrayVarP(&opt.Filenames, "filename", "f", nil, "`Data.fs` of a storage; may be given several times")
	flags.StringVarP(
		&opt.Timeout,
		"timeout",
		"t",
		"",
		"`SECONDS` that a client may hold the commit lock (default no limit)",
	)
	flags.StringVar(&opt.PIDFile, "pid-file", "", "`FILE` for the process id; default: var/ZEO.pid below "+
		"$INSTANCE_HOME where that is set")
	flags.SetNormalizeFunc(abbreviated)
	return cmd
}

// abbreviated completes the beginning of an option's name, as Python's getopt does.
func abbreviated(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	names := []string{"configure", "address", "filename", "timeout", "pid-file", "help", "version"}
	if slices.Contains(names, name) {
		return pflag.NormalizedName(name)
	}
	names = slices.DeleteFunc(names, func(full string) bool { return !strings.HasPrefix(full, name) })
	if len(names) == 1 {
		name = names[0]
	}
	return pflag.NormalizedName(name)
}

func runzeo(ctx context.Context, opt config.CommandLine) error {
	opt.File = strings.TrimPrefix(opt.File, "file://")
	switch {
	case opt.File == "" && opt.Address == "":
		return usage(errors.New("no server address specified; use -a or -C"))
	case opt.File == "" && len(opt.Filenames) == 0:
		return usage(errors.New("no storages specified; use -f or -C"))
	}
	cfg, err := opt.Load()
	if err != nil {
		return usage(err)
	}
	return serve(ctx, cfg, new(identityFlags).giveAll)
}
