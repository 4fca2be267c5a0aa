package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/reseed"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

const reseedHelp = `Sets the Data.fs of a secondary aside as a whole, with its blobs, so that the node takes everything
anew from its primary at its next start. For a copy that is missing, that cannot be opened, or that is
of another history. Nothing is deleted; what was set aside can be removed when it is not needed any
more. Stop the node first.

ADDR is the replication address of the primary. The command asks it whether it has everything that
this copy may have acknowledged, and refuses otherwise. An interrupted reseed is finished by the next
call or the next start of the node.`

type reseedOptions struct {
	data, blobs, primary string
	peer                 peerFlags
	yes, force, json     bool
	timeout              time.Duration
	tls                  tlsFlags
}

func reseedCommand() *cobra.Command {
	opt := reseedOptions{timeout: time.Minute}
	cmd := &cobra.Command{
		Use:     "reseed --data Data.fs [--blobs DIR] --primary ADDR [--yes] [--json]",
		Short:   "set a secondary's copy aside, to take everything anew",
		Long:    reseedHelp,
		Example: "  zrsd reseed --data var/Data.fs --blobs var/blobs --primary db1:5000",
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opt.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	pathVar(flags, &opt.data, "data", "the `Data.fs`")
	pathVar(flags, &opt.blobs, "blobs", "the blob `DIR`")
	flags.StringVar(&opt.primary, "primary", "", "admin or replication `ADDR` of the primary")
	flags.BoolVar(&opt.yes, "yes", false, "do not ask")
	flags.BoolVar(&opt.force, "force", false, "do it although no primary has everything that this copy had")
	flags.BoolVar(&opt.json, "json", false, "print the result as JSON")
	flags.DurationVar(&opt.timeout, "timeout", opt.timeout, "time limit for the primary's answers")
	opt.peer.register(flags, "")
	opt.tls.register(flags, "", "this node's")
	return cmd
}

// A reseeded is what the command says with --json.
type reseeded struct {
	Data string    `json:"data"`
	Name string    `json:"name"`    // what the names of all that was set aside have at the end
	Had  *zodb.Tid `json:"had_tid"` // the last transaction that the copy was known to have had
}

func (opt *reseedOptions) run(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	switch {
	case opt.data == "":
		return usage(errors.New("no data file: name it with --data Data.fs"))
	case opt.primary == "":
		return usage(errors.New("--primary is missing: give the replication address of the primary"))
	case opt.timeout <= 0:
		return usage(fmt.Errorf("--timeout %v: give a duration above zero, such as 60s", opt.timeout))
	}
	addr, err := opt.tls.replication(ctx, "--primary", opt.primary)
	if err != nil {
		return err
	}
	site := &reseed.Storage{FS: vfs.OS{}, Data: opt.data, Blobs: opt.blobs, Logger: hclog.NewNullLogger()}
	release, err := site.Hold()
	if err != nil {
		return cannotOpen(err)
	}
	defer func() { err = errors.Join(err, release()) }()
	keep, err := state.Open(vfs.OS{}, opt.data)
	switch {
	case err != nil:
		return cannotOpen(err)
	case keep.State() == nil:
		return cannotOpen(fmt.Errorf("%s%s is not there, so there is nothing to say which storage this is: where "+
			"there is a Data.fs, move it and its blobs away yourself, then start zrsd secondary", opt.data,
			state.Suffix))
	}
	if done, err := site.Finish(keep); err != nil || done != nil {
		return opt.tell(out, done, asOpenError(err))
	}
	if err := opt.safe(ctx, addr, keep.State()); err != nil {
		return err
	}
	question := fmt.Sprintf("Set %s aside as a whole, and take everything anew from the primary at the next start?",
		opt.data)
	if err := agreed(in, out, opt.yes, opt.json, "give --yes", question); err != nil {
		return err
	}
	if err := site.Begin(keep, state.ReseedOrder, "by zrsd reseed", false, time.Now()); err != nil {
		return err
	}
	done, err := site.Finish(keep)
	return opt.tell(out, done, err)
}

// safe asks the primary whether nothing is lost with this copy.
func (opt *reseedOptions) safe(ctx context.Context, addr endpoint.Endpoint, id *state.State) error {
	dial, secret, err := opt.tls.peer(addr, opt.peer)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, opt.timeout, fmt.Errorf("no answer within %v", opt.timeout))
	defer cancel()
	remote := &rewind.Remote{Dial: dial, Secret: secret, State: id, Name: "zrsd reseed of " + opt.data}
	status, err := remote.Status(ctx)
	switch {
	case opt.force:
		return nil
	case err != nil:
		return notReached(fmt.Errorf("asking the primary at %v: %w", addr, err), "--replicate-to")
	}
	err = reseed.Vouches(id, status)
	if err == nil && id.Role == state.RolePrimary && id.Own() && status.Begun() <= id.Epoch().Number {
		err = fmt.Errorf("this node is the primary of epoch %d", id.Epoch().Number)
	}
	if err != nil {
		return coded(exitUnsafe, fmt.Errorf("nothing was changed: %w; --force sets the copy aside all the same", err))
	}
	return nil
}

func (opt *reseedOptions) tell(out io.Writer, done *state.Reseed, err error) error {
	if err != nil {
		return err
	}
	said := reseeded{Data: opt.data, Name: done.Aside}
	if done.Had != 0 {
		said.Had = &done.Had
	}
	if opt.json {
		text, err := json.MarshalIndent(said, "", "  ")
		if err == nil {
			_, err = fmt.Fprintf(out, "%s\n", text)
		}
		return err
	}
	_, err = fmt.Fprintf(out, "what there was of %[1]s is %[1]s.%[2]s, and its blobs are in the folder .%[2]s of the "+
		"blob directory; start the node: it takes everything anew from its primary\n", opt.data, done.Aside)
	return err
}
