package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/admin"
)

const packHelp = `Packs a storage in the running process with the --admin address ADDR: drops old revisions of objects,
and unreachable objects. Reads and commits continue. The command ends when the pack ends; if you
interrupt it, the pack is aborted and the file stays as it was.

--days and --time work as in zeopack: the time of day today (in this machine's time zone), that many
days before. Without them everything up to now is packed. For garbage collection and the old file the
server's configuration counts, unless you give the options here.

A file with known damage is not packed: heal it first, for a pack copies damage into a file of which
nothing was noted, and then no node can prove what is right.

Packs are not replicated: pack each node. The admin server accepts this command only from its own machine
or with a client certificate that it verifies.`

type packOptions struct {
	askFlags
	days       int
	time       string
	copyDamage bool
}

func packCommand() *cobra.Command {
	var opt packOptions
	cmd := &cobra.Command{
		Use: "pack ADDR [--days N] [--time HH:MM:SS] [--storage NAME] [--no-gc] [--no-keep-old] " +
			"[--copy-damage] [--json]",
		Short:   "pack a storage of a running server",
		Long:    packHelp,
		Example: "  zrsd pack 127.0.0.1:5001 --days 7",
		Args:    arguments("ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := opt.request(cmd.Flags(), time.Now())
			if err != nil {
				return usage(err)
			}
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			return opt.run(ctx, args[0], req, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.IntVarP(&opt.days, "days", "d", 0, "pack to `N` days ago")
	flags.StringVarP(&opt.time, "time", "t", "", "pack to this time of day, `HH[:MM[:SS]]`; default: now")
	flags.Bool("gc", false, "drop unreachable objects, whatever is configured")
	flags.Bool("no-gc", false, "keep them")
	flags.Bool("keep-old", false, "keep the old file as Data.fs.old, whatever is configured")
	flags.Bool("no-keep-old", false, "remove it")
	flags.BoolVar(&opt.copyDamage, "copy-damage", false, "pack although damage is known, which cannot be healed then")
	opt.register(flags)
	return cmd
}

// request makes a request of the flags.
func (opt *packOptions) request(flags *pflag.FlagSet, now time.Time) (req admin.PackRequest, err error) {
	if req.Until, err = packTime(now, opt.days, opt.time); err != nil {
		return req, err
	}
	req.CopyDamage = opt.copyDamage
	for name, into := range map[string]**bool{"gc": &req.GC, "keep-old": &req.KeepOld} {
		yes, no := flags.Changed(name), flags.Changed("no-"+name)
		if yes && no {
			return req, fmt.Errorf("--%s and --no-%s: leave out one of them", name, name)
		}
		if yes || no {
			given := name
			if no {
				given = "no-" + name
			}
			value, err := flags.GetBool(given)
			if err != nil {
				return req, err
			}
			*into = admin.Known(value == yes)
		}
	}
	return req, nil
}

// maxDays is further back than any ZODB.
const maxDays = 36500

// packTime returns the time that --days and --time mean, zero when there are none: then it is the server's present.
func packTime(now time.Time, days int, clock string) (time.Time, error) {
	if days < 0 || days > maxDays {
		return time.Time{}, fmt.Errorf("--days %d: give a number from 0 to %d", days, maxDays)
	}
	if days == 0 && clock == "" {
		return time.Time{}, nil
	}
	if clock != "" {
		at, err := time.Parse("15:04:05", clock)
		for _, layout := range []string{"15:04", "15"} {
			if err != nil {
				at, err = time.Parse(layout, clock)
			}
		}
		if err != nil {
			return time.Time{}, fmt.Errorf("--time %q: give a time of the day as HH, HH:MM or HH:MM:SS", clock)
		}
		now = time.Date(now.Year(), now.Month(), now.Day(), at.Hour(), at.Minute(), at.Second(), 0, now.Location())
	}
	return now.Add(-time.Duration(days) * 24 * time.Hour), nil
}

var errInterrupted = errors.New("interrupted: the server aborts the pack and the file stays as it was, unless the " +
	"pack has just ended")

func (opt *packOptions) run(ctx context.Context, address string, req admin.PackRequest, out, terminal io.Writer) error {
	addr, dial, err := opt.connect(ctx, address)
	if err != nil {
		return err
	}
	bar := &packBar{terminal: terminal}
	result, err := admin.AskPack(ctx, dial, opt.storage, req, func(line []byte, progress *admin.PackProgress) error {
		if opt.json {
			_, err := fmt.Fprintf(out, "%s\n", line)
			return err
		}
		if progress != nil {
			bar.show(progress)
		}
		return nil
	})
	bar.clear()
	switch {
	case ctx.Err() != nil:
		return coded(exitForced, errInterrupted)
	case err != nil:
		return asked("pack", addr, err)
	case opt.json:
		return nil
	}
	return admin.WritePackResult(out, result)
}

// A packBar shows on a terminal how far each phase of a pack is.
type packBar struct {
	terminal io.Writer
	phase    string
	bar      *progress
}

func (b *packBar) show(p *admin.PackProgress) {
	if b.phase != p.Phase {
		b.clear()
		b.phase, b.bar = p.Phase, newProgress(b.terminal, "pack: "+p.Phase)
	}
	b.bar.update(p.Done, p.Total)
}

func (b *packBar) clear() {
	if b.bar != nil {
		b.bar.clear()
	}
}
