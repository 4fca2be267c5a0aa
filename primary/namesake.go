package primary

import (
	"slices"

	"github.com/zrsd/zrsd/protocol"
)

// namesake refuses a second living node of a name for which commits wait: which of the two has what was acknowledged
// under the name, nobody could say later. The first one keeps the name until its connection ends.
func (c *native) namesake() *protocol.Refusal {
	names := c.p.opt.Sync.Names
	if len(names) == 0 {
		return nil // nodes count by their ids
	}
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if own := c.p.opt.Own; own != "" && c.name == own {
		return refuse(
			protocol.CodeNameTaken,
			0,
			"%s is the name of this primary: give each node its own --name, and name those that commits wait for "+
				"in --sync-names",
			c.name,
		)
	}
	if !slices.Contains(names, c.name) {
		return nil
	}
	for _, other := range c.p.roster.peers {
		if other.named && other.name == c.name && other.node != c.node {
			return refuse(
				protocol.CodeNameTaken,
				0,
				"another node of the name %s follows this primary, from %s: commits wait for that name, so only "+
					"one node may have it; give this one another --name, or stop the other",
				c.name,
				other.conn.RemoteAddr(),
			)
		}
	}
	c.named = true
	return nil
}
