package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

const insideHelp = `Data.fs may be any copy or backup, or the file of a running server: it is read once, by all cores,
without a lock and as of its last commit. Nothing in it is executed, and the site's code is not needed.
ADDR, the admin address of a node, has the node do that, one question at a time, while its clients go first.`

// insideOptions are what commands have in common that look into a storage.
type insideOptions struct {
	askFlags
	limit int
}

func (opt *insideOptions) register(flags *pflag.FlagSet, limit int) {
	opt.askFlags.register(flags)
	flags.Lookup("json").Usage = "print the answer as JSON, see docs/inside.md"
	flags.IntVarP(&opt.limit, "limit", "n", limit, "list at most `N` of each kind")
}

// ask has a question answered, and prints the answer.
func (opt *insideOptions) ask(cmd *cobra.Command, source string, q inside.Question) (answer any, err error) {
	switch q.Limit = opt.limit; {
	case q.Limit < 1 || q.Limit > inside.MaxLimit:
		return nil, usage(fmt.Errorf("--limit %d: give a number from 1 to %d", q.Limit, inside.MaxLimit))
	case q.Depth < 0 || q.Depth > inside.MaxDepth:
		return nil, usage(fmt.Errorf("--depth %d: give a number from 0 to %d", q.Depth, inside.MaxDepth))
	}
	bar := newProgress(cmd.ErrOrStderr(), "reading")
	if isNode(source) {
		return opt.askNode(cmd, source, q, bar)
	}
	answer, err = inside.Answer(cmd.Context(), vfs.CleanPath(source), q, inside.Options{Progress: bar.update})
	bar.clear()
	if errors.Is(err, inside.ErrQuestion) {
		return nil, usage(err)
	}
	if err != nil {
		return nil, asOpenError(err)
	}
	if opt.json {
		return answer, writeJSON(cmd.OutOrStdout(), answer)
	}
	return answer, writeInside(cmd.OutOrStdout(), answer)
}

// askNode has a node answer.
func (opt *insideOptions) askNode(cmd *cobra.Command, address string, q inside.Question, bar *progress) (any, error) {
	if len(q.Others) > 0 {
		return nil, usage(errors.New("--database: a node looks into its own storage only: leave it out, or give the " +
			"Data.fs"))
	}
	ctx, stop := untilStopped(cmd.Context())
	defer stop()
	addr, dial, err := opt.connect(ctx, address)
	if err != nil {
		return nil, err
	}
	document, err := admin.AskInside(ctx, dial, opt.storage, &q,
		func(p admin.VerifyProgress) { bar.update(p.Done, p.Total) })
	bar.clear()
	if err != nil {
		return nil, asked("question about what is inside", addr, err)
	}
	answer, err := q.DecodeAnswer(document)
	if err != nil {
		return nil, asked("answer", addr, fmt.Errorf("%w: its version may be another one", err))
	}
	if !opt.json {
		return answer, writeInside(cmd.OutOrStdout(), answer)
	}
	var text bytes.Buffer
	if err := json.Indent(&text, document, "", "  "); err != nil {
		return nil, err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), text.String())
	return answer, err
}

const classesHelp = `Counts the classes of the objects in Data.fs, by what their records say, and how many references
name each class. A reference carries the class that it believes its object to have. Where the record says
another class, a process shows the object as the one or the other, depending on how it was reached
first: each such mismatch is listed with who refers, from where, and since which transaction.

` + insideHelp + `

Exit code 1: there are mismatches, or records that cannot be read.`

func classesCommand() *cobra.Command {
	var opt insideOptions
	cmd := &cobra.Command{
		Use:     "classes ADDR|Data.fs [--limit N] [--json]",
		Short:   "count classes, and find references that believe in other ones",
		Long:    classesHelp,
		Example: "  zrsd classes var/Data.fs\n  zrsd classes 127.0.0.1:5001 --json",
		Args:    arguments("ADDR|Data.fs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			answer, err := opt.ask(cmd, args[0], inside.Question{Ask: inside.AskClasses})
			if c, ok := answer.(*inside.Census); err == nil && ok && len(c.Mismatches)+len(c.Unread) > 0 {
				return errFound
			}
			return err
		},
	}
	opt.register(cmd.Flags(), 10)
	cmd.AddCommand(rewriteCommand())
	return cmd
}

const refsHelp = `Lists references to objects that are missing, were deleted, or cannot be read: who refers to them, and
how that is reached from the root; references to other databases; and objects that cannot be reached,
which the next pack removes, with cycles that are kept only by themselves. fsrefs finds the first.

With --database NAME=Data.fs it looks into the storage of another database of the site, for what is
referred to there: what is missing, and what a pack of that storage alone would take, because only
references of this one lead to it.

` + insideHelp + `

Exit code 1: there are dangling references, or records that cannot be read.`

func refsCommand() *cobra.Command {
	var opt insideOptions
	var others map[string]string
	cmd := &cobra.Command{
		Use:     "refs ADDR|Data.fs [--database NAME=Data.fs]… [--limit N] [--json]",
		Short:   "find dangling references, and objects that nothing refers to",
		Long:    refsHelp,
		Example: "  zrsd refs var/Data.fs\n  zrsd refs var/Data.fs --database catalog=var/catalog.fs",
		Args:    arguments("ADDR|Data.fs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			answer, err := opt.ask(cmd, args[0], inside.Question{Ask: inside.AskRefs, Others: others})
			if r, ok := answer.(*inside.Refs); err == nil && ok && wrong(r) {
				return errFound
			}
			return err
		},
	}
	opt.register(cmd.Flags(), 20)
	cmd.Flags().StringToStringVar(&others, "database", nil, "`NAME=Data.fs`: the storage of another database")
	cmd.Flags().Lookup("database").DefValue = ""
	return cmd
}

func wrong(r *inside.Refs) bool {
	n := r.DanglingAll + int64(len(r.Unread))
	for _, d := range r.Databases {
		n += d.MissingAll + d.LostAll
	}
	return n > 0
}

const findHelp = `Finds objects: by OID (16 hexadecimal digits, or 0x…) with its history, who refers to it, the path
from the root and its state, with --at as of another transaction; by CLASS (module.name); by TID (with
--tid), which objects a transaction has changed; or by TEXT that their records contain.
Bytes are those of a record in the file, with its header of 42 bytes, also in the history.

` + insideHelp + `

Exit code 1: nothing was found.`

func findCommand() *cobra.Command {
	var opt insideOptions
	var at string
	var byTid bool
	cmd := &cobra.Command{
		Use:   "find ADDR|Data.fs {OID | CLASS | TEXT | --tid TID} [--at TID|TIME] [--limit N] [--json]",
		Short: "find objects, and show what is in them",
		Long:  findHelp,
		Example: "  zrsd find var/Data.fs 0x1f --at 2026-01-31\n" +
			"  zrsd find var/Data.fs plone.registry.registry.Registry\n" +
			"  zrsd find var/Data.fs --tid 040d353c7d3a5050",
		Args: arguments("ADDR|Data.fs", "OID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := findQuestion(args[1], at, byTid)
			if err != nil {
				return err
			}
			answer, err := opt.ask(cmd, args[0], q)
			if f, ok := answer.(*inside.Finds); err == nil && ok && len(f.Objects) == 0 {
				return errFound
			}
			return err
		},
	}
	opt.register(cmd.Flags(), 20)
	cmd.Flags().StringVar(&at, "at", "", "show the object as of `TID|TIME`")
	cmd.Flags().BoolVar(&byTid, "tid", false, "the argument is a tid")
	return cmd
}

func findQuestion(what, at string, byTid bool) (q inside.Question, err error) {
	if byTid {
		q.Ask = inside.AskTid
		if q.Tid, err = zodb.ParseTid(what); err != nil {
			return q, usage(err)
		}
		return q, nil
	}
	if oid, ok := oidIn(what); ok {
		q.Ask, q.Oid = inside.AskOid, oid
		q.Tid, err = optionalMoment("--at", at, true)
		return q, err
	}
	if at != "" {
		return q, usage(fmt.Errorf("--at needs an OID, and %.40q is none", what))
	}
	if what == "" {
		return q, usage(errors.New("OID, CLASS or TEXT is empty: say what to look for"))
	}
	q.Ask, q.Text = inside.AskText, what
	return q, nil
}

// oidIn reads an oid: 16 hexadecimal digits, or 0x and fewer.
func oidIn(text string) (oid zodb.Oid, ok bool) {
	if hex, is := strings.CutPrefix(text, "0x"); is && hex != "" && len(hex) <= 16 {
		text = strings.Repeat("0", 16-len(hex)) + hex
	}
	if len(text) != 16 {
		return 0, false
	}
	oid, err := zodb.ParseOid(text)
	return oid, err == nil
}

// treeCommand is a command about an object and what is below it.
func treeCommand(use, short, long, example, ask string, depth, limit int) *cobra.Command {
	var opt insideOptions
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long + "\n\n" + insideHelp, Example: example,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return arguments("ADDR|Data.fs")(cmd, args)
			}
			return arguments("ADDR|Data.fs", "OID")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			q := inside.Question{Ask: ask, Depth: depth}
			if len(args) == 2 {
				oid, ok := oidIn(args[1])
				if !ok {
					return usage(fmt.Errorf("%.40q is no oid: give 16 hexadecimal digits, or 0x and fewer", args[1]))
				}
				q.Oid = oid
			}
			_, err := opt.ask(cmd, args[0], q)
			return err
		},
	}
	opt.register(cmd.Flags(), limit)
	cmd.Flags().IntVar(&depth, "depth", depth, "follow references `N` times")
	return cmd
}

func duCommand() *cobra.Command {
	return treeCommand("du ADDR|Data.fs [OID] [--depth N] [--limit N] [--json]",
		"show which parts of a storage are large",
		"Sums up the bytes of an object, by default the root, and of all that is reached through it, with its\n"+
			"largest parts. Each object counts once, where the shortest path from the root leads to it.",
		"  zrsd du var/Data.fs --depth 3\n  zrsd du var/Data.fs 0x1f", inside.AskUsage, 2, 10)
}

func graphCommand() *cobra.Command {
	return treeCommand("graph ADDR|Data.fs [OID] [--depth N] [--limit N] [--json]",
		"draw objects and their references as DOT",
		"Writes an object, by default the root, and what it refers to as a graph in the language of Graphviz.",
		"  zrsd graph var/Data.fs 0x1f --depth 3 | dot -Tsvg > graph.svg", inside.AskGraph, 2, 300)
}
