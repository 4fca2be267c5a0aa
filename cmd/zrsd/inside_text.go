package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/printable"
)

// writeInside prints an answer for people. Names in records may be anything: printable keeps them to their line.
func writeInside(w io.Writer, answer any) error {
	var t insideText
	switch a := answer.(type) {
	case *inside.Census:
		t.census(a)
	case *inside.Refs:
		t.refs(a)
	case *inside.Finds:
		t.finds(a)
	case *inside.Usage:
		t.usage(a)
	case *inside.Graph:
		return a.WriteDOT(w)
	}
	_, err := w.Write(t.text)
	return err
}

// An insideText is what is printed.
type insideText struct{ text []byte }

func (t *insideText) line(format string, args ...any) {
	t.text = append(append(t.text, printable.Line(fmt.Sprintf(format, args...))...), '\n')
}

// more says how many are not listed.
func (t *insideText) more(all int64, listed int, indent string) {
	if rest := all - int64(listed); rest > 0 {
		t.line("%s… and %d more: --limit lists them", indent, rest)
	}
}

func (t *insideText) census(c *inside.Census) {
	t.line("%s: %s, %d bytes, up to transaction %v", c.Path, plural.Of(c.Objects, "object"), c.Bytes, c.LastTid)
	t.line("%10s %14s %6s %11s  %s", "objects", "bytes", "share", "references", "class, first objects")
	for _, n := range c.Classes {
		t.line("%10d %14d %5.1f%% %11d  %s %v", n.Objects, n.Bytes, 100*n.Share, n.References, n.Class, n.First)
	}
	for _, m := range c.Mismatches {
		t.line("MISMATCH: %s %s, the records say %s", plural.Or(m.References, "reference believes",
			"references believe"), m.Believed, m.Record)
		for _, e := range m.Examples {
			t.line("    object %v, from %v %s at %v (%s), since transaction %v", e.To, e.From, e.FromClass, e.FromPath,
				e.FromTid, e.MadeBy)
		}
		t.more(m.References, len(m.Examples), "    ")
	}
	t.unread(c.Unread)
}

func (t *insideText) unread(list []inside.Unread) {
	for _, u := range list {
		t.line("UNREADABLE: object %v at %v: %s", u.Oid, u.Path, u.Why)
	}
}

func (t *insideText) refs(r *inside.Refs) {
	t.line("%s: %s, %s, %d weak, up to transaction %v", r.Path, plural.Of(r.Objects, "object"),
		plural.Of(r.References, "reference"), r.Weak, r.LastTid)
	for _, d := range r.Dangling {
		t.line("DANGLING: %v %s refers to %v %s: %s; it is at %v, of transaction %v", d.From, d.FromClass, d.To,
			d.Class, d.Reason, d.FromPath, d.FromTid)
	}
	t.more(r.DanglingAll, len(r.Dangling), "")
	t.unread(r.Unread)
	for i := range r.Databases {
		t.database(&r.Databases[i])
	}
	u := &r.Unreachable
	t.line("not reached from the root: %s, %d bytes", plural.Of(u.Objects, "object"), u.Bytes)
	for _, c := range u.Classes {
		t.line("%10d %14d  %s %v", c.Objects, c.Bytes, c.Class, c.First)
	}
	if u.CyclesAll > 0 {
		t.line("of these, cycles that only keep themselves: %d, with %d bytes", u.CyclesAll, u.CyclesBytes)
	}
	for _, g := range u.Cycles {
		t.line("%10d %14d  %v %s", g.Objects, g.Bytes, g.First, strings.Join(g.Classes, ", "))
	}
	t.more(u.CyclesAll, len(u.Cycles), "")
}

func (t *insideText) database(d *inside.Database) {
	t.line("database %q: %s", d.Name, plural.Of(d.References, "reference"))
	if !d.Compared {
		t.line("    not looked into: give --database %s=Data.fs", d.Name)
		return
	}
	for _, c := range d.Missing {
		t.line("    MISSING: %v %s, from %v %s at %v", c.To, c.Class, c.From, c.FromClass, c.FromPath)
	}
	t.more(d.MissingAll, len(d.Missing), "    ")
	for _, c := range d.Lost {
		t.line("    a pack of that storage takes %v %s, from %v %s at %v", c.To, c.Class, c.From, c.FromClass,
			c.FromPath)
	}
	t.more(d.LostAll, len(d.Lost), "    ")
}

func (t *insideText) finds(f *inside.Finds) {
	for i := range f.Objects {
		o := &f.Objects[i]
		t.line("%v %s, %d bytes, of transaction %v, at %v", o.Oid, o.Class, o.Bytes, o.Tid, o.Path)
		if o.Detail != nil {
			t.detail(o)
		}
	}
	t.more(f.All, len(f.Objects), "")
	if len(f.Objects) == 0 {
		t.line("nothing was found")
	}
}

func (t *insideText) detail(o *inside.Found) {
	d := o.Detail
	for _, s := range o.Path {
		t.line("    %v %s %s", s.Oid, s.Class, s.Name)
	}
	t.line("  history: %s", plural.Of(len(d.History), "revision"))
	for _, r := range d.History {
		t.line("    %v %s, %d bytes, user %q, %q", r.Tid, r.Time.Format("2006-01-02 15:04:05 UTC"), r.Bytes, r.User,
			r.Description)
	}
	t.line("  referred to by %s", plural.Of(o.ReferrersAll, "object"))
	for _, r := range o.Referrers {
		t.line("    %v %s as %q, at %v", r.Oid, r.Class, r.Name, r.Path)
	}
	t.more(o.ReferrersAll, len(o.Referrers), "    ")
	if d.Why != "" {
		t.line("  no state: %s", d.Why)
		return
	}
	t.line("  state as of transaction %v:", d.At)
	for _, line := range strings.Split(d.Text, "\n") {
		t.line("    %s", line)
	}
}

func (t *insideText) usage(u *inside.Usage) {
	t.line("%14d bytes %10d objects  %v", u.Bytes, u.Objects, u.Of)
	for _, p := range u.Parts {
		t.line("%14d bytes %10d objects  %s%s %v %s", p.Bytes, p.Objects, strings.Repeat("  ", p.Depth), p.Name, p.Oid,
			p.Class)
	}
}
