package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/drill"
	"github.com/zrsd/zrsd/internal/drill/restore"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/internal/priority"
)

// restoreFlags say what the scenario restore restores.
type restoreFlags struct {
	archiveFlags
	url, node string
	peer      peerFlags
}

func (f *restoreFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.url, "archive", "", "`URL` of the archive, for the scenario "+restore.Name)
	pathVar(flags, &f.identity, "identity", "`FILE` with age identities, for an archive that is encrypted")
	bytesVar(flags, &f.rate, "rate", 0, "limit of `BYTES` per second that are read from the archive; 0 for none")
	flags.StringVar(&f.node, "node", "", "`ADDR` of a node whose history is compared with what is restored")
	f.peer.register(flags, ", for --node")
}

// restores plays the scenario restore.
func (o *drillOptions) restores(cmd *cobra.Command) error {
	write, err := o.check()
	switch {
	case err != nil:
		return err
	case o.restore.url == "":
		return usage(errors.New("--archive is missing: name the archive that is restored"))
	case o.site.given() || o.duration != 0 || len(o.pythons) > 1:
		return usage(errors.New("--scenario " + restore.Name + " takes --archive, --node and at most one --python: " +
			"leave out --primary, --secondary, --zeo and --duration"))
	}
	ctx, stop := untilStopped(cmd.Context())
	defer stop()
	if err := drill.CheckPythons(ctx, o.pythons); err != nil {
		return usage(fmt.Errorf("--python: %w", err))
	}
	o.restore.atOnce = 4
	a, end, err := o.restore.open(ctx, o.restore.url)
	if err != nil {
		return err
	}
	defer end()
	opt := restore.Options{
		Archive: a, Seed: o.seed, AtOnce: o.restore.atOnce, Keep: o.keep,
		Tell: func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), printable.Line(text)) },
	}
	if len(o.pythons) > 0 {
		opt.Python = o.pythons[0]
	}
	if opt.Binary, err = os.Executable(); err != nil {
		return fmt.Errorf("looking for the program that runs: %w", err)
	}
	if o.restore.node != "" {
		node, err := o.restore.chain(ctx, &o.site.tls)
		if err != nil {
			return err
		}
		defer node.Close() //nolint:errcheck // it was only asked
		opt.Node = node
	}
	priority.LowerAll(priority.Background) // others may be on this machine
	rep, err := o.restoreInto(ctx, opt)
	if err != nil {
		return err
	}
	return o.tell(cmd, rep, write)
}

// chain connects to the node.
func (f *restoreFlags) chain(ctx context.Context, tls *tlsFlags) (*hashchain.Remote, error) {
	return compareOptions{peer: f.peer, tls: *tls}.node(ctx, f.node)
}

// restoreInto makes a folder, restores there, and removes it unless somebody may want to look into it.
func (o *drillOptions) restoreInto(ctx context.Context, opt restore.Options) (rep *drill.Report, err error) {
	if opt.Dir, err = os.MkdirTemp(o.scratch, "zrsd-drill-"); err != nil {
		return nil, cannotOpen(err)
	}
	defer func() {
		if rep == nil || !rep.Kept {
			err = errors.Join(err, os.RemoveAll(opt.Dir))
		}
	}()
	if rep, err = restore.Play(ctx, opt); err != nil {
		return nil, fmt.Errorf("the drill was interrupted: %w", err)
	}
	rep.Kept = o.keep || !rep.Held
	return rep, nil
}
