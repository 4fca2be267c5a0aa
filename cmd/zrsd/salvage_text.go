package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/salvage"
	"github.com/zrsd/zrsd/zodb"
)

// verdictWords say what can be said of a transaction.
var verdictWords = map[string]string{
	salvage.Free: "could be committed again", salvage.Applied: "is at the primary already",
	salvage.Conflict: "conflict", salvage.Done: "committed again as",
}

// maxOids is how many objects of one class are named.
const maxOids = 3

// writeFragment shows transactions with the objects that they changed, by class, and what the primary's server says of
// them, where it was asked. One without an answer was not reached.
func writeFragment(out io.Writer, list []rewind.Transaction, verdicts []salvage.Verdict) error {
	said := make(map[zodb.Tid]*salvage.Verdict)
	count := make(map[string]int)
	for i := range verdicts {
		said[verdicts[i].Tid] = &verdicts[i]
		count[verdicts[i].State]++
	}
	for i := range list {
		if _, err := io.WriteString(out, transactionText(&list[i], said[list[i].Tid])); err != nil {
			return err
		}
	}
	if verdicts == nil {
		return nil
	}
	_, err := fmt.Fprintf(out, "%s: %s\n", plural.Of(len(list), "transaction"), countText(count))
	return err
}

// countText says how many transactions are in each state.
func countText(count map[string]int) string {
	var parts []string
	for _, one := range []struct{ state, words string }{
		{salvage.Free, "could be committed again"}, {salvage.Done, "committed again"},
		{salvage.Applied, "at the primary already"}, {salvage.Conflict, "in conflict"},
	} {
		if n := count[one.state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, one.words))
		}
	}
	return strings.Join(parts, ", ")
}

func transactionText(t *rewind.Transaction, v *salvage.Verdict) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%v  %s  %q  %q\n", t.Tid, stamp(t.Tid), t.User, t.Description)
	if v != nil {
		fmt.Fprintf(&text, "    %s\n", verdictText(v))
	}
	writeGroups(&text, t.Objects)
	return text.String()
}

// writeGroups shows objects by class.
func writeGroups(text *strings.Builder, objects []rewind.Object) {
	for _, g := range groupObjects(objects) {
		fmt.Fprintf(text, "    %5d  %s: %s\n", len(g.objects), printable.Line(g.what), g.text())
	}
}

func verdictText(v *salvage.Verdict) string {
	words := verdictWords[v.State]
	switch v.State {
	case salvage.Done:
		words += " " + v.New.String()
	case salvage.Conflict:
		words += ": " + v.Why
	}
	return words
}

// An objectGroup is the objects of one class with which a transaction did the same.
type objectGroup struct {
	what    string
	objects []*rewind.Object
}

// text names the first objects, with their paths where these were asked for.
func (g *objectGroup) text() string {
	var parts []string
	for _, o := range g.objects[:min(len(g.objects), maxOids)] {
		part := o.Oid.String()
		switch {
		case o.Path == nil:
		case *o.Path == "":
			part += " (not reached from the root)"
		default:
			part += " " + printable.Line(*o.Path)
		}
		parts = append(parts, part)
	}
	if len(g.objects) > maxOids {
		parts = append(parts, "…")
	}
	return strings.Join(parts, ", ")
}

// groupObjects returns the groups, the smallest first: what was edited is before the indexes that followed.
func groupObjects(objects []rewind.Object) (groups []objectGroup) {
	for i := range objects {
		what := objectText(&objects[i])
		at := slices.IndexFunc(groups, func(g objectGroup) bool { return g.what == what })
		if at < 0 {
			at, groups = len(groups), append(groups, objectGroup{what: what})
		}
		groups[at].objects = append(groups[at].objects, &objects[i])
	}
	slices.SortStableFunc(groups, func(a, b objectGroup) int { return cmp.Compare(len(a.objects), len(b.objects)) })
	return groups
}

// objectText says of which class an object is, and what the transaction did with it.
func objectText(o *rewind.Object) string {
	what := cmp.Or(o.Class, "unknown class")
	if o.Blob {
		what += " (blob)"
	}
	switch {
	case o.Size < 0:
		return what + ", deleted"
	case o.Base == 0:
		return what + ", new"
	}
	return what
}

func oidsText(oids []zodb.Oid) string {
	var parts []string
	for _, oid := range oids[:min(len(oids), maxOids)] {
		parts = append(parts, oid.String())
	}
	if len(oids) > maxOids {
		parts = append(parts, "…")
	}
	return strings.Join(parts, ", ")
}
