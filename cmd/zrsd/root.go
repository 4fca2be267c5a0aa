package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/zrs"
	"github.com/zrsd/zrsd/protocol"
)

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(newOutput(stdout))
	root.SetErr(stderr)
	var signalled stop
	err := signalled.end(root.ExecuteContext(context.WithValue(ctx, stopKey{}, &signalled)))
	if err != nil && !errors.Is(err, errTold) {
		text := strings.TrimSpace(err.Error())
		if h := hint(err); h != "" {
			text += ": " + h
		}
		fmt.Fprintln(stderr, "zrsd:", printable.Text(text))
	}
	return exitCode(err)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "zrsd",
		Short: "serve and replicate ZODB FileStorages",
		Long: "zrsd is a ZEO server: it serves ZODB FileStorages to ZEO clients, in the place of runzeo, and\n" +
			"streams their transactions and blobs to any number of copies, live and from history.\n\n" +
			addressHelp + "\n\n" + exitHelp,
		Version:           node.Version(),
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args:              cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(fmt.Errorf("there is no command %q: %ssee zrsd --help", args[0], meant(cmd, args[0])))
			}
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w: see %s --help", plainFlagError(err), cmd.CommandPath()))
	})
	root.SetVersionTemplate("zrsd {{.Version}}\n")
	root.SetUsageTemplate(root.UsageTemplate() + "{{if .HasParent}}\nExit codes are listed by zrsd --help.\n{{end}}")
	addGroup(root, "Serve ZEO clients:", serveCommand(), runzeoCommand(), packCommand(), undoLogCommand(),
		undoCommand(), revertCommand(), feedCommand(), clientsCommand(), topCommand(), configCommand())
	addGroup(root, "Replicate:", primaryCommand(), secondaryCommand(), applyUntilCommand(), seedCommand(),
		reseedCommand())
	addGroup(root, "Back up:", archiveCommand())
	addGroup(root, "Fail over:", switchoverCommand(), promoteCommand(), demoteCommand(), freezeCommand(), thawCommand(),
		maintenanceCommand(), rewindCommand(), salvageCommand(), drillCommand())
	addGroup(root, "Inspect:",
		statusCommand(), healthCommand(), doctorCommand(), reconCommand(), nagiosCommand(), dumpCommand(),
		compareCommand(), versionCommand())
	addGroup(root, "Look inside:", classesCommand(), refsCommand(), findCommand(), diffCommand(), exportCommand(),
		duCommand(), graphCommand())
	addGroup(root, "Check and repair:", checkCommand(), verifyCommand(), healCommand(), blobsCommand(),
		repozoCommand())
	return root
}

// meant returns the commands that a name may have been meant to be, as a part of a sentence.
func meant(root *cobra.Command, name string) string {
	root.SuggestionsMinimumDistance = 2
	list := root.SuggestionsFor(name)
	if len(list) == 0 {
		return ""
	}
	return "did you mean " + strings.Join(list, " or ") + "? "
}

// addGroup adds commands that the help lists together.
func addGroup(root *cobra.Command, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title})
	for _, cmd := range commands {
		cmd.GroupID = title
	}
	root.AddCommand(commands...)
}

const addressHelp = `ADDR is host:port, :port for all interfaces, or a path with a slash for a Unix socket. For a
command to a running node it may also be the name of the node, where it or a node that knows it runs on this
machine; the path of its configuration (zeo.conf); or that of the Data.fs, where it was started without --admin.`

// arguments is the check that a command has its arguments, named as in its usage line.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usage(fmt.Errorf("%s is missing: %s %s; see %s --help", names[len(args)], cmd.CommandPath(),
				strings.Join(names, " "), cmd.CommandPath()))
		case len(args) > len(names):
			return usage(fmt.Errorf("%q is one argument too many: see %s --help", args[len(names)],
				cmd.CommandPath()))
		}
		return nil
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "show version, file formats and protocols",
		Args:  arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "zrsd %s %s %s/%s\n"+
				"commit       %s\n"+
				"ZEO          protocol 5 (Z5, M5): clients of ZEO 5 and 6\n"+
				"replication  native messages %d, %d; %s, %s of zc.zrs\n"+
				"files        Data.fs FS21, FS30; state file %d\n",
				node.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, node.Commit(), protocol.OldestVersion,
				protocol.MessageVersion, zrs.V20, zrs.V21, state.FormatVersion)
			return err
		},
	}
}
