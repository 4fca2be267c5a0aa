package inside

import (
	"fmt"
	"io"
	"strconv"

	"github.com/zrsd/zrsd/zodb"
)

// A Graph is objects and the references between them.
type Graph struct {
	Nodes []GraphNode `json:"nodes"`
	Edges []GraphEdge `json:"edges"`
	Cut   bool        `json:"cut"` // there are more objects than the limit allows
}

// A GraphNode is an object.
type GraphNode struct {
	Oid   zodb.Oid `json:"oid"`
	Class string   `json:"class"`
	Bytes int64    `json:"bytes"`
	Gone  bool     `json:"missing"` // there is none, and yet it is referred to
}

// A GraphEdge is a reference.
type GraphEdge struct {
	From zodb.Oid `json:"from"`
	To   zodb.Oid `json:"to"`
}

// Graph returns an object and what it refers to, up to a depth, at most limit objects.
func (s *Survey) Graph(oid zodb.Oid, depth, limit int) (*Graph, error) {
	top, err := s.numberOf(oid)
	if err != nil {
		return nil, err
	}
	g := &Graph{Nodes: []GraphNode{}, Edges: []GraphEdge{}}
	missing := make(map[uint32][]zodb.Oid)
	for _, d := range s.findings.dangling {
		missing[d.from] = append(missing[d.from], d.to)
	}
	depths := map[uint32]int{top: 0}
	queue := []uint32{top}
	shown := make(map[zodb.Oid]bool)
	for ; len(queue) > 0 && len(g.Nodes) < limit; queue = queue[1:] {
		from := queue[0]
		own := s.classes[from]
		g.Nodes = append(g.Nodes, GraphNode{s.oids.oid(from), s.name(own), s.sizes.of(from), !s.exists(from)})
		if depths[from] == depth {
			continue
		}
		for _, to := range s.edges.of(from, nil) {
			g.Edges = append(g.Edges, GraphEdge{s.oids.oid(from), s.oids.oid(to)})
			if _, seen := depths[to]; !seen {
				depths[to] = depths[from] + 1
				queue = append(queue, to)
			}
		}
		for _, to := range missing[from] {
			g.Edges = append(g.Edges, GraphEdge{s.oids.oid(from), to})
			if !shown[to] {
				shown[to] = true
				g.Nodes = append(g.Nodes, GraphNode{Oid: to, Class: Missing, Gone: true})
			}
		}
	}
	g.Cut = len(queue) > 0
	return g, nil
}

// WriteDOT writes a graph in the language of Graphviz. Names of classes are quoted: a record may have any.
func (g *Graph) WriteDOT(w io.Writer) error {
	out := []byte("digraph zodb {\n  node [shape=box, fontname=\"sans-serif\"];\n")
	for _, n := range g.Nodes {
		style := ""
		if n.Gone {
			style = ", color=red, style=dashed"
		}
		label := strconv.QuoteToGraphic(fmt.Sprintf("%s\n%s\n%d bytes", n.Oid, n.Class, n.Bytes))
		out = fmt.Appendf(out, "  %q [label=%s%s];\n", n.Oid, label, style)
	}
	for _, e := range g.Edges {
		out = fmt.Appendf(out, "  %q -> %q;\n", e.From, e.To)
	}
	_, err := w.Write(append(out, "}\n"...))
	return err
}
