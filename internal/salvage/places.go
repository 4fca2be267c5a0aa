package salvage

import (
	"context"
	"io"
	"strings"

	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/zodb"
)

// maxNamed is how many bytes of a record are read for the names of its references.
const maxNamed = 64 << 20

// An edge is a reference in a record of the fragment.
type edge struct {
	from, to zodb.Oid
	name     string
}

// Places adds the paths of objects that have none in paths, where a record of the fragment refers to them, by way of
// an object that has one: of those that only the fragment has. Paths are texts, that of the root is "/", and an empty
// one is none. Of several the shortest counts, and of equally short ones the one that was written first.
func (f *Fragment) Places(ctx context.Context, paths map[zodb.Oid]string) error {
	var edges []edge
	for txn, err := range f.st.Transactions(ctx, 0) {
		if err != nil {
			return err
		}
		if err := records(txn, func(rec *zodb.Record) (err error) {
			edges, err = appendEdges(edges, rec, paths)
			return err
		}); err != nil {
			return err
		}
	}
	for found := true; found; { // each round is one step farther from what has a path
		found = false
		next := make(map[zodb.Oid]string)
		for _, e := range edges {
			above := paths[e.from]
			if _, has := next[e.to]; above == "" || paths[e.to] != "" || has {
				continue
			}
			next[e.to] = strings.TrimSuffix(above+"/"+e.name, "/")
			if above == "/" {
				next[e.to] = above + e.name
			}
		}
		for oid, path := range next {
			paths[oid], found = path, true
		}
	}
	return nil
}

// appendEdges adds the references of a record to objects that have no path.
func appendEdges(edges []edge, rec *zodb.Record, paths map[zodb.Oid]string) ([]edge, error) {
	if rec.Size <= 0 || rec.Size > maxNamed {
		return edges, nil
	}
	data, err := io.ReadAll(rec.Data)
	if err != nil {
		return edges, err
	}
	for to, name := range inside.RefNames(data) {
		if paths[to] == "" {
			edges = append(edges, edge{rec.Oid, to, name})
		}
	}
	return edges, nil
}
