package primary

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/yamux"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A Member is the node of this Primary as one among others that could be primary. Its methods are called from
// connections, concurrently, and only Vote may take its time.
type Member interface {
	// Info says what the node is now.
	Info() NodeInfo
	// Outranked is called when a peer knows of an epoch above ours that has begun.
	Outranked(epoch uint64)
	// Status answers a node that asks for the status of this one.
	Status(req *protocol.StatusRequest) (*protocol.NodeStatus, *protocol.Refusal)
	// Vote answers a node that wants to be primary.
	Vote(ctx context.Context, req *protocol.VoteRequest) (*protocol.Vote, *protocol.Refusal)
	// Surpassed is called with the last transaction of a peer that is later than ours and of another primary's time:
	// that primary was active beside this one, or before it, and clients may have seen its transactions.
	Surpassed(last zodb.Tid)
	// Counts is called when commits begin to wait for a secondary, before any of its acknowledgements counts. After an
	// error the secondary is refused for now.
	Counts(c Counting) error
	// HandedOver is called when a former primary has stepped down in favour of this node.
	HandedOver(hello *protocol.Hello)
}

// A Counting is a secondary that commits wait for from now on.
type Counting struct {
	Node     string // its id
	Less     bool   // it has less than it had acknowledged before
	Replaces string // the node that had its name before, and counts no more; empty: none
}

// A NodeInfo is what a node sends to those that connect to it.
type NodeInfo struct {
	Node         string // its id
	IsPrimary    bool   // it is the primary
	UpstreamPath []string
	Sync         protocol.SyncRule
	// ExternalHistory says that transactions of this node came over another protocol: its chain of digests proves
	// nothing.
	ExternalHistory bool
}

func (p *Primary) info() NodeInfo {
	if p.opt.Member == nil {
		return NodeInfo{IsPrimary: true}
	}
	return p.opt.Member.Info()
}

// outranked refuses a peer that has heard of a higher epoch than ours: where that has begun, this node is not, or no
// longer, the primary. An epoch that was only voted for says nothing about this node.
func (p *Primary) outranked(h *protocol.Hello, own uint64) *protocol.Refusal {
	if m := p.opt.Member; m != nil {
		if h.Successor != "" && h.Successor == p.info().Node {
			m.HandedOver(h)
			return refuse(protocol.CodeShuttingDown, h.Last.Tid, "this node is taking over as primary; no action "+
				"is needed, it retries")
		}
		if h.Begun() > own {
			m.Outranked(h.Begun())
		}
	}
	if h.Begun() <= own {
		return refuse(protocol.CodeOutranked, 0, "this secondary has voted for epoch %d, and the node that asked "+
			"is not known to be primary: it follows no primary of epoch %d until one begins a higher epoch; if "+
			"that promotion failed, the primary does so by itself", h.Highest(), own)
	}
	return refuse(protocol.CodeOutranked, 0, "this node is in epoch %d, and this secondary has seen epoch %d: "+
		"another node is primary; it is searched at all known addresses", own, h.Begun())
}

// errAnswered ends the connection of a node that was answered.
var errAnswered = errors.New("answered the request of another node")

// answerStatus answers a node that asks for the status of this one. Whoever may ask is told, whatever storage it has:
// it must not take this node's for its own.
func (c *native) answerStatus(s *yamux.Session, control *protocol.Control, req *protocol.StatusRequest) error {
	refusal := c.admitRequest(req)
	if refusal != nil {
		return c.refuse(s, control, refusal)
	}
	c.p.noteTrouble(c.conn.RemoteAddr(), req)
	status, refusal := c.p.opt.Member.Status(req)
	return c.answerRequest(s, control, status, refusal)
}

// answerVoteRequest answers a node that wants to be primary.
func (c *native) answerVoteRequest(ctx context.Context, s *yamux.Session, control *protocol.Control,
	req *protocol.VoteRequest) error {
	ctx, cancel := c.p.handshaking(ctx)
	defer cancel()
	refusal := c.admitRequest(&req.StatusRequest)
	if refusal != nil {
		return c.refuse(s, control, refusal)
	}
	if id, _ := c.p.opt.Identity(); req.StorageID != id {
		return c.refuse(s, control, refuse(protocol.CodeWrongStorage, 0, "%s holds the storage %s, the node that asks "+
			"has %s; check the address", c.p.opt.Name, id, clean(req.StorageID)))
	}
	vote, refusal := c.p.opt.Member.Vote(ctx, req)
	return c.answerRequest(s, control, vote, refusal)
}

// admitRequest gives a node that asks something its place, or says why it is not answered.
func (c *native) admitRequest(req *protocol.StatusRequest) *protocol.Refusal {
	r := c.take(slotAsking) // before it has a name, by which it could count as a secondary
	c.introduce(req.Name)
	switch {
	case r != nil:
		return r
	case !protocol.KnownVersion(req.Version):
		return unknownVersion(req.Version)
	case c.p.opt.Member == nil:
		return refuse(protocol.CodeNotMember, 0, "%s does not vote: its files belong to another process", c.p.opt.Name)
	}
	return nil
}

// answerRequest sends an answer, or the refusal if there is one.
func (c *native) answerRequest(s *yamux.Session, control *protocol.Control, answer any,
	refusal *protocol.Refusal) error {
	if refusal != nil {
		return c.refuse(s, control, refusal)
	}
	if err := control.Send(answer); errors.Is(err, yamux.ErrSessionShutdown) {
		return errAnswered // the other side may have the answer, and be gone, before Send returns
	} else if err != nil {
		return fmt.Errorf("answering the request of another node: %w", err)
	}
	c.release()
	linger(s)
	return errAnswered
}

// member keeps what a secondary says of itself as a member of the cluster. The primary's mutex guards the fields.
func (c *peer) member(h *protocol.Hello) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.node, c.replicationAddr = clean(h.Node), clean(h.ReplicationAddr)
	c.delayed = slices.Contains(h.Capabilities, protocol.ApplyDelay)
	c.once = slices.Contains(h.Capabilities, protocol.Once)
}

// countsAs is the node as which a secondary counts for commits; empty: it does not, because it is about to end, or
// because commits wait until readers see them, and its readers see them later.
func (c *peer) countsAs() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.once || c.delayed && c.p.opt.SyncApplied {
		return ""
	}
	return c.node
}

// rosterEntries lists the secondaries that are connected and acknowledge, for each other. A copy that ends is none of
// them: it has no vote, so a promotion that needs the votes of most would wait for one that never comes.
func (p *Primary) rosterEntries() []protocol.RosterEntry {
	var list []protocol.RosterEntry
	now := p.opt.now()
	for _, s := range p.Status().Secondaries {
		follows := s.State != StateHandshake && s.State != StateRefused
		if s.Once || s.Silent || !follows || len(list) == protocol.MaxRoster {
			continue
		}
		list = append(list, protocol.RosterEntry{
			Node:            s.Node,
			Name:            s.Name,
			ReplicationAddr: s.ReplicationAddr,
			Durable:         s.DurableTid,
			Age:             now.Sub(s.LastHeard),
		})
	}
	return list
}

// errRenewed ends all connections when the node has become another one than it said in the welcome.
var errRenewed = goodbye("this node has another role, or another epoch, now")

// Renew ends the connections of all native secondaries, which connect again and get the new role and epoch of the node.
// What they acknowledged before does not count any more.
func (p *Primary) Renew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.renewed)
	p.renewed = make(chan struct{})
	p.quorum.reset()
}

// renewing returns what is closed at the next Renew.
func (p *Primary) renewing() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.renewed
}
