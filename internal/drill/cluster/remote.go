package cluster

import (
	"context"
	"fmt"

	"github.com/zrsd/zrsd/internal/admin"
)

// A Place has the addresses of a node of an existing cluster.
type Place struct {
	Admin admin.Dialer
	ZEO   string
}

// Join returns an existing cluster. The first place must be that of its primary.
func Join(ctx context.Context, places []Place) (*Cluster, error) {
	c := &Cluster{Remote: true}
	for i, p := range places {
		n := &Node{ZEO: p.ZEO, c: c, dial: p.Admin}
		st, err := n.Status(ctx)
		if err != nil {
			return nil, err
		}
		if primary := st.Role == "primary"; primary != (i == 0) {
			return nil, fmt.Errorf("node %s is %s: name the primary with --primary and its secondaries with "+
				"--secondary", st.Name, st.Role)
		}
		n.Name = st.Name
		c.Nodes = append(c.Nodes, n)
	}
	return c, nil
}
