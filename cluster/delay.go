package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// A secondary with an apply delay has everything, durable, as any other: it acknowledges, and it votes. What is later
// is what its readers see, so that an operator can stop that before a mistake. A promotion shows everything. So the
// node is not elected, and while apply-until holds it, nobody promotes it without a word that undoes the hold.

// delayedText says why a delayed secondary is not elected.
const delayedText = "it is a secondary with an apply delay, which only an operator promotes"

// isDelayed reports whether the node is a delayed secondary.
func (n *Node) isDelayed() bool { return n.opt.ApplyDelay > 0 && !n.IsPrimary() }

// heldText says what keeps the node from being promoted; empty: nothing holds it.
func (n *Node) heldText() string {
	id := n.keep.State()
	if id == nil || id.ApplyUntil == 0 || !n.isDelayed() {
		return ""
	}
	return fmt.Sprintf("zrsd apply-until holds what its readers see at %v (%s), and a promotion shows all that was "+
		"received after that: zrsd apply-until --resume first", id.ApplyUntil, id.ApplyUntil.Stamp())
}

// tellHidden says how much a promotion makes seen.
func (p *promotion) tellHidden(ctx context.Context) error {
	if !p.isDelayed() {
		return nil
	}
	shown, last := p.opt.Shown(), p.st.LastTid()
	if shown == 0 || shown >= last {
		p.step("readers of this node see everything that it has received")
		return nil
	}
	count, _, err := p.st.Count(ctx, shown)
	if err != nil {
		return fmt.Errorf("count the transactions that are not shown yet: %w", err)
	}
	p.step("readers of this node see it as of %v (%s): %d later transactions, over %v, become seen", shown,
		shown.Stamp(), count, span(shown, last))
	return nil
}

func span(from, to zodb.Tid) time.Duration { return to.Time().Sub(from.Time()).Round(time.Second) }
