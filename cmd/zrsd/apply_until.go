package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/moment"
	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/zodb"
)

const applyUntilHelp = `Stops what the clients of a secondary with --apply-delay see at a transaction, before a mistake.
The secondary goes on receiving, and acknowledges what is on its disk. UNTIL is the last transaction that
clients get to see: a TID, or a time, such as "2026-01-31 14:05". With --before it is the first one that
they do not get to see. It holds across restarts, until --resume or a promotion.

ADDR is the --admin address of the secondary. What its clients have seen already is not taken back.`

type applyUntilOptions struct {
	askFlags
	before, resume, dryRun bool
}

func applyUntilCommand() *cobra.Command {
	var opt applyUntilOptions
	cmd := &cobra.Command{
		Use:   "apply-until ADDR (UNTIL | --resume) [--before] [--dry-run] [--storage NAME] [--json]",
		Short: "stop what a delayed secondary shows before a mistake",
		Long:  applyUntilHelp,
		Example: "  zrsd apply-until 127.0.0.1:5002 '2026-01-31 14:05'\n" +
			"  zrsd apply-until 127.0.0.1:5002 03f8658030000000 --before\n" +
			"  zrsd apply-until 127.0.0.1:5002 --resume",
		Args: func(cmd *cobra.Command, args []string) error {
			if opt.resume {
				return arguments("ADDR")(cmd, args)
			}
			return arguments("ADDR", "UNTIL")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := opt.request(args[1:])
			if err != nil {
				return usage(err)
			}
			return opt.run(cmd.Context(), req, args[0], cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	opt.register(flags)
	flags.BoolVar(&opt.before, "before", false, "UNTIL is the first transaction that clients do not get to see")
	flags.BoolVar(&opt.resume, "resume", false, "let clients see again what is older than the delay")
	flags.BoolVar(&opt.dryRun, "dry-run", false, "say what clients would see, and change nothing")
	return cmd
}

func (opt *applyUntilOptions) request(args []string) (req admin.ApplyUntilRequest, err error) {
	req = admin.ApplyUntilRequest{Resume: opt.resume, DryRun: opt.dryRun}
	if opt.resume {
		if opt.before {
			return req, errors.New("--before says something of UNTIL: leave it out, or leave out --resume")
		}
		return req, nil
	}
	if req.Until, err = moment.ParseFixed(args[0], time.Local, !opt.before); err != nil {
		return req, err
	}
	if opt.before && req.Until != 0 {
		req.Until--
	}
	if req.Until == 0 {
		return req, fmt.Errorf("%q: nothing is as early as that", args[0])
	}
	return req, nil
}

func (opt *applyUntilOptions) run(ctx context.Context, req admin.ApplyUntilRequest, address string,
	out io.Writer) error {
	addr, dial, err := opt.connect(ctx, address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, statusTimeout, fmt.Errorf("no answer within %v", statusTimeout))
	defer cancel()
	raw, doc, err := admin.AskApplyUntil(ctx, dial, opt.storage, req)
	if err != nil {
		return asked("apply-until", addr, err)
	}
	if opt.json {
		_, err = out.Write(raw)
		return err
	}
	_, err = io.WriteString(out, applyUntilText(doc))
	return err
}

func applyUntilText(doc *admin.ApplyUntil) string {
	var text strings.Builder
	will := "clients see"
	if !doc.Done {
		will = "nothing was changed: clients would see"
	}
	if doc.Until == nil {
		fmt.Fprintf(&text, "%s again what is older than the delay\n", will)
	} else {
		fmt.Fprintf(&text, "%s nothing after %v (%s)\n", will, *doc.Until, doc.Until.Stamp())
	}
	line := func(name string, t *admin.TxnInfo) {
		if t != nil {
			fmt.Fprintf(&text, "%-15s %v  %s  %s  %s\n", name, t.Tid, t.Time.Format("2006-01-02 15:04:05Z"),
				printable.Line(t.User), printable.Line(t.Description))
		}
	}
	line("last to be seen", doc.Last)
	line("first hidden", doc.First)
	tid := func(name string, tid *zodb.Tid) {
		if tid != nil {
			fmt.Fprintf(&text, "%-15s %v  %s\n", name, *tid, tid.Time().UTC().Format("2006-01-02 15:04:05Z"))
		}
	}
	tid("seen now", doc.Shown)
	tid("received", doc.Received)
	if doc.Until != nil && (doc.Received == nil || *doc.Until > *doc.Received) {
		fmt.Fprintf(&text, "%s is after all that was received: clients go on seeing what is older than the delay, up "+
			"to then\n", doc.Until.Stamp())
	}
	return text.String()
}
