package primary

import (
	"fmt"

	"github.com/zrsd/zrsd/internal/admission"
	"github.com/zrsd/zrsd/protocol"
)

// Places of authenticated connections, beside those of secondaries: no secondary keeps out a node that
// has to be heard for a new primary to be found.
const (
	maxAsking    = 32 // nodes that ask for a vote, or for the status
	maxComparing = 4  // that ask about the history, each of which has the disk read
)

// maxUnproven is how many connections of all addresses may be unauthenticated.
const maxUnproven = 32

// Bytes that a connection may send, by its authentication. Memory for a message is allocated when it is announced.
const (
	unauthenticatedBytes = 64 << 10  // until the secret is proved, where there is one
	helloBytes           = 512 << 10 // for a hello with all its epochs, and the request for a stream
	unauthenticatedLine  = 4 << 10   // the longest message before the secret is proved
)

// A slot is what a connection counts as.
type slot string

// The places. A connection is unproven until its first message is complete and, where there is a secret, authenticated.
// Where TLS asks for certificates no message comes through without. Where there is neither, to speak the protocol is
// all the proof there is. Who is refused is unproven again.
const (
	slotUnproven   slot = "unproven"
	slotFollowing  slot = "following"
	slotAsking     slot = "asking"
	placeComparing slot = "comparing"
)

// enter admits a connection; the oldest unauthenticated one may be closed for it.
func (p *Primary) enter(c *peer) {
	p.mu.Lock()
	p.roster.enter(c)
	p.mu.Unlock()
	c.pending.Enter()
}

// take gives a connection that has proved who it is the place it asks for, or says why not.
func (c *peer) take(to slot) *protocol.Refusal {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.asks = to != slotFollowing
	if c.slot == to {
		return nil
	}
	held := c.p.roster.at(to)
	switch {
	case to == slotFollowing && held >= c.p.opt.MaxSecondaries:
		return refuse(protocol.CodeTooMany, 0, "this primary serves at most %d secondaries; disconnect one, or raise "+
			"the primary's limit", c.p.opt.MaxSecondaries)
	case to == slotAsking && held >= maxAsking, to == placeComparing && held >= maxComparing:
		return refuse(
			protocol.CodeTooMany,
			0,
			"%d nodes are asking at the moment; no action is needed, try again",
			held,
		)
	}
	c.pending.Leave()
	c.slot = to
	return nil
}

// release frees the place of a connection that has got its last message: all that is left is to let the other side hang
// up.
func (c *peer) release() {
	c.p.mu.Lock()
	proved := c.slot != slotUnproven
	c.slot = slotUnproven
	c.p.mu.Unlock()
	if proved {
		c.pending.Enter()
	}
}

// evict closes a connection for another one.
func (c *peer) evict(why error) {
	c.mu.Lock()
	c.evicted = why
	c.mu.Unlock()
	admission.Cut(c.conn)
}

// ended adds to an error what made a session end: its streams only say that it did.
func (c *peer) ended(err error) error {
	c.mu.Lock()
	why := c.evicted
	c.mu.Unlock()
	if why == nil {
		why = c.guard.Err()
	}
	switch {
	case why == nil || isGoodbye(err):
		return err
	case err == nil:
		return why
	}
	return fmt.Errorf("%w (%w)", why, err)
}

func (p *Primary) newConn(c *peer) *admission.Conn { return p.limiter.NewConn(c.source, c.evict) }
