package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/vfs"
)

type verifyOptions struct {
	once, json bool
	rate       int64
}

const verifyHelp = `Reads the whole file and looks whether it is still what it was: structure, back pointers, references
and the saved index, the content of all transactions against the checkpoints of their hash chain, and
all bytes against the checksums that the pass before has noted. It writes nothing but such notes, in
files of its own beside the Data.fs, takes no lock, and can be run beside a server.

Servers do this by themselves: see --verify-interval.

Exits with 0 when there is no damage (there may be warnings), with 1 when there is, with 3 when the
file cannot be opened, with 5 when it could not be read to its end.`

func verifyCommand() *cobra.Command {
	var opt verifyOptions
	cmd := &cobra.Command{
		Use:     "verify --once Data.fs [--rate BYTES] [--json]",
		Short:   "look whether a copy is still what it was",
		Long:    verifyHelp,
		Example: "  zrsd verify --once var/Data.fs",
		Args:    arguments("Data.fs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if opt.rate < 0 {
				return usage(fmt.Errorf("--rate %d: give a number of bytes per second, or 0 for no limit", opt.rate))
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return opt.file(ctx, vfs.CleanPath(args[0]), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&opt.once, "once", true, "one pass, now")
	flags.Int64Var(&opt.rate, "rate", 0, "limit of `BYTES` read per second; 0 for none")
	flags.BoolVar(&opt.json, "json", false, "print the result as a JSON object, see docs/commands-json.md")
	return cmd
}

// file makes one pass over a data file.
func (opt *verifyOptions) file(ctx context.Context, path string, stdout, stderr io.Writer) error {
	bar := newProgress(stderr, "verifying")
	pass, err := verify.Run(ctx, verify.Options{
		Path: path, Rate: opt.rate, Progress: bar.update,
	})
	bar.clear()
	if err != nil && ctx.Err() == nil && pass.Transactions == 0 {
		return asOpenError(err)
	}
	if err := opt.print(stdout, pass); err != nil {
		return err
	}
	return passed(pass)
}

// passed gives the result of a pass its exit code.
func passed(pass *verify.Pass) error {
	switch {
	case pass.Damages > 0 || pass.Diff > 0:
		return errFound
	case pass.Error != nil:
		return coded(exitFailed, errors.New(*pass.Error))
	}
	return nil
}

func (opt *verifyOptions) print(w io.Writer, pass *verify.Pass) error {
	if opt.json {
		return json.NewEncoder(w).Encode(pass)
	}
	for i := range pass.Findings {
		if _, err := fmt.Fprintln(w, &pass.Findings[i]); err != nil {
			return err
		}
	}
	if listed := int64(len(pass.Findings)); listed < pass.Damages+pass.Warnings {
		if _, err := fmt.Fprintf(w, "and %d more\n", pass.Damages+pass.Warnings-listed); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, pass.Text())
	return err
}
