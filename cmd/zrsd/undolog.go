package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node"
)

const undoLogHelp = `Lists transactions that can be undone unless later ones are in the way, the newest first: those
after the last pack. ADDR is the --admin address of a process; --data reads a file instead, takes no
lock, and can be used beside whatever process writes it. TEXT is a part of what the transaction has.
A secondary with --apply-delay lists what its clients see, and with --received all that it has.

It undoes nothing: zrsd undo does that, and applications, which know a transaction by its undo id.`

// undoLogTimeout is how long a process may look for transactions.
const undoLogTimeout = 30 * time.Second

type undoLogOptions struct {
	askFlags
	data string
	q    admin.UndoQuery
}

func undoLogCommand() *cobra.Command {
	var opt undoLogOptions
	cmd := &cobra.Command{
		Use: "undo-log {ADDR [--storage NAME] | --data Data.fs} [-n COUNT] [--first N] [--user TEXT] [--received] " +
			"[--json]",
		Short: "list transactions that can be undone",
		Long:  undoLogHelp,
		Example: "  zrsd undo-log 127.0.0.1:5001 --user admin\n" +
			"  zrsd undo-log --data var/Data.fs -n 3",
		Args: func(cmd *cobra.Command, args []string) error {
			if opt.data != "" {
				return arguments()(cmd, args)
			}
			return arguments("ADDR")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return opt.run(cmd.Context(), args, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	pathVar(flags, &opt.data, "data", "read this `Data.fs`")
	flags.IntVarP(&opt.q.Count, "count", "n", 20, "list at most `COUNT`, of up to 1000")
	flags.IntVar(&opt.q.First, "first", 0, "skip the `N` newest")
	flags.StringVar(&opt.q.User, "user", "", "only those with `TEXT` in the user")
	flags.StringVar(&opt.q.Description, "description", "", "only those with `TEXT` in the description")
	flags.BoolVar(&opt.q.Received, "received", false, "also those that a node with an apply delay does not show yet")
	opt.register(flags)
	return cmd
}

func (opt *undoLogOptions) run(ctx context.Context, args []string, out io.Writer) error {
	switch q := &opt.q; {
	case q.Count < 1 || q.Count > admin.MaxUndoCount:
		return usage(fmt.Errorf("--count %d: give a number from 1 to %d", q.Count, admin.MaxUndoCount))
	case q.First < 0 || q.First > admin.MaxUndoFirst:
		return usage(fmt.Errorf("--first %d: give a number from 0 to %d", q.First, admin.MaxUndoFirst))
	case opt.data != "" && opt.q.Received:
		return usage(errors.New("--received is of a node: a file has everything that was received"))
	case opt.data != "" && opt.storage != "":
		return usage(errors.New("--data names a file: leave out --storage"))
	}
	raw, doc, err := opt.list(ctx, args)
	if err != nil {
		return err
	}
	if opt.json {
		_, err := out.Write(raw)
		return err
	}
	return admin.WriteUndoLog(out, doc.Transactions)
}

// list asks the process, or reads the file.
func (opt *undoLogOptions) list(ctx context.Context, args []string) ([]byte, *admin.UndoLogDocument, error) {
	if opt.data != "" {
		return opt.read(ctx)
	}
	addr, dial, err := opt.connect(ctx, args[0])
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, undoLogTimeout, fmt.Errorf("no answer within %v", undoLogTimeout))
	defer cancel()
	raw, doc, err := admin.AskUndoLog(ctx, dial, opt.storage, opt.q)
	return raw, doc, asked("undo log", addr, err)
}

// read reads the file as one that another process may be writing to.
func (opt *undoLogOptions) read(ctx context.Context) ([]byte, *admin.UndoLogDocument, error) {
	st, err := filestorage.Attach(ctx, opt.data, filestorage.AttachOptions{})
	if err != nil {
		return nil, nil, asOpenError(err)
	}
	list, err := node.UndoLog(ctx, st, opt.q)
	if err = errors.Join(err, st.Close()); err != nil {
		return nil, nil, asOpenError(err)
	}
	doc := &admin.UndoLogDocument{Transactions: list}
	raw, err := json.MarshalIndent(doc, "", "  ")
	return append(raw, '\n'), doc, err
}
