package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

const rewindHelp = `Removes the transactions of a former primary that the new primary does not have, so that the node
can follow it. Stop the node first.

ADDR is the admin or the replication address of the new primary. The command asks it for the last transaction that
both have. All later transactions are set aside in Data.fs.rewound-TID.fs, a FileStorage of its own,
with their blobs beside it and a list of users, descriptions and objects; zrsd salvage works with it.
Then they are cut off, and the node is a secondary from its next start on. An interrupted rewind is
finished by the next call or the next start of the node.`

type rewindOptions struct {
	data, blobs, primary     string
	peer                     peerFlags
	dryRun, yes, force, json bool
	timeout                  time.Duration
	tls                      tlsFlags
}

func rewindCommand() *cobra.Command {
	opt := rewindOptions{timeout: time.Minute}
	cmd := &cobra.Command{
		Use:     "rewind --data Data.fs [--blobs DIR] --primary ADDR [--dry-run] [--yes] [--json]",
		Short:   "set aside transactions of a former primary that the new one lacks",
		Long:    rewindHelp,
		Example: "  zrsd rewind --data var/Data.fs --blobs var/blobs --primary db2:5000",
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opt.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	pathVar(flags, &opt.data, "data", "the `Data.fs`")
	pathVar(flags, &opt.blobs, "blobs", "the blob `DIR`")
	flags.StringVar(&opt.primary, "primary", "", "admin or replication `ADDR` of the new primary")
	flags.BoolVar(&opt.dryRun, "dry-run", false, "show what would be set aside, and change nothing")
	flags.BoolVar(&opt.yes, "yes", false, "do not ask")
	flags.BoolVar(&opt.force, "force", false, "allow setting aside more than half of the file")
	flags.BoolVar(&opt.json, "json", false, "print the result as JSON")
	flags.DurationVar(&opt.timeout, "timeout", opt.timeout, "time limit for the primary's answers")
	opt.peer.register(flags, "")
	opt.tls.register(flags, "", "this node's")
	return cmd
}

// A rewinding is what the command says with --json.
type rewinding struct {
	Done         bool             `json:"done"`
	Last         zodb.Tid         `json:"last_tid"`     // the last common transaction
	Transactions int64            `json:"transactions"` // that go
	Bytes        int64            `json:"bytes"`
	First        *zodb.Tid        `json:"first_tid"`
	Until        *zodb.Tid        `json:"until_tid"`
	Fragment     *rewind.Fragment `json:"fragment"`
}

func (opt *rewindOptions) run(ctx context.Context, in io.Reader, out io.Writer) error {
	switch {
	case opt.data == "":
		return usage(errors.New("no data file: name it with --data Data.fs"))
	case opt.primary == "":
		return usage(errors.New("--primary is missing: give the address of the new primary"))
	case opt.timeout <= 0:
		return usage(fmt.Errorf("--timeout %v: give a duration above zero, such as 60s", opt.timeout))
	}
	addr, err := opt.tls.replication(ctx, "--primary", opt.primary)
	if err != nil {
		return err
	}
	if opt.blobs == "" {
		opt.blobs = rewind.FindBlobs(vfs.OS{}, opt.data)
	}
	site := &rewind.Storage{FS: vfs.OS{}, Data: opt.data, Blobs: opt.blobs, Logger: hclog.NewNullLogger()}
	if fragment, err := site.Finish(ctx); err != nil || fragment != nil {
		return opt.tell(out, &rewinding{Done: true, Fragment: fragment}, asOpenError(err))
	}
	plan, said, err := opt.plan(ctx, addr)
	if err != nil {
		return err
	}
	if opt.dryRun {
		return opt.tell(out, said, nil)
	}
	if plan.First == 0 {
		return opt.tell(out, said, opt.follow(plan))
	}
	if err := opt.agreed(in, out, said); err != nil {
		return err
	}
	if err := site.Begin(plan); err != nil {
		return err
	}
	said.Fragment, err = site.Finish(ctx)
	var refusal *rewind.Refusal
	if errors.As(err, &refusal) {
		return coded(
			exitRefused,
			fmt.Errorf("%w; then run zrsd rewind again, or start the node: the storage is not used until the "+
				"rewind is complete", err),
		)
	}
	said.Done = err == nil
	return opt.tell(out, said, err)
}

// plan asks the primary.
func (opt *rewindOptions) plan(ctx context.Context, addr endpoint.Endpoint) (*state.Rewind, *rewinding, error) {
	st, id, err := opt.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer st.Close() //nolint:errcheck // nothing was written
	remote, err := opt.remote(addr)
	if err != nil {
		return nil, nil, err
	}
	remote.State, remote.Magic, remote.Name = id, st.Magic(), "zrsd rewind of "+opt.data
	ctx, cancel := context.WithTimeoutCause(ctx, opt.timeout, fmt.Errorf("no answer within %v", opt.timeout))
	defer cancel()
	plan, err := rewind.Common(ctx, st, id, remote)
	if err == nil && plan.First != 0 {
		err = rewind.NeedsBlobs(ctx, st, plan.Last)
	}
	var refusal *rewind.Refusal
	switch {
	case errors.As(err, &refusal):
		return nil, nil, coded(exitRefused, err)
	case err != nil:
		return nil, nil, notReached(fmt.Errorf("asking the primary at %v: %w", addr, err), "--replicate-to")
	}
	plan.Follow = []string{addr.String()}
	said, err := describe(ctx, st, plan)
	if err == nil && plan.First != 0 && said.Bytes > st.Size()/2 && !opt.force {
		err = coded(exitUnsafe, fmt.Errorf("%d of %d bytes would be set aside, more than half: if this is the "+
			"right primary, use --force", said.Bytes, st.Size()))
	}
	return plan, said, err
}

// open opens the storage for reading, which another process must not have open.
func (opt *rewindOptions) open(ctx context.Context) (*filestorage.Storage, *state.State, error) {
	keep, err := state.Open(vfs.OS{}, opt.data)
	if err != nil {
		return nil, nil, cannotOpen(err)
	}
	if keep.State() == nil {
		return nil, nil, cannotOpen(fmt.Errorf("%s%s is not there: only a storage that was replicated by zrsd can be "+
			"rewound", opt.data, state.Suffix))
	}
	fsOptions := filestorage.Options{MustExist: true}
	if opt.blobs != "" {
		if fsOptions.Blobs, err = blobstore.Open(opt.blobs, blobstore.Options{}); err != nil {
			return nil, nil, cannotOpen(err)
		}
	}
	st, err := filestorage.Open(ctx, opt.data, fsOptions)
	return st, keep.State(), cannotOpen(err)
}

// remote returns how to ask the primary.
func (opt *rewindOptions) remote(addr endpoint.Endpoint) (*rewind.Remote, error) {
	dial, secret, err := opt.tls.peer(addr, opt.peer)
	if err != nil {
		return nil, err
	}
	return &rewind.Remote{Dial: dial, Secret: secret}, nil
}

// describe counts what goes.
func describe(ctx context.Context, st *filestorage.Storage, plan *state.Rewind) (*rewinding, error) {
	said := &rewinding{Last: plan.Last}
	if plan.First == 0 {
		return said, nil
	}
	said.First, said.Until = &plan.First, &plan.Until
	found, err := st.Find(ctx, plan.First)
	if err != nil {
		return nil, err
	}
	said.Bytes = st.Size() - found.Pos
	said.Transactions, _, err = st.Count(ctx, plan.Last)
	return said, err
}

// follow makes a secondary of a storage that has nothing to take out.
func (opt *rewindOptions) follow(plan *state.Rewind) error {
	keep, err := state.Open(vfs.OS{}, opt.data)
	if err != nil {
		return cannotOpen(err)
	}
	return keep.Update(func(id *state.State) error {
		id.BecomeSecondaryOf(plan.Follow)
		return nil
	})
}

// agreed asks whether to continue.
func (opt *rewindOptions) agreed(in io.Reader, out io.Writer, said *rewinding) error {
	var text strings.Builder
	if err := writeRewinding(&text, said, opt.data); err != nil {
		return err
	}
	hint := "look at the output of --dry-run, then give --yes"
	return agreed(in, out, opt.yes, opt.json, hint, text.String()+"Set this aside and make the node a secondary?")
}

// agreed asks a question on a terminal, unless it is answered already. Without a terminal the error has the hint.
func agreed(in io.Reader, out io.Writer, yes, json bool, hint, question string) error {
	if yes {
		return nil
	}
	file, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) || json {
		return usage(fmt.Errorf("there is no terminal to ask: %s", hint))
	}
	if _, err := fmt.Fprint(out, question+" [y/N] "); err != nil {
		return err
	}
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil || !strings.EqualFold(strings.TrimSpace(line), "y") {
		return coded(exitForced, errors.New("nothing was changed"))
	}
	return nil
}

func (opt *rewindOptions) tell(out io.Writer, said *rewinding, err error) error {
	if err != nil {
		return err
	}
	if opt.json {
		text, err := json.MarshalIndent(said, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s\n", text)
		return err
	}
	return writeRewinding(out, said, opt.data)
}

// writeRewinding describes for people what will be set aside, or has been.
func writeRewinding(out io.Writer, said *rewinding, data string) (err error) {
	switch {
	case said.Fragment != nil && said.First == nil:
		_, err = fmt.Fprintf(out, "an interrupted rewind was finished: what was set aside is in %s\n",
			said.Fragment.Data)
	case said.First == nil:
		_, err = fmt.Fprintf(out, "nothing has to be set aside: the primary has everything up to %v, the last "+
			"transaction here; the node follows it from its next start on\n", said.Last)
	case said.Fragment != nil:
		_, err = fmt.Fprintf(out, "%s, %v to %v, now in %s (see zrsd salvage); the node is a secondary, "+
			"with %v as its last transaction\n", plural.Of(said.Transactions, "transaction"), *said.First,
			*said.Until, said.Fragment.Data,
			said.Last)
	default:
		_, err = fmt.Fprintf(out, "the last common transaction is %v (%s)\nto be set aside: %s, %v (%s) to %v (%s), "+
			"%d bytes of %s\n", said.Last, stamp(said.Last), plural.Of(said.Transactions, "transaction"), *said.First,
			stamp(*said.First), *said.Until, stamp(*said.Until), said.Bytes, data)
	}
	return err
}

func stamp(t zodb.Tid) string { return t.Time().UTC().Format("2006-01-02 15:04:05 UTC") }
