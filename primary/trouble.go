package primary

import (
	"cmp"
	"net"

	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/protocol"
)

// What nodes say of themselves, or what can be seen of them, when a disk of theirs is away.

// knownTrouble is what is shown of a kind of trouble that a peer names.
func knownTrouble(kind string) string {
	switch kind {
	case protocol.TroubleNotMounted, protocol.TroubleNoSpace:
		return kind
	}
	return ""
}

// troubleCodes are the warnings about what nodes report that do not start.
var troubleCodes = map[string]warning.Code{
	protocol.TroubleNotMounted: warning.SecondaryNotMounted, protocol.TroubleNoSpace: warning.SecondaryNoSpace,
}

// noteTrouble keeps what a node reports that does not start: it is not connected, and for this reason.
func (p *Primary) noteTrouble(addr net.Addr, req *protocol.StatusRequest) {
	kind, name := knownTrouble(req.Trouble), clean(req.Name)
	if kind == "" || name == "" {
		return
	}
	text := clean(req.TroubleText)
	p.loud.Warn(p.log, name, kind, "a secondary does not start", "name", name, "addr", addr.String(), "trouble", kind,
		"error", text, "warning", troubleCodes[kind])
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.roster.streams(name)) > 0 {
		return // another process of this name, or an older one, is at work
	}
	now := p.opt.now()
	s := SecondaryStatus{
		Name: name, Addr: addr.String(), ReplicationAddr: clean(req.ReplicationAddr), Protocol: protocol.Native,
		ConnectedSince: now, GoneSince: now, LastHeard: now,
	}
	if before := p.roster.lastOf(name); before != nil {
		s = *before
	}
	s.State, s.LastError, s.Trouble = StateDisconnected, text, kind
	p.roster.forget(name)
	p.roster.gone = appendBounded(p.roster.gone, s, maxGone)
}

// lastOf returns what is kept of the last connection of a secondary that is gone; nil: nothing is.
func (r *roster) lastOf(name string) *SecondaryStatus {
	for i := range r.gone {
		if r.gone[i].Name == name {
			return &r.gone[i]
		}
	}
	return nil
}

// keepReplaced takes over what another connection of this node has noted, whose end has not been noticed yet. The
// caller has the mutex of the Primary.
func (c *peer) keepReplaced() {
	for _, other := range c.p.roster.peers {
		if other == c {
			continue
		}
		other.mu.Lock()
		name, node, replaced := other.name, other.node, other.replaced
		other.mu.Unlock()
		c.mu.Lock()
		if replaced != nil && name == c.name && node == c.node {
			c.replaced = replaced
		}
		c.mu.Unlock()
	}
}

// compareBefore notes that a secondary had nothing where another node of its name had something: its disk was replaced,
// or is not mounted. The caller has the mutex of the Primary.
func (c *peer) compareBefore(before *SecondaryStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case before.Node == c.node:
		c.replaced = cmp.Or(before.Replaced, c.replaced)
	case before.Node != "" && before.DurableTid != 0 && c.start == 0:
		c.replaced = &Replaced{before.Node, before.DurableTid}
		c.p.loud.Warn(c.log, c.source+" "+c.name, "begun anew", "a secondary has nothing, and a node of its name had "+
			"transactions: its disk was replaced, or is not mounted", "name", c.name, "node", c.node,
			"replaced_node", before.Node, "durable", before.DurableTid, "warning", warning.SecondaryReplaced)
	}
}
