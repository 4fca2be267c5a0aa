package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/drill"
	"github.com/zrsd/zrsd/internal/drill/restore"
	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/printable"
)

const drillHelp = `Rehearses failovers on a cluster of its own: a primary and two secondaries, on storages in a
temporary folder, with clients that read and write throughout and record all answers. At the end the
answers are compared with the files. No set-up is needed, and nothing of yours is touched.

With --primary, --secondary and --zeo it uses an existing cluster, of a staging installation: it
switches over and back, freezes, and packs. It commits to objects of its own, which are
garbage afterwards, and asks before it does.

With --scenario restore --archive URL it rehearses a restore instead: the latest moment of the archive and
one that is drawn are restored into a temporary folder, compared with what was archived and with the
history of --node, served for reading only, and read by clients. It is not one of all.

Exits with 0 when all guarantees held, and with 1 when one did not; then the folder is kept, and the
seed repeats the same choices. docs/drills.md says what each scenario does and what it proves.`

type drillOptions struct {
	scenario, report string
	seed             uint64
	sync             int
	duration         time.Duration
	keep             bool
	pythons          []string
	site             siteFlags
	restore          restoreFlags
	scratch          string
}

func drillCommand() *cobra.Command {
	var opt drillOptions
	cmd := &cobra.Command{
		Use:   "drill [--scenario NAME|all] [--duration D] [--seed N] [--report FILE]",
		Short: "rehearse failovers and check the result",
		Long:  drillHelp,
		Example: "  zrsd drill --scenario primary-killed --report drill.html\n" +
			"  zrsd drill --scenario restore --archive s3://backup/app --node db2:5000 --dir /srv/scratch",
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("seed") {
				opt.seed = rand.Uint64() //nolint:gosec // to be repeated, not to be secret
			}
			if opt.site.given() && len(opt.pythons) > 0 {
				return usage(
					errors.New("--python is for clusters of the drill's own: such clients make objects in the " +
						"root; leave it out with --primary"),
				)
			}
			if opt.site.given() && cmd.Flags().Changed("sync-secondaries") {
				return usage(errors.New("--sync-secondaries is for clusters of the drill's own: leave it out with " +
					"--primary"))
			}
			if opt.scenario == restore.Name {
				return opt.restores(cmd)
			}
			if opt.restore.url+opt.restore.node != "" {
				return usage(errors.New("--archive and --node are for --scenario " + restore.Name))
			}
			return opt.run(cmd)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&opt.scenario, "scenario", "all", "`NAME` of one: "+
		strings.Join(append(namesOf(append(drill.Scenarios(), drill.Mixed())), restore.Name), ", "))
	flags.DurationVar(&opt.duration, "duration", 0,
		"repeat each scenario for this long; 0: once")
	flags.Uint64Var(&opt.seed, "seed", 0, "seed for repeating the same choices; default: a new one each time")
	flags.IntVar(&opt.sync, "sync-secondaries", drill.MaxSync,
		"how many of the two secondaries commits wait for: 1 or 0")
	flags.StringVar(&opt.report, "report", "", "also write the report to `FILE`: .txt, .json or .html")
	flags.StringSliceVar(&opt.pythons, "python", nil,
		"also run real ZEO clients with these Python `INTERPRETERS`; they must find each new primary")
	flags.BoolVar(&opt.keep, "keep", false, "keep the folder, also when the drill passes")
	pathVar(flags, &opt.scratch, "dir", "existing `DIR` with room for that folder; default: that of temporary files")
	opt.restore.register(flags)
	opt.site.register(flags)
	return cmd
}

func namesOf(scenarios []drill.Scenario) (names []string) {
	for _, s := range scenarios {
		names = append(names, s.Name)
	}
	return names
}

// chosen returns the scenarios that --scenario names.
func (o *drillOptions) chosen() ([]drill.Scenario, error) {
	all := o.site.scenarios()
	if o.scenario == "all" {
		return all, nil
	}
	if !o.site.given() {
		all = append(all, drill.Mixed())
	}
	i := slices.IndexFunc(all, func(s drill.Scenario) bool { return s.Name == o.scenario })
	if i < 0 {
		return nil, usage(fmt.Errorf("--scenario %q: there is no such scenario: give all or one of %s", o.scenario,
			strings.Join(namesOf(all), ", ")))
	}
	return all[i : i+1], nil
}

// check returns how to write the report, if it is asked for.
func (o *drillOptions) check() (write func(*drill.Report, io.Writer) error, err error) {
	switch {
	case o.sync < 0 || o.sync > drill.MaxSync:
		return nil, usage(fmt.Errorf("--sync-secondaries %d: give 0 or %d", o.sync, drill.MaxSync))
	case o.duration < 0:
		return nil, usage(fmt.Errorf("--duration %v: give a time, such as 10m, or 0 for once", o.duration))
	case o.report == "":
		return nil, nil
	}
	if write = reportFormats[filepath.Ext(o.report)]; write == nil {
		return nil, usage(fmt.Errorf("--report %s: give a name that ends with .txt, .json or .html", o.report))
	}
	return write, nil
}

var reportFormats = map[string]func(*drill.Report, io.Writer) error{
	".txt": (*drill.Report).WriteText, ".json": (*drill.Report).WriteJSON, ".html": (*drill.Report).WriteHTML,
}

func (o *drillOptions) run(cmd *cobra.Command) error {
	write, err := o.check()
	if err != nil {
		return err
	}
	scenarios, err := o.chosen()
	if err != nil {
		return err
	}
	perform, err := o.site.player(cmd.InOrStdin(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	ctx, stop := untilStopped(cmd.Context())
	defer stop()
	rep, err := o.play(ctx, perform, scenarios, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	return o.tell(cmd, rep, write)
}

// tell writes the report.
func (o *drillOptions) tell(cmd *cobra.Command, rep *drill.Report, write func(*drill.Report, io.Writer) error) error {
	rep.Version = node.Version()
	if err := rep.WriteText(cmd.OutOrStdout()); err != nil {
		return err
	}
	if write != nil {
		if err := writeReport(o.report, rep, write); err != nil {
			return err
		}
	}
	if !rep.Held {
		return errFound
	}
	return nil
}

// play makes a folder, plays in it, and removes it unless somebody may want to look into it.
func (o *drillOptions) play(ctx context.Context, perform player, scenarios []drill.Scenario, stderr io.Writer) (
	*drill.Report, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("looking for the program that runs: %w", err)
	}
	if err := drill.CheckPythons(ctx, o.pythons); err != nil {
		return nil, usage(fmt.Errorf("--python: %w", err))
	}
	dir, err := os.MkdirTemp(o.scratch, "zrsd-drill-")
	if err != nil {
		return nil, cannotOpen(err)
	}
	rep, err := perform(ctx, scenarios, drill.Options{
		Binary: binary, Dir: dir, Seed: o.seed, Sync: o.sync, Duration: o.duration, Pythons: o.pythons,
		Tell: func(text string) { fmt.Fprintln(stderr, printable.Line(text)) },
	})
	if err != nil {
		return nil, fmt.Errorf("the drill with seed %d was interrupted; everything is kept in %s: %w", o.seed,
			dir, err)
	}
	if rep.Kept = o.keep || !rep.Held; rep.Kept {
		return rep, nil
	}
	return rep, os.RemoveAll(dir)
}

func writeReport(path string, rep *drill.Report, write func(*drill.Report, io.Writer) error) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return cannotOpen(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return write(rep, f)
}
