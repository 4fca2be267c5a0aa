package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/archive"
	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/internal/repozo"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/protocol"
)

const repozoHelp = `Backs up a Data.fs to a folder, restores it, and verifies backups, with the options of ZODB's
repozo and in its repositories: each of the two programs goes on with what the other one wrote. Blobs are not in
them, as with repozo.

With --from ADDR it is the Data.fs of a running node, over its replication address: as it is when that
begins, to its last transaction. A full backup is sent twice, the second time for the index; a delta also
compares what was backed up before, unless -Q is given. A pack of the node meanwhile is an error.

-B adds a full backup, or a delta where the last backup is the beginning of the Data.fs. A server may be
running on the Data.fs, and a pack may replace it meanwhile: what is backed up is one file, up to its last
transaction. -R restores, to a file that stays what it was until the new one is complete. -V looks whether
the newest chain can be restored.

Exits with 0 when it is done, with 1 when a backup is missing, damaged or not what its .dat file says, with
3 when something cannot be opened.`

type repozoOptions struct {
	backup, recover, verify, verbose       bool
	repository, file, date, output         string
	from                                   string
	peer                                   peerFlags
	tls                                    tlsFlags
	full, quick, gzip, killOld, withVerify bool
}

func repozoCommand() *cobra.Command {
	var opt repozoOptions
	cmd := &cobra.Command{
		Use: "repozo {-B {-f Data.fs | --from ADDR} | -R [-o FILE] [-D DATE] | -V} -r DIR [-F] [-Q] [-z] [-k] " +
			"[-w] [-v]",
		Short: "back up, restore and verify a Data.fs as ZODB's repozo does",
		Long:  repozoHelp,
		Example: "  zrsd repozo -Bvz -r /backup/zodb -f var/Data.fs\n" +
			"  zrsd repozo -BvzQ -r /backup/zodb --from db2:5000\n" +
			"  zrsd repozo -Rv -r /backup/zodb -o restored/Data.fs -D 2026-11-29-20\n" +
			"  zrsd repozo -V -r /backup/zodb",
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			return opt.run(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVarP(&opt.backup, "backup", "B", false, "back up a Data.fs")
	flags.BoolVarP(&opt.recover, "recover", "R", false, "restore a Data.fs")
	flags.BoolVarP(&opt.verify, "verify", "V", false, "verify the newest backup")
	flags.BoolVarP(&opt.verbose, "verbose", "v", false, "say what is done, to standard error")
	flags.StringVarP(&opt.repository, "repository", "r", "", "`DIR` with the backups, which must be there")
	flags.StringVarP(&opt.file, "file", "f", "", "-B: the `Data.fs`")
	flags.StringVar(&opt.from, "from", "", "-B: admin or replication `ADDR` of a running node, instead of -f")
	opt.peer.register(flags, ", for --from")
	opt.tls.register(flags, "", "this client's")
	flags.BoolVarP(&opt.full, "full", "F", false, "-B: make a full backup, whatever is there")
	flags.BoolVarP(&opt.quick, "quick", "Q", false, "-B: compare only the last backup with the Data.fs; -V: compare "+
		"sizes only")
	flags.BoolVarP(&opt.gzip, "gzip", "z", false, "-B: compress with gzip")
	flags.BoolVarP(&opt.killOld, "kill-old-on-full", "k", false, "-B: after a full backup, remove the older ones")
	flags.StringVarP(&opt.date, "date", "D", "", "-R: restore the state of this `DATE`, YYYY-MM-DD[-HH[-MM[-SS]]] in "+
		"UTC; default: the newest")
	flags.StringVarP(&opt.output, "output", "o", "", "-R: the `FILE` to restore to; default: standard output, without "+
		"index")
	flags.BoolVarP(&opt.withVerify, "with-verify", "w", false, "-R: verify what is restored on the way")
	return cmd
}

// check reports what makes no sense together.
func (opt *repozoOptions) check() error {
	modes := 0
	for _, mode := range []bool{opt.backup, opt.recover, opt.verify} {
		if mode {
			modes++
		}
	}
	switch {
	case modes == 0:
		return errors.New("give one of -B (--backup), -R (--recover) and -V (--verify)")
	case modes > 1:
		return errors.New("-B, -R and -V: give only one of them")
	case opt.repository == "":
		return errors.New("-r (--repository) is missing: name the folder with the backups")
	case opt.backup && opt.file == "" && opt.from == "":
		return errors.New("-f (--file) is missing: name the Data.fs, or a running node with --from ADDR")
	case opt.file != "" && opt.from != "":
		return errors.New("-f and --from: leave out one of them")
	case !opt.backup && opt.from != "":
		return errors.New("--from is for -B (--backup): what is restored or verified is in the repository")
	case opt.recover:
		return repozo.CheckDate(opt.date)
	}
	return nil
}

func (opt *repozoOptions) run(ctx context.Context, out, terminal io.Writer) error {
	if err := opt.check(); err != nil {
		return usage(err)
	}
	log := func(string, ...any) {}
	if opt.verbose {
		log = func(text string, args ...any) {
			_, _ = fmt.Fprintln(terminal, printable.Line(fmt.Sprintf(text, args...))) // there is no other place
		}
	}
	dir := vfs.CleanPath(opt.repository)
	var err error
	switch {
	case opt.backup:
		err = opt.backUp(ctx, repozo.BackupOptions{Dir: dir, File: vfs.CleanPath(opt.file), Full: opt.full,
			Quick: opt.quick, Gzip: opt.gzip, KillOld: opt.killOld, Log: log})
	case opt.recover:
		err = repozo.Recover(ctx, repozo.RecoverOptions{Dir: dir, Date: opt.date, Output: vfs.CleanPath(opt.output),
			Writer: bytesOf(out), Verify: opt.withVerify, Log: log})
	default:
		err = repozo.Verify(ctx, repozo.VerifyOptions{Dir: dir, Quick: opt.quick, Log: log})
	}
	var wrong *repozo.VerifyError
	if errors.As(err, &wrong) || errors.Is(err, repozo.ErrNoFiles) {
		return coded(exitFound, err)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return cannotOpen(err)
	}
	return err
}

// backUp backs up a file, or that of a running node.
func (opt *repozoOptions) backUp(ctx context.Context, how repozo.BackupOptions) error {
	if opt.from != "" {
		addr, err := opt.tls.replication(ctx, "--from", opt.from)
		if err != nil {
			return err
		}
		dial, secret, err := opt.tls.peer(addr, opt.peer)
		if err != nil {
			return err
		}
		remote := archive.NewRemote(protocol.Dialer(dial), secret, "repozo")
		defer remote.Close() //nolint:errcheck // it only read
		file, err := remote.SteadyFile(ctx)
		if err != nil {
			return coded(exitUnreachable, fmt.Errorf("open the data file of %s: %w", opt.from, err))
		}
		how.File, how.Source = opt.from, file
	}
	_, err := repozo.Backup(ctx, how)
	return err
}
