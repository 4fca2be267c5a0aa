package state

import (
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// A Chain is what is kept of the chain of digests over the transactions of a storage; package history says what that
// is. Nothing else depends on it: what is missing or does not fit the file is computed again.
type Chain struct {
	// Base is the transaction after which the chain begins, 0: at the beginning.
	Base zodb.Tid `json:"base"`
	// Checkpoints are places of the chain after the base, at most MaxCheckpoints, with rising tids. A Chain without
	// any says nothing.
	Checkpoints []Checkpoint `json:"checkpoints"`
}

// MaxCheckpoints is how many checkpoints of a chain are kept.
const MaxCheckpoints = 64

// A Checkpoint is a place of a chain: the value after a transaction, how many there are from after the base up to
// it, and the digest of its content, by which it is recognised in the file.
type Checkpoint struct {
	Tid    zodb.Tid    `json:"tid"`
	Count  uint64      `json:"count"`
	Digest zodb.Digest `json:"digest"`
	Value  zodb.Digest `json:"value"`
}

// Last returns the newest checkpoint, the zero one when there is none.
func (c *Chain) Last() Checkpoint {
	if len(c.Checkpoints) == 0 {
		return Checkpoint{}
	}
	return c.Checkpoints[len(c.Checkpoints)-1]
}

// Forget drops the checkpoints after a transaction: the file does not have them any more.
func (c *Chain) Forget(after zodb.Tid) {
	for i, p := range c.Checkpoints {
		if p.Tid > after {
			c.Checkpoints = c.Checkpoints[:i:i]
			return
		}
	}
}

// check reports the first rule that the chain breaks.
func (c *Chain) check() error {
	if len(c.Checkpoints) > MaxCheckpoints {
		return fmt.Errorf("%d checkpoints of the hash chain, the limit is %d", len(c.Checkpoints), MaxCheckpoints)
	}
	before := Checkpoint{Tid: c.Base}
	for _, p := range c.Checkpoints {
		if p.Tid <= before.Tid || p.Count <= before.Count {
			return fmt.Errorf("checkpoint %v of the hash chain, after %d transactions, follows %v, after %d", p.Tid,
				p.Count, before.Tid, before.Count)
		}
		before = p
	}
	return nil
}
