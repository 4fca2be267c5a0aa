package admin

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteCluster writes what is known of all nodes of a storage for people: a line for each node, below the one that it
// follows, then what is wrong.
func WriteCluster(w io.Writer, c *Cluster) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "NODE\tROLE\tSTATE\tEPOCH\tLAG\tTXNS\tBYTES\tLAST TRANSACTION\tVERSION\tKNOWN\tADDRESS")
	for _, l := range nodeLines(c.Nodes) {
		name := clean(l.Name)
		if l.Depth > 0 {
			name = strings.Repeat("  ", l.Depth-1) + "└ " + name
		}
		role := strings.Join(append([]string{clean(l.Role)}, l.Marks...), ", ")
		cells := []string{name, role, clean(l.State), l.Epoch,
			cmp.Or(l.LagTime, unknown), cmp.Or(l.LagTransactions, unknown), cmp.Or(l.LagBytes, unknown), l.Last,
			clean(l.Version), clean(l.Known), cmp.Or(clean(l.Address), unknown)}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return writeFindings(w, c)
}

// writeFindings writes what nodes do not agree on, why they are not ready, and what they warn of.
func writeFindings(w io.Writer, c *Cluster) error {
	var lines []string
	for _, p := range c.Problems {
		lines = append(lines, "problem: "+clean(p.Text))
	}
	for i := range c.Nodes {
		n := &c.Nodes[i]
		name := clean(cmp.Or(n.Name, n.Address))
		switch {
		case n.Error != nil:
			lines = append(lines, fmt.Sprintf("%s: no answer: %s", name, clean(*n.Error)))
			continue
		case n.NotReady != nil:
			lines = append(lines, fmt.Sprintf("%s: not ready: %s", name, clean(*n.NotReady)))
		}
		for _, found := range n.Warnings {
			lines = append(lines, fmt.Sprintf("%s: %s: %s. What to do: %s", name, clean(string(found.Severity)),
				clean(found.Text), clean(found.Cure)))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	_, err := fmt.Fprintln(w, "\n"+strings.Join(lines, "\n"))
	return err
}

// A Health is how nodes are together, for an exit code.
type Health struct {
	Wrong  bool // they do not agree, or one is not ready
	Silent bool // one does not answer
}

// Health returns how the nodes are. Different versions are not wrong.
func (c *Cluster) Health() (h Health) {
	for _, p := range c.Problems {
		h.Wrong = h.Wrong || p.Code != "no_answer" && p.Code != "versions_differ"
	}
	for i := range c.Nodes {
		n := &c.Nodes[i]
		h.Silent = h.Silent || n.Error != nil
		h.Wrong = h.Wrong || n.Error == nil && n.Ready != nil && !*n.Ready
	}
	return h
}
